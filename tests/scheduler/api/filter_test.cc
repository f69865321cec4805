// Filters of job lists.
#include "scheduler/api/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/errors.h"

namespace trainyard::api {
namespace {

v1::Job MakeJob(const std::string& id, v1::JobState state) {
  v1::Job job;
  job.set_name("projects/p/jobs/" + id);
  job.set_state(state);
  job.set_principal("ann");
  (*job.mutable_labels())["team"] = "vision";
  return job;
}

bool Matches(const std::string& filter, const v1::Job& job) {
  const auto parsed = JobFilter::Parse(filter);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Matches(job, "My job");
}

TEST(JobFilterTest, TermsAreJoinedByAnd) {
  const v1::Job job = MakeJob("rnn_7", v1::FAILED);
  EXPECT_TRUE(Matches("", job));
  EXPECT_TRUE(Matches("state:FAILED", job));
  EXPECT_TRUE(Matches("state:FAILED AND jobId:rnn*", job));
  EXPECT_FALSE(Matches("state:FAILED AND jobId:cnn*", job));
  EXPECT_FALSE(Matches("state:SUCCEEDED", job));
  EXPECT_TRUE(Matches("NOT state:SUCCEEDED AND principal=ann", job));
  EXPECT_TRUE(Matches("labels.team=vision", job));
  EXPECT_FALSE(Matches("labels.stage=x", job));
  EXPECT_TRUE(Matches("NOT labels.stage=x", job));
  EXPECT_TRUE(Matches("state:JOB_STATE_FAILED", job)) << "the other product's spelling";
  EXPECT_TRUE(Matches("displayName:My*", job));
}

TEST(JobFilterTest, WhatIsNotUnderstoodIsNamed) {
  for (const char* bad : {"state", "state:", "AND", "state:FAILED AND", "state:FAILED jobId:x",
                          "color:red", "state:DANCING", "NOT NOT state:FAILED", ":x"}) {
    const auto parsed = JobFilter::Parse(bad);
    ASSERT_FALSE(parsed.ok()) << bad;
    EXPECT_EQ(ReasonOf(parsed.status()), "BAD_VALUE");
    EXPECT_EQ(FaultsOf(parsed.status()).faults(0).field(), "filter");
  }
}

TEST(GlobTest, StarStandsForAnyText) {
  EXPECT_TRUE(GlobMatches("", ""));
  EXPECT_TRUE(GlobMatches("*", ""));
  EXPECT_TRUE(GlobMatches("a*b*c", "aXXbYYc"));
  EXPECT_FALSE(GlobMatches("a*b*c", "aXXcYYb"));
  EXPECT_TRUE(GlobMatches("*7", "rnn_7"));
  EXPECT_FALSE(GlobMatches("rnn", "rnn_7"));
  // Not exponential.
  EXPECT_FALSE(GlobMatches(std::string(50, '*') + "b", std::string(5000, 'a')));
}

}  // namespace
}  // namespace trainyard::api
