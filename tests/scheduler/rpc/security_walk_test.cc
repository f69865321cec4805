// Every method of the server, found by reflection, called without a token, with a wrong one, with
// an expired one and with one of another role: none gets through but health.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/grant.h"
#include "tests/scheduler/rpc/harness.h"

namespace trainyard::rpc {
namespace {

using google::protobuf::UnknownFieldSet;

// One call with one message; its first answer and its status.
struct Answer {
  grpc::Status status;
  std::string bytes;
};

Answer CallRaw(Harness* harness, const std::string& method, const std::string& token,
               const std::string& request) {
  grpc::GenericStub stub(harness->channel());
  grpc::CompletionQueue queue;
  const auto call = Harness::Call(token);
  auto stream = stub.PrepareCall(call.get(), method, &queue);
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  stream->StartCall(nullptr);
  wait();
  const grpc::Slice slice(request);
  grpc::ByteBuffer out(&slice, 1);
  Answer answer;
  stream->Write(out, nullptr);
  if (wait()) {
    stream->WritesDone(nullptr);
    wait();
  }
  grpc::ByteBuffer in;
  stream->Read(&in, nullptr);
  if (wait()) {
    grpc::Slice whole;
    if (in.DumpToSingleSlice(&whole).ok()) {
      answer.bytes.assign(reinterpret_cast<const char*>(whole.begin()), whole.size());
    }
  }
  stream->Finish(&answer.status, nullptr);
  wait();
  queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) {
  }
  return answer;
}

constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

// Reflection's messages are spoken by field number: 7 list services, 4 file with a symbol.
std::string Reflect(Harness* harness, int field, const std::string& value, int answer_field) {
  UnknownFieldSet request;
  request.AddLengthDelimited(field, value);
  std::string bytes;
  request.SerializeToString(&bytes);
  const Answer answer = CallRaw(harness, kReflection, harness->admin(), bytes);
  UnknownFieldSet response;
  EXPECT_TRUE(response.ParseFromString(answer.bytes)) << answer.status.error_message();
  for (int i = 0; i < response.field_count(); ++i) {
    if (response.field(i).number() == answer_field) return response.field(i).length_delimited();
  }
  ADD_FAILURE() << "no answer to reflection of " << value;
  return "";
}

std::vector<std::string> ServicesByReflection(Harness* harness) {
  UnknownFieldSet list;
  list.ParseFromString(Reflect(harness, 7, "*", 6));
  std::vector<std::string> names;
  for (int i = 0; i < list.field_count(); ++i) {
    UnknownFieldSet service;
    service.ParseFromString(list.field(i).length_delimited());
    names.push_back(service.field(0).length_delimited());
  }
  return names;
}

std::vector<std::string> MethodsByReflection(Harness* harness) {
  std::vector<std::string> methods;
  for (const std::string& service : ServicesByReflection(harness)) {
    if (service == "grpc.health.v1.Health") {
      // gRPC's own health service is listed, but brings no descriptor.
      methods.push_back("/grpc.health.v1.Health/Check");
      methods.push_back("/grpc.health.v1.Health/Watch");
      continue;
    }
    UnknownFieldSet files;
    files.ParseFromString(Reflect(harness, 4, service, 4));
    for (int i = 0; i < files.field_count(); ++i) {
      google::protobuf::FileDescriptorProto file;
      if (!file.ParseFromString(files.field(i).length_delimited())) continue;
      for (const auto& one : file.service()) {
        if (absl::StrCat(file.package(), ".", one.name()) != service) continue;
        for (const auto& method : one.method()) {
          methods.push_back(absl::StrCat("/", service, "/", method.name()));
        }
      }
    }
  }
  return methods;
}

bool IsHealth(const std::string& method) {
  return absl::StartsWith(method, "/grpc.health.v1.Health/");
}
bool IsAgents(const std::string& method) {
  return absl::StartsWith(method, "/trainyard.agent.v1.");
}

class SecurityWalkTest : public ::testing::Test {
 protected:
  SecurityWalkTest() : methods_(MethodsByReflection(&harness_)) {}

  grpc::StatusCode CodeOf(const std::string& method, const std::string& token) {
    return CallRaw(&harness_, method, token, "").status.error_code();
  }

  Harness harness_;
  const std::vector<std::string> methods_;
};

TEST_F(SecurityWalkTest, ReflectionFindsEveryService) {
  std::set<std::string> services;
  for (const std::string& method : methods_) {
    services.insert(method.substr(1, method.rfind('/') - 1));
  }
  for (const char* name :
       {"trainyard.v1.JobService", "trainyard.v1.StudyService", "trainyard.v1.InsightService",
        "trainyard.v1.NodeService", "trainyard.v1.ArtifactService", "trainyard.v1.AdminService",
        "trainyard.v1.QueueService", "trainyard.agent.v1.AgentService",
        "grpc.reflection.v1alpha.ServerReflection", "grpc.health.v1.Health"}) {
    EXPECT_TRUE(services.contains(name)) << name;
  }
  EXPECT_GE(methods_.size(), 45u);
}

TEST_F(SecurityWalkTest, NoTokenAndWrongTokensOpenNothingButHealth) {
  const std::string expired = harness_.MakeToken("gone", v1::ADMIN, "", -absl::Hours(1));
  Grant stale;
  stale.kind = "attempt";
  stale.run_uid = 7;
  stale.epoch = 1;
  const std::string attempt_over = SignGrant(stale, harness_.context().secret);
  const std::string forged = SignGrant(stale, std::string(32, 'x'));
  const std::vector<std::string> tokens = {"",      "wrong",      std::string(5000, 'a'),
                                           expired, attempt_over, forged};
  for (const std::string& method : methods_) {
    if (IsHealth(method)) continue;
    for (const std::string& token : tokens) {
      EXPECT_EQ(CodeOf(method, token), grpc::StatusCode::UNAUTHENTICATED)
          << method << " with \"" << token.substr(0, 40) << "\"";
    }
  }
}

TEST_F(SecurityWalkTest, TokensOfOtherRolesAreRefused) {
  const std::string join =
      harness_.MakeToken("n9", v1::AGENT, "", absl::Hours(1), /*is_join=*/true);
  Grant upload;
  upload.kind = "upload";
  upload.project = "default";
  upload.principal = "admin";
  const std::string grant = SignGrant(upload, harness_.context().secret);
  for (const std::string& method : methods_) {
    if (IsHealth(method)) continue;
    const auto denied = grpc::StatusCode::PERMISSION_DENIED;
    EXPECT_EQ(CodeOf(method, grant), denied) << method << " with a grant for the store";
    if (IsAgents(method)) {
      EXPECT_EQ(CodeOf(method, harness_.admin()), denied) << method << " with a user's token";
    } else {
      EXPECT_EQ(CodeOf(method, harness_.agent()), denied) << method << " with an agent's token";
    }
    if (method != "/trainyard.agent.v1.AgentService/Join") {
      EXPECT_EQ(CodeOf(method, join), denied) << method << " with a join token";
    }
  }
}

// By the methods' own names, not by the table that decides: what does not read changes something.
TEST_F(SecurityWalkTest, AViewerReadsAndDoesNothingElse) {
  const std::string viewer = harness_.MakeToken("viewer", v1::VIEWER);
  int refused = 0;
  for (const std::string& method : methods_) {
    if (IsHealth(method)) continue;
    const std::string name = method.substr(method.rfind('/') + 1);
    bool reads = false;
    for (const char* verb : {"Get", "List", "Watch", "Tail", "Explain", "Export", "ShouldStop",
                             "ServerReflectionInfo"}) {
      reads = reads || absl::StartsWith(name, verb);
    }
    // Tokens are an administrator's to see; a grant for sending opens the store to writes.
    if (name == "ListTokens" || name == "GetUploadGrant") reads = false;
    if (reads) {
      EXPECT_NE(CodeOf(method, viewer), grpc::StatusCode::PERMISSION_DENIED) << method;
    } else {
      EXPECT_EQ(CodeOf(method, viewer), grpc::StatusCode::PERMISSION_DENIED) << method;
      ++refused;
    }
  }
  EXPECT_GE(refused, 30);
}

// What governs everybody is an administrator's, by every method of that kind.
TEST_F(SecurityWalkTest, ASubmitterDoesNotAdminister) {
  const std::string submitter = harness_.MakeToken("submitter", v1::SUBMITTER, "default");
  for (const std::string& method : methods_) {
    const std::string name = method.substr(method.rfind('/') + 1);
    const bool governs = absl::StrContains(method, "AdminService/") ||
                         absl::StrContains(method, "NodeService/") ||
                         absl::StrContains(method, "QueueService/");
    const bool of_a_job = name == "SetJobQueueing" || name == "PlanJob";
    const bool reads = absl::StartsWith(name, "Get") || absl::StartsWith(name, "Export") ||
                       (absl::StartsWith(name, "List") && name != "ListTokens");
    if (!governs || of_a_job || reads) continue;
    EXPECT_EQ(CodeOf(method, submitter), grpc::StatusCode::PERMISSION_DENIED) << method;
  }
}

TEST_F(SecurityWalkTest, UnknownMethodsAreRefusedToo) {
  EXPECT_EQ(CodeOf("/trainyard.v1.JobService/Nothing", ""), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(CodeOf("/trainyard.v1.JobService/Nothing", harness_.admin()),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(SecurityWalkTest, HealthIsOpen) {
  EXPECT_EQ(CodeOf("/grpc.health.v1.Health/Check", ""), grpc::StatusCode::OK);
}

TEST_F(SecurityWalkTest, TheRightTokenGetsThrough) {
  EXPECT_EQ(CodeOf("/trainyard.v1.AdminService/GetServerInfo", harness_.admin()),
            grpc::StatusCode::OK);
}

TEST_F(SecurityWalkTest, ProjectsAreKeptApart) {
  const std::string other = harness_.MakeToken("other", v1::SUBMITTER, "elsewhere");
  UnknownFieldSet request;  // ListJobsRequest.parent
  request.AddLengthDelimited(1, "projects/default");
  std::string bytes;
  request.SerializeToString(&bytes);
  EXPECT_EQ(
      CallRaw(&harness_, "/trainyard.v1.JobService/ListJobs", other, bytes).status.error_code(),
      grpc::StatusCode::PERMISSION_DENIED);
}

TEST(ListenAddressTest, OtherThanLoopbackNeedsTls) {
  EXPECT_TRUE(CheckListenAddress("listen", "127.0.0.1:0", false).ok());
  EXPECT_TRUE(CheckListenAddress("listen", "localhost:80", false).ok());
  EXPECT_TRUE(CheckListenAddress("listen", "[::1]:80", false).ok());
  EXPECT_TRUE(CheckListenAddress("listen", "0.0.0.0:80", true).ok());
  for (const char* address :
       {"0.0.0.0:80", "[::]:80", ":80", "10.1.2.3:80", "example.org:80", "127.example.org:80"}) {
    const absl::Status status = CheckListenAddress("listen", address, false);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << address;
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("--tls_cert=cert.pem"));
  }
}

}  // namespace
}  // namespace trainyard::rpc
