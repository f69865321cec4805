// See cluster.h.
#include "tests/integration/cluster/cluster.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace trainyard::testing {
namespace {

constexpr int kLogTail = 3000;

bool IsDaemon(const Found& found) {
  return found.name == "trainyard-scheduler" || found.name == "trainyard-agent";
}

std::string Tail(const std::string& text) {
  return text.size() <= kLogTail ? text : text.substr(text.size() - kLogTail);
}

}  // namespace

bool IsLong() {
  const char* value = std::getenv("TRAINYARD_TEST_LONG");
  return value != nullptr && std::string(value) == "1";
}

int Times(int count) { return IsLong() ? 10 * count : count; }

int ManyTimes(int count) {
#ifdef TRAINYARD_SANITIZED
  return Times(count) / 10;
#else
  return Times(count);
#endif
}

Cluster::Cluster() {
  char folder[] = "/tmp/trainyard-test-XXXXXX";
  if (mkdtemp(folder) == nullptr) abort();
  folder_ = folder;
  for (const char* name : {"log", "beats", "agents"}) {
    if (!MakeFolders(Path(name), 0700).ok()) abort();
  }
}

Cluster::~Cluster() {
  // Daemons first: nothing new is started then.
  scheduler_.Kill();
  for (auto& [node, agent] : agents_) agent.Kill();
  Within(absl::Seconds(20), [this] {
    const std::vector<Found> left = ProcessesOf(folder_);
    for (const Found& found : left) kill(found.pid, SIGKILL);
    return left.empty();
  });
  RemoveTree(folder_).IgnoreError();
}

std::string Cluster::Path(absl::string_view name) const { return JoinPath(folder_, name); }
std::string Cluster::Socket() const { return absl::StrCat("unix://", State(), "/scheduler.sock"); }
std::string Cluster::Beats(absl::string_view name) const {
  return absl::StrCat(folder_, "/beats/", name);
}
std::string Cluster::WorkDir(const std::string& node) const {
  return absl::StrCat(folder_, "/agents/", node);
}

void Cluster::LaunchScheduler(const DaemonOptions& options) {
  unlink(Path("state/endpoint.json").c_str());
  Command command;
  command.words = {SCHEDULER_PATH, absl::StrCat("--state_dir=", State())};
  command.words.insert(command.words.end(), options.flags.begin(), options.flags.end());
  command.env = options.env;
  command.network = options.network;
  command.errors = Path("log/scheduler");
  scheduler_ = Process(command);
}

bool Cluster::AwaitServing() {
  bool serving = false;
  Eventually([&] {
    serving = Exists(Path("state/endpoint.json"));
    return serving || scheduler_.Ended().has_value();
  });
  return serving;
}

absl::Status Cluster::StartScheduler(const DaemonOptions& options) {
  LaunchScheduler(options);
  if (AwaitServing()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("not serving: ", Tail(SchedulerLog())));
}

std::string Cluster::Endpoint(const std::string& word) const {
  const auto json =
      nlohmann::json::parse(ReadFile(Path("state/endpoint.json")).value_or("{}"), nullptr, false);
  return json.is_object() ? json.value(word, std::string()) : std::string();
}

std::string Cluster::Token() const {
  std::string token = ReadFile(Path("state/token")).value_or("");
  absl::StripAsciiWhitespace(&token);
  return token;
}

absl::Status Cluster::WriteJoinToken(const std::string& node) {
  if (Exists(JoinPath(WorkDir(node), "agent.token"))) return absl::OkStatus();
  const auto token = Connect()->CreateJoinToken(node);
  if (!token.ok()) return token.status();
  return WriteFileDurably(Path(absl::StrCat("join-", node)), token->secret(), 0600);
}

void Cluster::LaunchAgent(const std::string& node, const AgentSettings& settings) {
  Command command;
  command.words = {
      settings.binary.empty() ? std::string(AGENT_PATH) : settings.binary,
      absl::StrCat("--scheduler=", settings.target.empty() ? Socket() : settings.target),
      absl::StrCat("--join_token_file=", Path(absl::StrCat("join-", node))),
      absl::StrCat("--work_dir=", WorkDir(node)),
      absl::StrCat("--node_id=", node),
      absl::StrCat("--cores=", settings.cores),
      "--memory=64GiB",
      "--nvml_library=",
      "--reconnect_max=200ms"};
  command.words.insert(command.words.end(), settings.flags.begin(), settings.flags.end());
  command.env = settings.env;
  command.network = settings.network;
  command.errors = Path(absl::StrCat("log/", node));
  agents_[node] = Process(command);
}

absl::Status Cluster::AwaitReady(const std::string& node) {
  const auto api = Connect();
  const bool ready = Eventually([&] {
    const auto found = api->GetNode(absl::StrCat("nodes/", node));
    return agents_[node].Ended().has_value() || (found.ok() && found->state() == v1::READY);
  });
  if (ready && !agents_[node].Ended().has_value()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(node, " is not ready: ", Tail(AgentLog(node))));
}

absl::Status Cluster::StartAgent(const std::string& node, const AgentSettings& settings) {
  if (absl::Status written = WriteJoinToken(node); !written.ok()) return written;
  LaunchAgent(node, settings);
  return AwaitReady(node);
}

std::unique_ptr<Api> Cluster::Connect() const { return std::make_unique<Api>(Socket(), Token()); }

std::vector<Found> Cluster::Orphans() const {
  std::vector<Found> all = ProcessesOf(folder_);
  std::erase_if(all, IsDaemon);
  return all;
}

absl::Status Cluster::AwaitQuiet(Api* api) {
  std::string left;
  const bool quiet = Eventually([&] {
    left.clear();
    for (const Found& found : Orphans()) {
      absl::StrAppend(&left, found.pid, " ", found.name, " ", found.command, "\n");
    }
    for (const auto& [node, agent] : agents_) {
      const auto found = api->GetNode(absl::StrCat("nodes/", node));
      if (!found.ok()) {
        absl::StrAppend(&left, node, ": ", found.status().ToString(), "\n");
      } else if (found->cpu_milli_used() != 0 || found->devices_used() != 0) {
        absl::StrAppend(&left, node, " still holds ", found->cpu_milli_used(), " milli cores\n");
      }
    }
    return left.empty();
  });
  return quiet ? absl::OkStatus() : absl::InternalError(absl::StrCat("left behind:\n", left));
}

std::string Cluster::ReadLog(const std::string& daemon) const {
  return ReadFile(Path(absl::StrCat("log/", daemon))).value_or("");
}

std::string Cluster::Describe() const {
  std::string text = absl::StrCat("scheduler:\n", Tail(SchedulerLog()));
  for (const auto& [node, agent] : agents_) {
    absl::StrAppend(&text, node, ":\n", Tail(AgentLog(node)));
  }
  return text;
}

}  // namespace trainyard::testing
