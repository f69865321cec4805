// Verbs on a stepped runtime, without any transport: access, limits, tokens, grants, outputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/sha256.h"
#include "common/spec/spec.h"
#include "scheduler/api/admin.h"
#include "scheduler/api/artifacts.h"
#include "scheduler/api/identity.h"
#include "scheduler/api/jobs.h"
#include "scheduler/api/nodes.h"
#include "scheduler/api/studies.h"
#include "scheduler/api/usage.h"
#include "tests/scheduler/runtime/scene.h"

namespace trainyard::api {
namespace {

using ::testing::HasSubstr;

core::Principal Somebody(const std::string& name, v1::Role role, const std::string& project) {
  core::Principal principal;
  principal.name = name;
  principal.role = role;
  principal.project = project;
  return principal;
}

class VerbsTest : public ::testing::Test {
 protected:
  VerbsTest() {
    context_.runtime = &scene_.runtime();
    context_.clock = &scene_.clock;
    context_.secret = std::string(32, 's');
    context_.http_address = "127.0.0.1:1";
    for (const v1::ScaleTier& tier : spec::DefaultTiers()) {
      EXPECT_TRUE(scene_.Do(core::SetTier{tier}).ok());
    }
  }

  // Calls a verb that answers later and steps until it does.
  template <typename Response, typename Verb, typename Request>
  absl::StatusOr<Response> Call(Verb verb, const core::Principal& principal,
                                const Request& request) {
    absl::StatusOr<Response> answer = absl::UnknownError("no answer");
    verb(context_, principal, request,
         [&](absl::StatusOr<Response> response) { answer = std::move(response); });
    scene_.Step();
    return answer;
  }
  absl::StatusOr<v1::Job> Submit(const std::string& id, const core::Principal& principal,
                                 v1::JobSpec spec = runtime::MakeSpec()) {
    v1::SubmitJobRequest request;
    request.set_parent("projects/default");
    request.set_job_id(id);
    *request.mutable_spec() = std::move(spec);
    return Call<v1::Job>(SubmitJob, principal, request);
  }

  runtime::Scene scene_;
  Context context_;
  const core::Principal admin_ = Somebody("root", v1::ADMIN, "");
  const core::Principal ann_ = Somebody("ann", v1::SUBMITTER, "default");
  const core::Principal bob_ = Somebody("bob", v1::SUBMITTER, "default");
  const core::Principal eve_ = Somebody("eve", v1::VIEWER, "elsewhere");
};

TEST_F(VerbsTest, JobsAreReadInTheirProjectAndChangedByTheirOwner) {
  ASSERT_TRUE(Submit("mine", ann_).ok());
  v1::GetJobRequest get;
  get.set_name("projects/default/jobs/mine");
  EXPECT_TRUE(GetJob(context_, bob_, get).ok());
  EXPECT_EQ(GetJob(context_, eve_, get).status().code(), absl::StatusCode::kPermissionDenied);
  get.set_name("projects/default/jobs/nothing");
  EXPECT_EQ(GetJob(context_, eve_, get).status().code(), absl::StatusCode::kPermissionDenied)
      << "a stranger does not learn which names exist";
  EXPECT_EQ(GetJob(context_, bob_, get).status().code(), absl::StatusCode::kNotFound);
  v1::CancelJobRequest cancel;
  cancel.set_name("projects/default/jobs/mine");
  EXPECT_EQ(Call<v1::Job>(CancelJob, bob_, cancel).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(Call<v1::Job>(CancelJob, ann_, cancel).ok());
  EXPECT_EQ(Submit("x", eve_).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(VerbsTest, WhyAJobIsOnHoldSaysWhetherItWouldStart) {
  v1::JobSpec spec = runtime::MakeSpec();
  spec.mutable_scheduling()->set_hold(true);
  ASSERT_TRUE(Submit("held", ann_, spec).ok());
  v1::ExplainJobRequest request;
  request.set_name("projects/default/jobs/held");
  const auto changes = [&] {
    const auto why = Call<v1::ExplainJobResponse>(ExplainJob, ann_, request);
    EXPECT_TRUE(why.ok()) << why.status();
    EXPECT_EQ(why->reason(), "HELD");
    return std::vector<std::string>(why->counterfactuals().begin(), why->counterfactuals().end());
  };
  EXPECT_THAT(changes(), ::testing::ElementsAre("released, it would wait for a place"));
  scene_.Connect("n1", 4);
  EXPECT_THAT(changes(), ::testing::ElementsAre("released it would start now"));
}

TEST_F(VerbsTest, EarlierStudiesAreFoundByNameAndMustExist) {
  v1::JobSpec tuning = runtime::MakeSpec();
  v1::StudySpec* spec = tuning.mutable_study_spec();
  spec->add_metrics()->set_metric_id("loss");
  spec->mutable_metrics(0)->set_goal(v1::StudySpec::MINIMIZE);
  spec->add_parameters()->set_parameter_id("lr");
  spec->mutable_parameters(0)->mutable_double_range()->set_max(1);
  tuning.set_max_trial_count(2);
  ASSERT_TRUE(Submit("first", ann_, tuning).ok());
  const uint64_t first = scene_.view().StudyByName("default", "first")->uid();
  for (const char* name : {"first", "projects/default/studies/first"}) {
    spec->clear_transfer_from();
    spec->add_transfer_from(name);
    const auto made = Submit("", ann_, tuning);
    ASSERT_TRUE(made.ok()) << made.status();
    const core::StudyPtr row = scene_.view().Study(scene_.view().Job(made->uid())->study_uid());
    ASSERT_EQ(row->earlier_size(), 1);
    EXPECT_EQ(row->earlier(0), first);
    EXPECT_GT(row->earlier_revision(), 0u);
  }
  v1::CreateStudyRequest asked;
  asked.set_parent("projects/default");
  asked.set_study_id("asked");
  *asked.mutable_spec() = *spec;
  const auto study = Call<v1::Study>(CreateStudy, ann_, asked);
  ASSERT_TRUE(study.ok()) << study.status();
  EXPECT_EQ(scene_.view().StudyByName("default", "asked")->earlier(0), first);
  asked.set_study_id("another");
  asked.mutable_spec()->set_transfer_from(0, "absent");
  EXPECT_EQ(ReasonOf(Call<v1::Study>(CreateStudy, ann_, asked).status()), "NOT_FOUND");
  spec->set_transfer_from(0, "projects/elsewhere/studies/first");
  EXPECT_FALSE(Submit("", ann_, tuning).ok());
}

TEST_F(VerbsTest, StaleEtagIsRefused) {
  const auto job = Submit("labelled", ann_);
  ASSERT_TRUE(job.ok()) << job.status();
  v1::UpdateJobRequest update;
  update.set_name(job->name());
  update.set_etag(job->etag());
  (*update.mutable_labels())["a"] = "b";
  const auto updated = Call<v1::Job>(UpdateJob, ann_, update);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->labels().at("a"), "b");
  EXPECT_EQ(ReasonOf(Call<v1::Job>(UpdateJob, ann_, update).status()), "ETAG_MISMATCH");
  update.set_etag("seven");
  EXPECT_EQ(ReasonOf(Call<v1::Job>(UpdateJob, ann_, update).status()), "BAD_VALUE");
}

TEST_F(VerbsTest, VariablesThatChangeWhatIsStartedAreRefused) {
  v1::JobSpec spec = runtime::MakeSpec();
  (*spec.mutable_program()->mutable_env())["PATH"] = "/tmp";
  EXPECT_EQ(ReasonOf(Submit("mine", ann_, spec).status()), "PERMISSION_DENIED");
  EXPECT_TRUE(Submit("theirs", admin_, spec).ok());
  for (const char* name : {"RANK", "LD_PRELOAD", "OMPI_MCA_btl"}) {
    spec = runtime::MakeSpec();
    (*spec.mutable_program()->mutable_env())[name] = "3";
    EXPECT_EQ(ReasonOf(Submit(name, admin_, spec).status()), "BAD_VALUE") << name;
  }
}

TEST_F(VerbsTest, ValidateOnlyMakesNothing) {
  v1::SubmitJobRequest request;
  request.set_parent("projects/default");
  request.set_job_id("dry");
  request.set_validate_only(true);
  *request.mutable_spec() = runtime::MakeSpec();
  EXPECT_TRUE(Call<v1::Job>(SubmitJob, ann_, request).ok());
  EXPECT_EQ(scene_.view().JobByName("default", "dry"), nullptr);
}

TEST_F(VerbsTest, BatchWithOneWrongSpecMakesNothingAndNamesIt) {
  v1::SubmitJobsRequest batch;
  for (int i = 0; i < 3; ++i) {
    v1::SubmitJobRequest* one = batch.add_requests();
    one->set_parent("projects/default");
    one->set_job_id(absl::StrCat("b", i));
    if (i != 1) *one->mutable_spec() = runtime::MakeSpec();
  }
  const auto answer = Call<v1::SubmitJobsResponse>(SubmitJobs, ann_, batch);
  ASSERT_FALSE(answer.ok());
  EXPECT_THAT(FaultsOf(answer.status()).faults(0).field(), HasSubstr("requests[1]"));
  EXPECT_EQ(scene_.view().JobByName("default", "b0"), nullptr);
  v1::SubmitJobsRequest huge;
  for (int i = 0; i < 1001; ++i) huge.add_requests();
  EXPECT_EQ(ReasonOf(Call<v1::SubmitJobsResponse>(SubmitJobs, ann_, huge).status()),
            "OUT_OF_RANGE");
}

TEST_F(VerbsTest, PagingRefusesForeignTokens) {
  v1::ListJobsRequest list;
  list.set_page_token("not-ours");
  EXPECT_EQ(ReasonOf(ListJobs(context_, admin_, list).status()), "BAD_VALUE");
  list.clear_page_token();
  list.set_page_size(-1);
  EXPECT_EQ(ReasonOf(ListJobs(context_, admin_, list).status()), "OUT_OF_RANGE");
  list.clear_page_size();
  list.set_parent("projects/-");
  EXPECT_TRUE(ListJobs(context_, admin_, list).ok());
  EXPECT_EQ(ListJobs(context_, ann_, list).status().code(), absl::StatusCode::kPermissionDenied);
  // Who may read every project learns that there is no such one.
  list.set_parent("projects/defualt");
  EXPECT_EQ(ListJobs(context_, ann_, list).status().code(), absl::StatusCode::kPermissionDenied);
  const absl::Status unknown = ListJobs(context_, admin_, list).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FaultsOf(unknown).faults(0).message(), "there is no project defualt");
}

TEST_F(VerbsTest, TokensAreMadeOnceExpireAndAreRevoked) {
  v1::CreateTokenRequest request;
  request.set_user("carl");
  request.set_role(v1::VIEWER);
  request.set_project("default");
  request.mutable_ttl()->set_seconds(60);
  request.set_request_id("t1");
  const auto made = Call<v1::Token>(CreateToken, admin_, request);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto again = Call<v1::Token>(CreateToken, admin_, request);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(made->secret(), again->secret()) << "a lost answer can be had again";
  EXPECT_EQ(Identify(context_, made->secret())->principal.name, "carl");
  EXPECT_EQ(Call<v1::Token>(CreateToken, ann_, request).status().code(),
            absl::StatusCode::kPermissionDenied);
  scene_.clock.Pass(absl::Seconds(61));
  EXPECT_EQ(Identify(context_, made->secret()).status().code(), absl::StatusCode::kUnauthenticated);
  request.clear_ttl();
  request.clear_request_id();
  const auto other = Call<v1::Token>(CreateToken, admin_, request);
  ASSERT_TRUE(other.ok());
  v1::RevokeTokenRequest revoke;
  revoke.set_id(other->id());
  EXPECT_TRUE(Call<google::protobuf::Empty>(RevokeToken, admin_, revoke).ok());
  EXPECT_FALSE(Identify(context_, other->secret()).ok());
  const auto listed = ListTokens(context_, admin_, {});
  ASSERT_TRUE(listed.ok());
  for (const v1::Token& token : listed->tokens()) EXPECT_TRUE(token.secret().empty());
}

TEST_F(VerbsTest, AgentJoinsOnceWithAJoinToken) {
  v1::CreateJoinTokenRequest request;
  const auto token = Call<v1::JoinToken>(CreateJoinToken, admin_, request);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_TRUE(Identify(context_, token->secret())->is_join);
  agent::v1::JoinRequest join;
  join.mutable_inventory()->set_node_id("n5");
  absl::StatusOr<agent::v1::JoinResponse> joined = absl::UnknownError("no answer");
  Join(context_, token->secret(), join, [&](auto answer) { joined = std::move(answer); });
  scene_.Step();
  ASSERT_TRUE(joined.ok()) << joined.status();
  const auto identity = Identify(context_, joined->agent_token());
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->principal.role, v1::AGENT);
  EXPECT_EQ(identity->principal.name, "n5");
  EXPECT_FALSE(Identify(context_, token->secret()).ok()) << "one time only";
}

TEST_F(VerbsTest, GrantsOpenTheStoreForTheirProjectAndTime) {
  v1::GetUploadGrantRequest upload;
  upload.set_parent("projects/default");
  const auto grant = GetUploadGrant(context_, ann_, upload);
  ASSERT_TRUE(grant.ok()) << grant.status();
  const auto access = AuthorizeStore(context_, grant->token());
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_TRUE(access->write);
  EXPECT_EQ(access->project, "default");
  EXPECT_FALSE(GetUploadGrant(context_, eve_, upload).ok());
  v1::GetDownloadGrantRequest download;
  download.set_parent("projects/default");
  const auto read = GetDownloadGrant(context_, ann_, download);
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(AuthorizeStore(context_, read->token())->write);
  scene_.clock.Pass(absl::Hours(2));
  EXPECT_FALSE(AuthorizeStore(context_, grant->token()).ok());
  EXPECT_FALSE(AuthorizeStore(context_, "").ok());
}

TEST_F(VerbsTest, UsageByJobGoesOnPageByPage) {
  scene_.Connect("a", 1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Submit(absl::StrCat("j", i), ann_).ok());
    agent::v1::Fact fact;
    *fact.mutable_key() = scene_.Ordered("a").at(0).key();
    fact.mutable_running()->set_pid(1);
    scene_.Tell("a", fact);
    scene_.clock.Pass(absl::Seconds(10));
    EXPECT_TRUE(scene_.runtime().AgentHeartbeat("a"));
    fact.mutable_exited()->mutable_record()->set_rank(-1);
    scene_.Tell("a", fact);
    fact.mutable_released();
    scene_.Tell("a", fact);
    scene_.Ordered("a");
  }
  ASSERT_TRUE(Submit("runs", ann_).ok());
  scene_.clock.Pass(absl::Seconds(10));
  v1::GetUsageRequest request;
  request.set_parent("projects/default");
  request.set_by(v1::GetUsageRequest::JOB);
  const auto whole = GetUsage(context_, bob_, request);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->rows_size(), 6);
  EXPECT_EQ(whole->next_page_token(), "");
  request.set_page_size(2);
  std::map<std::string, int64_t> seen;
  int pages = 0;
  do {
    const auto page = GetUsage(context_, bob_, request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->rows_size(), 3) << "two, and one that runs now";
    for (const v1::Usage& row : page->rows()) {
      EXPECT_TRUE(seen.try_emplace(row.job(), row.cpu_us()).second) << row.job() << " twice";
    }
    request.set_page_token(page->next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 10);
  EXPECT_GE(pages, 3);
  EXPECT_EQ(seen.size(), 6u);
  for (const auto& [job, cpu_us] : seen) EXPECT_EQ(cpu_us, 10'000'000) << job;
  request.set_page_token("x");
  EXPECT_FALSE(GetUsage(context_, bob_, request).ok());
}

TEST_F(VerbsTest, AnAgentsOwnKeyOpensNothingInTheStore) {
  journal::v1::TokenRow row;
  row.set_id("agent");
  row.set_role(v1::AGENT);
  row.set_node_id("n1");
  row.set_hash(Sha256Of("key"));
  ASSERT_TRUE(scene_.Do(core::CreateToken{row}).ok());
  const auto access = AuthorizeStore(context_, "key");
  ASSERT_TRUE(access.ok()) << access.status();
  EXPECT_FALSE(access->read);
  EXPECT_FALSE(access->write);
}

TEST_F(VerbsTest, OutputsOfARunAreListedWithTheirEpoch) {
  scene_.Connect("a", 2);
  const auto job = Submit("makes", ann_);
  ASSERT_TRUE(job.ok()) << job.status();
  const auto key = scene_.Ordered("a").at(0).key();
  agent::v1::Fact fact;
  *fact.mutable_key() = key;
  fact.mutable_running()->set_pid(1);
  scene_.Tell("a", fact);
  v1::OutputTree* output = fact.mutable_exited()->add_outputs();
  output->set_kind("model");
  output->set_digest(std::string(32, 'd'));
  scene_.Tell("a", fact);
  v1::ListOutputsRequest request;
  request.set_name(job->name());
  const auto outputs = ListOutputs(context_, ann_, request);
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  ASSERT_EQ(outputs->outputs_size(), 1);
  EXPECT_EQ(outputs->outputs(0).kind(), "model");
  EXPECT_EQ(outputs->outputs(0).epoch(), key.epoch());
}

TEST_F(VerbsTest, AskAndTellThroughTheVerbs) {
  v1::CreateStudyRequest create;
  create.set_parent("projects/default");
  create.set_study_id("s");
  v1::StudySpec::Metric* metric = create.mutable_spec()->add_metrics();
  metric->set_metric_id("loss");
  metric->set_goal(v1::StudySpec::MINIMIZE);
  v1::StudySpec::Parameter* parameter = create.mutable_spec()->add_parameters();
  parameter->set_parameter_id("x");
  parameter->mutable_double_range()->set_max(1);
  create.mutable_spec()->set_algorithm(v1::StudySpec::RANDOM);
  const auto study = Call<v1::Study>(CreateStudy, ann_, create);
  ASSERT_TRUE(study.ok()) << study.status();
  v1::SuggestTrialsRequest suggest;
  suggest.set_parent(study->name());
  suggest.set_count(2);
  suggest.set_client_id("me");
  const auto trials = Call<v1::SuggestTrialsResponse>(SuggestTrials, ann_, suggest);
  ASSERT_TRUE(trials.ok()) << trials.status();
  ASSERT_EQ(trials->trials_size(), 2);
  for (const v1::Trial& trial : trials->trials()) {
    v1::CompleteTrialRequest complete;
    complete.set_name(trial.name());
    v1::MetricValue* value = complete.mutable_final_measurement()->add_metrics();
    value->set_metric_id("loss");
    value->set_value(trial.id());
    ASSERT_TRUE(Call<v1::Trial>(CompleteTrial, ann_, complete).ok());
  }
  v1::ListBestTrialsRequest best;
  best.set_parent(study->name());
  const auto found = ListBestTrials(context_, ann_, best);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->trials_size(), 1);
  EXPECT_EQ(found->trials(0).id(), 1);
  EXPECT_TRUE(found->trials(0).is_best());
}

}  // namespace
}  // namespace trainyard::api
