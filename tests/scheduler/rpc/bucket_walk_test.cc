// Buckets of one project, walked with tokens of another, of agents and of attempts: every address
// of the store's HTTP that names a bucket, over real HTTP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/blob/blob.h"
#include "common/blob/http_connection.h"
#include "common/grant.h"
#include "common/sha256.h"
#include "scheduler/api/artifacts.h"
#include "tests/scheduler/rpc/fake_agent.h"
#include "tests/scheduler/rpc/harness.h"
#include "trainyard/v1/admin.grpc.pb.h"
#include "trainyard/v1/artifact.grpc.pb.h"
#include "trainyard/v1/job.grpc.pb.h"

namespace trainyard::rpc {
namespace {

class BucketWalkTest : public ::testing::Test {
 protected:
  BucketWalkTest() {
    store::HttpServer::Options options;
    options.authorize = [this](absl::string_view token) {
      return api::AuthorizeStore(harness_.context(), token);
    };
    http_ = store::StartHttpServer(harness_.context().store, std::move(options)).value();
    const auto admin = v1::AdminService::NewStub(harness_.channel());
    for (const char* project : {"ours", "theirs"}) {
      v1::CreateProjectRequest request;
      request.set_project_id(project);
      v1::Project made;
      EXPECT_TRUE(admin->CreateProject(Harness::Call(harness_.admin()).get(), request, &made).ok());
    }
    const std::string owner = harness_.MakeToken("owner", v1::SUBMITTER, "theirs");
    const auto client = blob::Client::Make(http_->address(), owner);
    file_ = HexOf(client->UploadBytes("their words").value());
    v1::Tree tree;
    v1::TreeEntry* const entry = tree.add_entries();
    entry->set_path("a.txt");
    entry->set_mode(0644);
    entry->set_size(11);
    entry->set_digest(client->UploadBytes("their words").value());
    tree_ = HexOf(client->UploadBytes(tree.SerializeAsString()).value());
    EXPECT_EQ(Ask(owner, "PUT", "/v1/objects/theirs/secret.txt", file_), 200);
  }

  int Ask(const std::string& token, const std::string& method, const std::string& target,
          const std::string& digest = "") {
    blob::HttpConnection::Options options;
    options.address = http_->address();
    options.token = token;
    const auto connection = blob::HttpConnection::Make(options);
    const std::string body = digest.empty() ? "" : absl::StrCat("{\"digest\":\"", digest, "\"}");
    blob::HttpRequest request;
    request.method = method;
    request.target = target;
    request.body = body;
    const auto reply = connection->Exchange(request, nullptr);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->status : 0;
  }

  // The statuses of list, read, write, write anew, delete and publish.
  std::vector<int> Walk(const std::string& token, const std::string& bucket) {
    const std::string objects = absl::StrCat("/v1/objects/", bucket);
    return {Ask(token, "GET", objects),
            Ask(token, "GET", absl::StrCat(objects, "/secret.txt")),
            Ask(token, "PUT", absl::StrCat(objects, "/new.txt"), file_),
            Ask(token, "PUT", absl::StrCat(objects, "/secret.txt"), file_),
            Ask(token, "POST", absl::StrCat("/v1/publish/", bucket, "/tree"), tree_),
            Ask(token, "DELETE", absl::StrCat(objects, "/secret.txt"))};
  }

  // The token that an agent gets with a run of `project`.
  agent::v1::Assignment Assigned(FakeAgent* agent, const std::string& project) {
    v1::SubmitJobRequest request;
    request.set_parent(absl::StrCat("projects/", project));
    request.set_job_id(absl::StrCat("job-", project));
    *request.mutable_spec() = MakeSpec();
    v1::Job job;
    const auto jobs = v1::JobService::NewStub(harness_.channel());
    EXPECT_TRUE(jobs->SubmitJob(Harness::Call(harness_.admin()).get(), request, &job).ok());
    return agent->NextDesired().assignment();
  }

  const std::vector<int> kDenied = std::vector<int>(6, 403);
  const std::vector<int> kAllowed = std::vector<int>(6, 200);
  Harness harness_;
  std::unique_ptr<store::HttpServer> http_;
  std::string file_;
  std::string tree_;
};

TEST_F(BucketWalkTest, MembersOfOtherProjectsStayOutside) {
  for (const v1::Role role : {v1::SUBMITTER, v1::PROJECT_ADMIN}) {
    EXPECT_EQ(Walk(harness_.MakeToken("eve", role, "ours"), "theirs"), kDenied)
        << v1::Role_Name(role);
  }
  EXPECT_EQ(Walk(harness_.MakeToken("eve", v1::VIEWER, "ours"), "theirs"), kDenied);
  for (const char* kind : {"upload", "download"}) {
    Grant grant;
    grant.kind = kind;
    grant.project = "ours";
    grant.principal = "eve";
    EXPECT_EQ(Walk(SignGrant(grant, harness_.context().secret), "theirs"), kDenied) << kind;
    grant.project.clear();
    EXPECT_EQ(Walk(SignGrant(grant, harness_.context().secret), "theirs"), kDenied)
        << kind << " of no project";
  }
  EXPECT_EQ(Walk(harness_.MakeToken("bob", v1::SUBMITTER, "theirs"), "theirs"), kAllowed);
}

// The key of a node's agent says nothing about projects: only what is assigned to it does.
TEST_F(BucketWalkTest, AnAgentsOwnKeyOpensNothing) {
  EXPECT_EQ(Walk(harness_.agent(), "theirs"), kDenied);
  EXPECT_EQ(Walk(harness_.agent(), "nobodys"), kDenied);
  EXPECT_EQ(Ask(harness_.agent(), "GET", absl::StrCat("/v1/blobs/", file_)), 403);
  EXPECT_EQ(Ask(harness_.agent(), "POST", "/v1/missing"), 403);
  const auto artifacts = v1::ArtifactService::NewStub(harness_.channel());
  v1::ListObjectsRequest list;
  list.set_bucket("theirs");
  v1::ListObjectsResponse objects;
  EXPECT_EQ(
      artifacts->ListObjects(Harness::Call(harness_.agent()).get(), list, &objects).error_code(),
      grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(BucketWalkTest, AJobsTokenOpensItsProjectWhileItRuns) {
  FakeAgent agent(&harness_, harness_.agent());
  agent.Hello("n1", 2);
  const agent::v1::Assignment ours = Assigned(&agent, "ours");
  const agent::v1::Assignment theirs = Assigned(&agent, "theirs");
  EXPECT_EQ(Walk(ours.attempt_token(), "theirs"), kDenied);
  EXPECT_EQ(Ask(ours.attempt_token(), "PUT", "/v1/objects/own/x", file_), 200);
  EXPECT_EQ(Ask(theirs.attempt_token(), "GET", "/v1/objects/own/x"), 403);
  EXPECT_EQ(Walk(theirs.attempt_token(), "theirs"), kAllowed);
  agent.RunToSuccess(theirs.key());
  EXPECT_EQ(Walk(theirs.attempt_token(), "theirs"), std::vector<int>(6, 401));
}

}  // namespace
}  // namespace trainyard::rpc
