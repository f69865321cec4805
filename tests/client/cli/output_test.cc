// Formats: tables that fit, CSV and YAML that other programs read back, JSON that is the message.
#include "client/cli/output.h"

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>

#include "client/cli/job_view.h"
#include "client/cli/yaml.h"
#include "tests/client/cli/test_console.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::cli {
namespace {

Table Sample() {
  Table table;
  table.headers = {"NAME", "N", "TEXT"};
  table.right = {false, true};
  table.rows = {{"a", "1", "plain"}, {"long_name", "1000", "say \"hi\", twice"}};
  table.names = {"x/a", "x/long_name"};
  return table;
}

TEST(OutputTest, TableAlignsItsColumns) {
  EXPECT_EQ(FormatTable(Sample(), 0, false),
            "NAME          N  TEXT\n"
            "a             1  plain\n"
            "long_name  1000  say \"hi\", twice\n");
}

TEST(OutputTest, TableCutsTheLastColumnToTheTerminal) {
  EXPECT_EQ(FormatTable(Sample(), 30, false),
            "NAME          N  TEXT\n"
            "a             1  plain\n"
            "long_name  1000  say \"hi\", tw…\n");
}

TEST(OutputTest, TableShowsNothingThatATerminalObeys) {
  Table table;
  table.headers = {"A"};
  table.rows = {{"x\x1b[31my\n"}};
  EXPECT_EQ(FormatTable(table, 0, false), "A\nx?[31my?\n");
}

TEST(OutputTest, OnlyColourBringsEscapes) {
  Table table;
  table.headers = {"STATE"};
  table.rows = {{"FAILED"}};
  EXPECT_EQ(FormatTable(table, 0, false).find('\x1b'), std::string::npos);
  EXPECT_NE(FormatTable(table, 0, true).find("\x1b[31mFAILED"), std::string::npos);
}

TEST(OutputTest, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(FormatCsv(Sample()),
            "NAME,N,TEXT\r\na,1,plain\r\nlong_name,1000,\"say \"\"hi\"\", twice\"\r\n");
}

TEST(OutputTest, JsonIsTheMessageInLowerCamel) {
  v1::Job job;
  job.set_name("projects/p/jobs/j");
  job.set_queue_position(3);
  job.set_state(v1::QUEUED);
  EXPECT_EQ(JsonOf(job, false),
            R"({"name":"projects/p/jobs/j","state":"QUEUED","queuePosition":3})");
  v1::Job back;
  EXPECT_EQ(nlohmann::json::parse(JsonOf(job, true))["queuePosition"], 3);
}

TEST(OutputTest, YamlReadsBackAsTheSameValues) {
  const auto json = nlohmann::ordered_json::parse(R"({
    "text": "plain words", "tricky": "yes", "number_like": "1e3", "empty": "", "colon": "a: b",
    "hash": "a #b", "newline": "a\nb", "quote": "it's \"x\"", "dash": "- a", "inf": "inf",
    "n": -1.5, "b": true, "none": null, "list": [1, "two", {"k": "v", "l": [3, 4]}, [5]],
    "nothing": [], "map": {"a": {"b": "c"}}, "unicode": "größe", "null": "null", "star": "*a"})");
  const YAML::Node yaml = YAML::Load(YamlOf(json));
  for (const auto& [key, value] : json.items()) {
    if (value.is_string()) {
      EXPECT_EQ(yaml[key].as<std::string>(), value.get<std::string>()) << key;
    }
  }
  EXPECT_EQ(yaml["n"].as<double>(), -1.5);
  EXPECT_EQ(yaml["list"][2]["l"][1].as<int>(), 4);
  EXPECT_EQ(yaml["list"][3][0].as<int>(), 5);
  EXPECT_EQ(yaml["list"][2]["k"].as<std::string>(), "v");
  EXPECT_EQ(yaml["map"]["a"]["b"].as<std::string>(), "c");
  EXPECT_TRUE(yaml["nothing"].IsSequence());
  EXPECT_TRUE(yaml["none"].IsNull());
  // Words that YAML would read as something else are quoted.
  EXPECT_NE(YamlOf(json).find("tricky: \"yes\""), std::string::npos);
  EXPECT_NE(YamlOf(json).find("number_like: \"1e3\""), std::string::npos);
}

TEST(OutputTest, ListsAreOneArrayEvenWhenEmpty) {
  TestConsole console;
  PrintList(&console, Format::kJson, {});
  EXPECT_EQ(console.out, "[]\n");
  v1::Job job;
  job.set_name("projects/p/jobs/j");
  console.out.clear();
  PrintList(&console, Format::kJson, {{&job, &job}, {}});
  EXPECT_EQ(nlohmann::json::parse(console.out)[1]["name"], "projects/p/jobs/j");
  console.out.clear();
  PrintTable(&console, Format::kJson, Sample());
  EXPECT_EQ(nlohmann::json::parse(console.out)[0]["name"], "a");
}

TEST(OutputTest, LongTextsAreCutWhereNoTerminalShowsThem) {
  Table table;
  table.headers = {"JOB", "DETAIL"};
  table.rows = {{"a", std::string(500, 'x')}};
  TestConsole console;
  PrintList(&console, Format::kTable, {{}, table});
  EXPECT_EQ(console.out, "JOB  DETAIL\na    " + std::string(119, 'x') + "…\n");
  console.out.clear();
  PrintList(&console, Format::kCsv, {{}, table});
  EXPECT_EQ(console.out, "JOB,DETAIL\r\na," + std::string(500, 'x') + "\r\n");
}

TEST(OutputTest, DurationsAreShort) {
  EXPECT_EQ(ShortDuration(absl::Seconds(4)), "4s");
  EXPECT_EQ(ShortDuration(absl::Seconds(125)), "2m05s");
  EXPECT_EQ(ShortDuration(absl::Hours(3) + absl::Minutes(7)), "3h07m");
  EXPECT_EQ(ShortDuration(absl::Hours(122)), "5d02h");
  EXPECT_EQ(ShortDuration(absl::Seconds(-5)), "0s");
}

TEST(OutputTest, VerdictHasCauseRankNodeTailAndNextStep) {
  v1::Job job;
  job.set_name("projects/p/jobs/j");
  job.set_state(v1::FAILED);
  job.mutable_error()->set_cause(v1::USER_ERROR);
  job.mutable_error()->set_message("the program ended with exit code 3");
  job.mutable_error()->set_rank(1);
  job.mutable_error()->set_node("gpu_1");
  job.mutable_error()->set_exit_code(3);
  job.mutable_error()->set_stderr_tail("Traceback\nValueError: x\n");
  const absl::Status status = VerdictOf(job);
  EXPECT_EQ(ExitCodeOf(status), 8);
  for (const char* part : {"j ended as FAILED", "exit code 3", "USER_ERROR", "rank 1", "node gpu_1",
                           "ValueError: x", "trainyard jobs logs j"}) {
    EXPECT_NE(status.message().find(part), absl::string_view::npos) << part << "\n" << status;
  }
  job.set_state(v1::SUCCEEDED);
  EXPECT_TRUE(VerdictOf(job).ok());
}

}  // namespace
}  // namespace trainyard::cli
