// See policy.h.
#include "scheduler/rpc/policy.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "google/protobuf/descriptor.h"
#include "trainyard/agent/v1/agent.pb.h"
#include "trainyard/v1/insight.pb.h"
#include "trainyard/v1/queue.pb.h"

namespace trainyard::rpc {
namespace {

enum Who : unsigned {
  kViewer = 1,
  kSubmitter = 2,
  kProjectAdmin = 4,
  kAdmin = 8,
  kAgent = 16,
  kAttempt = 32,
  kJoin = 64,
  kReaders = kViewer | kSubmitter | kProjectAdmin | kAdmin,
  kWriters = kSubmitter | kProjectAdmin | kAdmin,
};

const absl::flat_hash_map<std::string, unsigned>& Table() {
  static const auto* const table = new absl::flat_hash_map<std::string, unsigned>{
      {"/trainyard.v1.JobService/SubmitJob", kWriters},
      {"/trainyard.v1.JobService/SubmitJobs", kWriters},
      {"/trainyard.v1.JobService/GetJob", kReaders},
      {"/trainyard.v1.JobService/ListJobs", kReaders},
      {"/trainyard.v1.JobService/CancelJob", kWriters},
      {"/trainyard.v1.JobService/UpdateJob", kWriters},
      {"/trainyard.v1.JobService/PauseJob", kWriters},
      {"/trainyard.v1.JobService/ResumeJob", kWriters},
      {"/trainyard.v1.JobService/WatchJob", kReaders},
      {"/trainyard.v1.JobService/ExplainJob", kReaders},
      {"/trainyard.v1.JobService/TailLogs", kReaders},
      {"/trainyard.v1.JobService/ListMetrics", kReaders},
      {"/trainyard.v1.StudyService/CreateStudy", kWriters},
      {"/trainyard.v1.StudyService/GetStudy", kReaders},
      {"/trainyard.v1.StudyService/ListStudies", kReaders},
      {"/trainyard.v1.StudyService/DeleteStudy", kWriters},
      {"/trainyard.v1.StudyService/SuggestTrials", kWriters},
      {"/trainyard.v1.StudyService/AddMeasurement", kWriters},
      {"/trainyard.v1.StudyService/CompleteTrial", kWriters},
      {"/trainyard.v1.StudyService/ShouldStop", kReaders},
      {"/trainyard.v1.StudyService/GetTrial", kReaders},
      {"/trainyard.v1.StudyService/ListTrials", kReaders},
      {"/trainyard.v1.StudyService/ListBestTrials", kReaders},
      {"/trainyard.v1.InsightService/GetStudyInsight", kReaders},
      {"/trainyard.v1.NodeService/ListNodes", kReaders},
      {"/trainyard.v1.NodeService/GetNode", kReaders},
      {"/trainyard.v1.NodeService/DrainNode", kAdmin},
      {"/trainyard.v1.NodeService/RevokeNode", kAdmin},
      {"/trainyard.v1.ArtifactService/GetUploadGrant", kWriters},
      {"/trainyard.v1.ArtifactService/GetDownloadGrant", kReaders},
      {"/trainyard.v1.ArtifactService/ListOutputs", kReaders},
      {"/trainyard.v1.ArtifactService/ListObjects", kReaders},
      {"/trainyard.v1.AdminService/GetServerInfo", kReaders},
      {"/trainyard.v1.AdminService/CreateToken", kAdmin},
      {"/trainyard.v1.AdminService/ListTokens", kAdmin},
      {"/trainyard.v1.AdminService/RevokeToken", kAdmin},
      {"/trainyard.v1.AdminService/CreateJoinToken", kAdmin},
      {"/trainyard.v1.AdminService/ListTiers", kReaders},
      {"/trainyard.v1.AdminService/SetTier", kAdmin},
      {"/trainyard.v1.AdminService/CreateProject", kAdmin},
      {"/trainyard.v1.AdminService/ListProjects", kReaders},
      {"/trainyard.v1.QueueService/SetJobQueueing", kWriters},
      {"/trainyard.v1.QueueService/PlanJob", kWriters},
      {"/trainyard.v1.QueueService/SetQueue", kAdmin},
      {"/trainyard.v1.QueueService/DeleteQueue", kAdmin},
      {"/trainyard.v1.QueueService/SetQuota", kAdmin},
      {"/trainyard.v1.QueueService/DeleteQuota", kAdmin},
      {"/trainyard.v1.QueueService/CreateReservation", kAdmin},
      {"/trainyard.v1.QueueService/DeleteReservation", kAdmin},
      {"/trainyard.v1.QueueService/GetQueue", kReaders},
      {"/trainyard.v1.QueueService/ListQueues", kReaders},
      {"/trainyard.v1.QueueService/GetQuota", kReaders},
      {"/trainyard.v1.QueueService/ListQuotas", kReaders},
      {"/trainyard.v1.QueueService/ListReservations", kReaders},
      {"/trainyard.v1.QueueService/GetUsage", kReaders},
      {"/trainyard.v1.QueueService/ExportHistory", kReaders},
      {"/trainyard.v1.AdminService/UpdateProject", kAdmin},
      {"/trainyard.agent.v1.AgentService/Join", kJoin},
      {"/trainyard.agent.v1.AgentService/Control", kAgent},
      {"/trainyard.agent.v1.AgentService/Telemetry", kAgent},
      {"/trainyard.agent.v1.AgentService/SpawnDaemon", kAgent},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kReaders},
  };
  return *table;
}

unsigned RoleOf(const api::Identity& identity) {
  if (identity.is_join) return kJoin;
  if (!identity.grant_kind.empty() && identity.grant_kind != "attempt") return 0;
  switch (identity.principal.role) {
    case v1::VIEWER:
      return kViewer;
    case v1::SUBMITTER:
      return kSubmitter;
    case v1::PROJECT_ADMIN:
      return kProjectAdmin;
    case v1::ADMIN:
      return kAdmin;
    case v1::AGENT:
      return kAgent;
    case v1::ATTEMPT:
      return kAttempt;
    default:
      return 0;
  }
}

std::string Names(unsigned who) {
  if (who == kReaders) return "a user's token";
  if (who == kWriters) return "the role SUBMITTER, PROJECT_ADMIN or ADMIN";
  if (who == kAdmin) return "the role ADMIN";
  if (who == kJoin) return "a join token";
  return "an agent's token";
}

// What the caller did, in words: "submit a job" of /trainyard.v1.JobService/SubmitJob.
std::string InWords(absl::string_view path) {
  const std::string method(path.substr(path.rfind('/') + 1));
  if (method == "GetUploadGrant") return "send a program or a file";
  if (method == "GetDownloadGrant") return "fetch what was published";
  if (method == "SetJobQueueing") return "change a job's place in the queue";
  std::string words;
  bool noun = false;
  for (const char letter : method) {
    const bool begins = absl::ascii_isupper(static_cast<unsigned char>(letter));
    if (begins && !words.empty()) {
      const bool one = !std::exchange(noun, true) && method.back() != 's';
      absl::StrAppend(&words, one ? (absl::StrContains("AEIOU", letter) ? " an " : " a ") : " ");
    }
    words.push_back(absl::ascii_tolower(static_cast<unsigned char>(letter)));
  }
  return words;
}

// "ann, VIEWER"
std::string WhoIs(const api::Identity& identity) {
  if (identity.is_join) return "a machine that joins";
  if (!identity.grant_kind.empty() && identity.grant_kind != "attempt") return "a grant";
  return absl::StrCat(identity.principal.name, ", ", v1::Role_Name(identity.principal.role));
}

}  // namespace

bool IsOpen(absl::string_view path) {
  return path == "/grpc.health.v1.Health/Check" || path == "/grpc.health.v1.Health/Watch";
}

absl::Status CheckPolicy(absl::string_view path, const api::Identity& identity) {
  const auto line = Table().find(std::string(path));
  if (line == Table().end()) {
    return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                     absl::StrCat("nobody may call ", path), "use a client of this version");
  }
  if ((line->second & RoleOf(identity)) != 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED",
                   absl::StrCat("this token may not ", InWords(path), ": it is of ",
                                WhoIs(identity), "; that needs ", Names(line->second)),
                   "ask an administrator for a token of that role: trainyard token create USER "
                   "--role ROLE");
}

std::vector<std::string> MethodsWithoutPolicy() {
  // Naming one message of each file keeps its descriptors linked in.
  v1::StudyInsight::descriptor();
  v1::Queue::descriptor();
  const google::protobuf::FileDescriptor* agent = agent::v1::Hello::descriptor()->file();
  std::vector<std::string> missing;
  for (const char* name :
       {"trainyard.v1.JobService", "trainyard.v1.StudyService", "trainyard.v1.InsightService",
        "trainyard.v1.NodeService", "trainyard.v1.ArtifactService", "trainyard.v1.AdminService",
        "trainyard.v1.QueueService", "trainyard.agent.v1.AgentService"}) {
    const google::protobuf::ServiceDescriptor* service = agent->pool()->FindServiceByName(name);
    if (service == nullptr) {
      missing.push_back(name);
      continue;
    }
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string path = absl::StrCat("/", name, "/", service->method(i)->name());
      if (!Table().contains(path)) missing.push_back(path);
    }
  }
  return missing;
}

}  // namespace trainyard::rpc
