// Resource names: what is formatted parses back, everything else is refused with BAD_NAME.
#include "common/names.h"

#include <gtest/gtest.h>

#include <string>

#include "common/errors.h"

namespace trainyard {
namespace {

TEST(NamesTest, FormattedNamesParseBack) {
  EXPECT_EQ(*ParseProject(FormatProject("p")), "p");
  const auto job = ParseJob(FormatJob("p", "j_1"));
  ASSERT_TRUE(job.ok());
  EXPECT_EQ(job->project, "p");
  EXPECT_EQ(job->job, "j_1");
  const auto study = ParseStudy(FormatStudy("p", "s"));
  ASSERT_TRUE(study.ok());
  EXPECT_EQ(study->job, "s");
  const auto trial = ParseTrial(FormatTrial("p", "s", 12));
  ASSERT_TRUE(trial.ok());
  EXPECT_EQ(trial->study, "s");
  EXPECT_EQ(trial->trial, 12);
  EXPECT_EQ(*ParseNode(FormatNode("n-1")), "n-1");
}

TEST(NamesTest, OthersAreRefused) {
  for (const char* name :
       {"", "projects", "projects/", "projects/p/jobs", "projects/p/jobs/", "projects//jobs/j",
        "project/p/jobs/j", "projects/p/jobs/j/", "projects/p/jobs/j/extra", "/projects/p/jobs/j",
        "projects/p/studies/j"}) {
    EXPECT_EQ(ReasonOf(ParseJob(name).status()), "BAD_NAME") << name;
  }
  for (const char* name : {"projects/p/studies/s/trials/0", "projects/p/studies/s/trials/-1",
                           "projects/p/studies/s/trials/x", "projects/p/studies/s/trials/1.5",
                           "projects/p/studies/s/trials/99999999999"}) {
    EXPECT_EQ(ReasonOf(ParseTrial(name).status()), "BAD_NAME") << name;
  }
}

TEST(NamesTest, IdsHaveARule) {
  for (const char* id : {"a", "iris_1", "A-b-C9"}) EXPECT_TRUE(CheckId("job", id).ok()) << id;
  EXPECT_TRUE(CheckId("job", std::string(128, 'a')).ok());
  for (const char* id : {"", "1a", "_a", "-a", "a b", "a/b", "..", "a.b", "\xc3\xa9", "a\n"}) {
    const absl::Status status = CheckId("job", id);
    EXPECT_EQ(ReasonOf(status), "BAD_NAME") << id;
    EXPECT_FALSE(FaultsOf(status).faults(0).fix().empty());
  }
  EXPECT_FALSE(CheckId("job", std::string(129, 'a')).ok());
}

}  // namespace
}  // namespace trainyard
