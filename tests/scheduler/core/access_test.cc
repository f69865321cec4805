// The access rule, role by role, and that every command asks it.
#include <gtest/gtest.h>

#include <variant>

#include "common/errors.h"
#include "tests/scheduler/core/scene.h"

namespace trainyard::core {
namespace {

struct Row {
  v1::Role role;
  // In the own project, owner somebody else; own thing; in another project.
  bool read, submit, change, change_own, administer, elsewhere;
};

TEST(AccessTest, TableOfRoles) {
  const Row rows[] = {
      {v1::ROLE_UNSPECIFIED, false, false, false, false, false, false},
      {v1::VIEWER, true, false, false, false, false, false},
      {v1::SUBMITTER, true, true, false, true, false, false},
      {v1::PROJECT_ADMIN, true, true, true, true, false, false},
      {v1::ADMIN, true, true, true, true, true, true},
      {v1::AGENT, false, false, false, false, false, false},
      {v1::ATTEMPT, false, false, false, false, false, false},
  };
  for (const Row& row : rows) {
    const Principal who = User("ann", row.role, "p");
    const auto may = [&](Action action, const char* project, const char* owner) {
      return CheckAccess(who, action, project, owner).ok();
    };
    SCOPED_TRACE(v1::Role_Name(row.role));
    EXPECT_EQ(may(Action::kRead, "p", ""), row.read);
    EXPECT_EQ(may(Action::kSubmit, "p", ""), row.submit);
    EXPECT_EQ(may(Action::kChange, "p", "bob"), row.change);
    EXPECT_EQ(may(Action::kChange, "p", "ann"), row.change_own);
    EXPECT_EQ(may(Action::kAdminister, "p", ""), row.administer);
    EXPECT_EQ(may(Action::kRead, "q", ""), row.elsewhere);
    EXPECT_EQ(may(Action::kChange, "q", "ann"), row.elsewhere);
  }
}

TEST(AccessTest, AgentsAndAttemptsSpeakForThemselvesAlone) {
  const Principal agent = User("n1", v1::AGENT, "");
  EXPECT_TRUE(CheckAccess(agent, Action::kAgent, "", "n1").ok());
  EXPECT_FALSE(CheckAccess(agent, Action::kAgent, "", "n2").ok());
  EXPECT_FALSE(CheckAccess(agent, Action::kAgent, "", "").ok());
  EXPECT_FALSE(CheckAccess(agent, Action::kReport, "", "n1").ok());
  const Principal attempt = User("7/3", v1::ATTEMPT, "");
  EXPECT_TRUE(CheckAccess(attempt, Action::kReport, "", "7/3").ok());
  EXPECT_FALSE(CheckAccess(attempt, Action::kReport, "", "7/4").ok());
  EXPECT_FALSE(CheckAccess(Admin(), Action::kAgent, "", "n1").ok());
}

TEST(AccessTest, RefusalNamesTheRole) {
  const absl::Status status = CheckAccess(User("ann", v1::VIEWER, "p"), Action::kSubmit, "p", "");
  EXPECT_EQ(ReasonOf(status), "PERMISSION_DENIED");
  EXPECT_NE(status.message().find("SUBMITTER in project p; ann has VIEWER"), std::string::npos);
  EXPECT_EQ(status.message().find("--project"), std::string::npos) << status;
}

TEST(AccessTest, ATokenOfAnotherProjectIsToldItsOwn) {
  const absl::Status status =
      CheckAccess(User("ann", v1::SUBMITTER, "p"), Action::kSubmit, "default", "");
  ASSERT_EQ(FaultsOf(status).faults_size(), 1);
  EXPECT_NE(FaultsOf(status).faults(0).fix().find("--project p"), std::string::npos) << status;
}

TEST(AccessTest, NoCommandIsOpenToSomebodyWithoutARole) {
  Scene scene;
  scene.Node("n1");
  scene.Submit("a");
  scene.PlaceAndRun(scene.Job("a").run_uid(), "n1");
  scene.Do(CreateStudy{"default", "s", Spec().Study(1, 1).spec.study_spec()});
  const CommandBody bodies[] = {
      StartServer{"x", 9},
      CreateProject{"p", ""},
      SetTier{},
      CreateToken{},
      RevokeToken{"t"},
      SubmitJob{"default", "b", Spec().spec, false},
      CancelJob{"default", "a", ""},
      SetJobLabels{"default", "a", {}, 0},
      PauseJob{"default", "a", false},
      CreateStudy{"default", "t", {}},
      DeleteStudy{"default", "s"},
      AskTrials{"default", "s", 1, "c"},
      AddMeasurement{"default", "s", 1, {}},
      CompleteTrial{"default", "s", 1, false, {}, false, ""},
      DrainNode{"n1", false, ""},
      AgentJoin{},
      AgentConnect{"n1", {}, {}, 0},
      AgentLoss{"n1", ""},
      GangSilence{1, 1, {"n1"}},
      AgentFact{"n1", {}},
      ReportMeasurements{scene.Job("a").run_uid(), 1, {}},
      ApplyPlan{},
      ApplySuggestions{},
      ApplyStops{},
      ApplyStudyStop{},
      Tick{},
      SetQueueing{"default", "a", {}, 0},
      SetSetting{},
      DeleteSetting{"queue/x"},
      SetProject{},
      RevokeNode{"n1"},
  };
  static_assert(std::variant_size_v<CommandBody> == std::size(bodies), "a command is not asked");
  const size_t events = scene.events().size();
  for (const CommandBody& body : bodies) {
    for (const Principal& who : {Principal(), User("x", v1::VIEWER), User("n9", v1::AGENT, ""),
                                 User("1/1", v1::ATTEMPT, "")}) {
      const auto decision = scene.Try(body, who);
      EXPECT_EQ(decision.status().code(), absl::StatusCode::kPermissionDenied)
          << "command " << body.index() << " as " << v1::Role_Name(who.role);
    }
  }
  EXPECT_EQ(scene.events().size(), events);
}

TEST(AccessTest, SubmittersCancelTheirOwnJobsAlone) {
  Scene scene;
  const Principal ann = User("ann", v1::SUBMITTER);
  const Principal bob = User("bob", v1::SUBMITTER);
  scene.Do(SubmitJob{"default", "a", Spec().spec, false}, ann);
  EXPECT_FALSE(scene.Try(CancelJob{"default", "a", ""}, bob).ok());
  EXPECT_TRUE(scene.Try(CancelJob{"default", "a", ""}, ann).ok());
}

TEST(AccessTest, StrangersDoNotLearnWhichJobsExist) {
  Scene scene;
  scene.Submit("a");
  const Principal stranger = User("eve", v1::SUBMITTER, "elsewhere");
  const absl::Status there = scene.Try(CancelJob{"default", "a", ""}, stranger).status();
  const absl::Status not_there = scene.Try(CancelJob{"default", "b", ""}, stranger).status();
  EXPECT_EQ(there, not_there);
}

TEST(AccessTest, TokensAndProjectsAreForAdministrators) {
  Scene scene;
  records::TokenRow token;
  token.set_id("t1");
  token.set_hash(std::string(32, 'h'));
  scene.Do(CreateToken{token});
  EXPECT_EQ(scene.Try(CreateToken{token}).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(scene.state().token_by_hash.at(token.hash()), "t1");
  scene.Do(RevokeToken{"t1"});
  EXPECT_TRUE(scene.state().tokens.at("t1")->revoked());
  scene.Do(CreateProject{"vision", "nobody"});
  EXPECT_EQ(scene.state().projects.at("vision").run_as(), "nobody");
  EXPECT_TRUE(scene.Try(CreateProject{"vision", "nobody"}).ok());
  EXPECT_FALSE(scene.Try(CreateProject{"vision", "root"}).ok());
  v1::ScaleTier tier;
  tier.set_name("HUGE");
  scene.Do(SetTier{tier});
  EXPECT_EQ(scene.state().tiers.count("HUGE"), 1u);
}

}  // namespace
}  // namespace trainyard::core
