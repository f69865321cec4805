// trainyard-tune: the optimiser on stdin and stdout, one process, no server. Reads a study spec
// (YAML), then one JSON request a line; writes one reply line each, flushed. See tune_session.h.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/errors.h"
#include "common/spec/spec.h"
#include "scheduler/tuning/earlier_study.h"
#include "scheduler/tuning/tune_session.h"

namespace trainyard::tuning {
namespace {

constexpr size_t kLineMax = 1 << 20;
constexpr int kBadSpec = 4;

int Serve(TuneSession* session) {
  const auto begin = std::chrono::steady_clock::now();
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const std::string reply = line.size() > kLineMax
                                  ? std::string(
                                        "{\"error\":{\"reason\":\"INVALID_ARGUMENT\","
                                        "\"message\":\"a line has at most 1 MiB\"}}")
                                  : session->Handle(line, elapsed.count());
    std::cout << reply << std::endl;  // flushed: the other side waits for it
  }
  return 0;
}

// {"spec": studySpec, "trials": [{"parameters": {...}, "metrics": {...}} or "infeasible"]}
int ReadEarlier(const std::string& path, std::vector<EarlierStudy>* earlier) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  auto study = file ? ParseEarlierStudy(text) : absl::NotFoundError("the file cannot be read");
  if (!study.ok()) {
    std::fprintf(stderr, "trainyard-tune: %s: %s\n", path.c_str(),
                 std::string(study.status().message()).c_str());
    return kBadSpec;
  }
  const spec::StudyParseResult parsed = spec::ParseStudySpec(study->spec_text, path);
  if (parsed.faults.faults_size() > 0) {
    std::fprintf(stderr, "%s\n", FormatFaults(parsed.faults).c_str());
  }
  if (!parsed.ok()) return kBadSpec;
  earlier->push_back({parsed.spec, std::move(study->trials)});
  return 0;
}

int Run(const std::string& config, uint64_t seed, const std::vector<std::string>& paths) {
  std::ifstream file(config, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "trainyard-tune: %s cannot be read\n", config.c_str());
    return kBadSpec;
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const spec::StudyParseResult parsed = spec::ParseStudySpec(text, config);
  if (parsed.faults.faults_size() > 0) {
    std::fprintf(stderr, "%s\n", FormatFaults(parsed.faults).c_str());
  }
  if (!parsed.ok()) return kBadSpec;
  if (parsed.spec.transfer_from_size() > 0) {
    std::fprintf(stderr,
                 "trainyard-tune: transferFrom names studies of a cluster, and here is none\n"
                 "  fix: give a file of each earlier study with --earlier\n");
    return kBadSpec;
  }
  std::vector<EarlierStudy> earlier;
  for (const std::string& path : paths) {
    if (const int code = ReadEarlier(path, &earlier); code != 0) return code;
  }
  auto session = TuneSession::Make(parsed.spec, seed, earlier);
  if (!session.ok()) {
    std::fprintf(stderr, "%s\n", FormatFaults(FaultsOf(session.status())).c_str());
    return kBadSpec;
  }
  return Serve(session->get());
}

}  // namespace
}  // namespace trainyard::tuning

int main(int argc, char** argv) {
  CLI::App app{
      "The optimiser on stdin and stdout: one JSON request a line, one reply a line.\n"
      "  {\"ask\": 2}\n"
      "  {\"tell\": 1, \"step\": 5, \"metrics\": {\"loss\": 0.31}}\n"
      "  {\"complete\": 1, \"metrics\": {\"loss\": 0.2}}   or \"infeasible\": \"why\"\n"
      "  {\"should_stop\": 1}\n"
      "  {\"best\": 1}",
      "trainyard-tune"};
  std::string config;
  uint64_t seed = 1;
  app.add_option("--config", config, "study spec: YAML in the shape of a studySpec")->required();
  app.add_option("--seed", seed, "where the spec has none; the same seed gives the same answers");
  std::vector<std::string> earlier;
  app.add_option("--earlier", earlier,
                 "JSON file of an earlier study to learn from; again for more");
  CLI11_PARSE(app, argc, argv);
  return trainyard::tuning::Run(config, seed, earlier);
}
