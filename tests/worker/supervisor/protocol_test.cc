// Requests, metric lines and the hypertune file: texts in, structs out, hostile texts refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmath>

#include "worker/supervisor/files.h"
#include "worker/supervisor/metric_file.h"
#include "worker/supervisor/recorder.h"
#include "worker/supervisor/requests.h"

namespace trainyard::worker {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Kind = Request::Kind;

TEST(RequestsTest, EachReporterRequestReads) {
  Request request = ParseReporterRequest(R"({"hello":{"rank":3,"pid":77}})");
  EXPECT_EQ(request.kind, Kind::kHello);
  EXPECT_EQ(request.rank, 3);
  EXPECT_EQ(request.pid, 77);

  request = ParseReporterRequest(R"({"report":{"step":5,"metrics":{"a":0.5,"b":"-inf"}}})");
  EXPECT_EQ(request.kind, Kind::kReport);
  EXPECT_EQ(request.step, 5);
  ASSERT_EQ(request.metrics.size(), 2u);
  EXPECT_EQ(request.metrics[0].second, 0.5);
  EXPECT_TRUE(std::isinf(request.metrics[1].second));

  request = ParseReporterRequest(R"({"checkpoint":{"step":6,"path":"step_6"}})");
  EXPECT_EQ(request.kind, Kind::kCheckpoint);
  EXPECT_EQ(request.path, "step_6");

  EXPECT_EQ(ParseReporterRequest(R"({"should_stop":true})").kind, Kind::kShouldStop);

  request = ParseReporterRequest(R"({"exited":{"rank":1,"status":256,"time_ns":9}})");
  EXPECT_EQ(request.kind, Kind::kRankExited);
  EXPECT_EQ(request.status, 256);
  EXPECT_EQ(request.time_ns, 9);
}

TEST(RequestsTest, EachControlRequestReads) {
  Request request = ParseControlRequest(R"({"stop":{"reason":"STOP_CANCEL","grace_ms":7}})");
  EXPECT_EQ(request.kind, Kind::kStop);
  EXPECT_EQ(request.reason, "STOP_CANCEL");
  EXPECT_EQ(request.millis, 7);
  EXPECT_EQ(ParseControlRequest(R"({"stop":{"reason":"X"}})").millis, -1);
  EXPECT_EQ(ParseControlRequest(R"({"lease":{"ms":15000}})").millis, 15000);
  EXPECT_EQ(ParseControlRequest(R"({"early_stop":true})").kind, Kind::kEarlyStop);
}

TEST(RequestsTest, WhatIsNoRequestIsRefusedWithASentence) {
  for (const char* text :
       {"", "x", "{", "[]", "{}", "1", R"({"a":1})", R"({"hello":{}})", R"({"hello":[]})",
        R"({"hello":{"rank":"x"}})", R"({"report":{"step":1}})",
        R"({"report":{"step":1,"metrics":{"a":"big"}}})",
        R"({"report":{"step":1,"metrics":{"a":null}}})",
        R"({"report":{"step":1,"metrics":{"":1}}})", R"({"checkpoint":{}})",
        R"({"hello":{"rank":1},"report":{}})", R"({"stop":{"reason":"STOP_CANCEL"}})"}) {
    const Request request = ParseReporterRequest(text);
    EXPECT_EQ(request.kind, Kind::kInvalid) << text;
    EXPECT_FALSE(request.error.empty()) << text;
  }
  for (const char* text : {"", R"({"hello":{"rank":0}})", R"({"stop":{}})", R"({"lease":{}})"}) {
    EXPECT_EQ(ParseControlRequest(text).kind, Kind::kInvalid) << text;
  }
  EXPECT_THAT(ParseReporterRequest(R"({"repot":{}})").error, HasSubstr("report"));
}

TEST(RequestsTest, RepliesAreOneLineOfJson) {
  EXPECT_EQ(ReportReply(true), R"({"ok":true,"should_stop":true})");
  EXPECT_EQ(ShouldStopReply(false), R"({"should_stop":false})");
  EXPECT_EQ(ErrorReply("a \"quote\"\nand more"), R"({"error":"a \"quote\"\nand more"})");
}

TEST(RecorderTest, MetricLinesHoldWhatJsonCannot) {
  EXPECT_EQ(FormatMetric({"a\"b", 3, 0.5, 1, 9}),
            "{\"name\":\"a\\\"b\",\"rank\":1,\"step\":3,\"time_us\":9,\"value\":0.5}\n");
  EXPECT_THAT(FormatMetric({"a", 0, NAN, 0, 0}), HasSubstr(R"("value":"nan")"));
  EXPECT_THAT(FormatMetric({"a", 0, -INFINITY, 0, 0}), HasSubstr(R"("value":"-inf")"));
}

std::string Line(const std::string& tag, const std::string& value, int step, double time) {
  return "{\"" + tag + "\": \"" + value + "\", \"global_step\": \"" + std::to_string(step) +
         "\", \"timestamp\": " + std::to_string(time) + ", \"trial\": \"0\"}\n";
}

TEST(MetricFileTest, TheSameLinesAreTakenOnceThoughTheFileIsRewritten) {
  MetricFile file;
  std::string text = Line("acc", "0.1", 1, 1.5);
  EXPECT_EQ(file.NewPoints(text, false).size(), 1u);
  EXPECT_THAT(file.NewPoints(text, false), IsEmpty());
  text += Line("acc", "0.2", 2, 2.5);
  const std::vector<MetricLine> points = file.NewPoints(text, false);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].name, "acc");
  EXPECT_EQ(points[0].value, 0.2);
  EXPECT_EQ(points[0].step, 2);
  EXPECT_EQ(points[0].time_us, 2500000);
}

TEST(MetricFileTest, ANewReporterObjectBeginsAnEmptyRing) {
  MetricFile file;
  for (int step = 1; step <= 5; ++step) {
    EXPECT_EQ(file.NewPoints(Line("acc", "0.5", step, step), false).size(), 1u) << step;
  }
}

TEST(MetricFileTest, TheSameValueAtAnotherTimeCounts) {
  MetricFile file;
  EXPECT_EQ(file.NewPoints(Line("acc", "0.5", 1, 1.0), false).size(), 1u);
  EXPECT_EQ(file.NewPoints(Line("acc", "0.5", 1, 2.0), false).size(), 1u);
  EXPECT_EQ(file.NewPoints(Line("loss", "0.5", 1, 2.0), false).size(), 1u);
}

TEST(MetricFileTest, AHalfWrittenLineWaitsForItsEnd) {
  MetricFile file;
  const std::string line = Line("acc", "0.5", 1, 1.0);
  EXPECT_THAT(file.NewPoints("", false), IsEmpty());
  EXPECT_THAT(file.NewPoints(line.substr(0, line.size() - 1), false), IsEmpty());
  EXPECT_EQ(file.NewPoints(line.substr(0, line.size() - 1), true).size(), 1u);
  EXPECT_THAT(file.NewPoints(line, true), IsEmpty());
}

// A program that appends for ever instead of rewriting its ring.
TEST(MetricFileTest, AFileOfManyMegabytesIsReadFromItsEnd) {
  char name[] = "/tmp/trainyard-metric-file-XXXXXX";
  const int fd = mkstemp(name);
  std::string text;
  for (int i = 0; i < 60000; ++i) {
    text +=
        "{\"acc\": \"0.5\", \"global_step\": \"" + std::to_string(i) + "\", \"timestamp\": 1.5}\n";
  }
  ASSERT_GT(text.size(), size_t{2} << 20);
  ASSERT_TRUE(WriteFully(fd, text));
  MetricFile file;
  std::vector<MetricLine> points = file.Read(name, true);
  ASSERT_FALSE(points.empty());
  EXPECT_EQ(points.back().step, 59999);
  ASSERT_TRUE(WriteFully(fd, "{\"acc\": \"0.5\", \"global_step\": \"60000\"}\n"));
  points = file.Read(name, true);
  ASSERT_EQ(points.size(), 1u) << "the rest was taken before";
  EXPECT_EQ(points[0].step, 60000);
  close(fd);
  unlink(name);
}

TEST(MetricFileTest, StrangeTagsAndValuesAreTakenAndRubbishIsSkipped) {
  MetricFile file;
  const std::string text = Line("my tag, with spaces", "nan", 1, 1) + "rubbish\n[1]\n{}\n" +
                           Line("words", "not a number", 1, 1) +
                           "{\"acc\": 0.25, \"global_step\": 3, \"timestamp\": 1}\n" +
                           Line("huge", "1e400", 1, 1);
  const std::vector<MetricLine> points = file.NewPoints(text, false);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[0].name, "my tag, with spaces");
  EXPECT_TRUE(std::isnan(points[0].value));
  EXPECT_EQ(points[1].value, 0.25);
  EXPECT_EQ(points[1].step, 3);
  EXPECT_TRUE(std::isinf(points[2].value));
}

TEST(MetricFileTest, LongRunsAreRememberedInBoundedSpace) {
  MetricFile file;
  int taken = 0;
  for (int step = 0; step < 60000; ++step) {
    taken += static_cast<int>(file.NewPoints(Line("acc", "1", step, step + 1), false).size());
  }
  EXPECT_EQ(taken, 60000);
  EXPECT_THAT(file.NewPoints(Line("acc", "1", 59999, 60000), false), IsEmpty());
}

}  // namespace
}  // namespace trainyard::worker
