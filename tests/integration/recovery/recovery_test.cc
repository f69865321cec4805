// The real scheduler is killed (SIGKILL) at random moments while clients submit over gRPC. Every
// job that was acknowledged must be there after each restart, under its own uid and once only; the
// same request id must give the same job again.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "common/mutex.h"
#include "common/random.h"
#include "trainyard/v1/job.grpc.pb.h"

namespace trainyard {
namespace {

constexpr int kClients = 6;
constexpr int kKillsShort = 12;
constexpr int kKillsLong = 200;

bool IsLong() {
  const char* value = std::getenv("TRAINYARD_TEST_LONG");
  return value != nullptr && std::string(value) == "1";
}

// The scheduler as a child process.
class Scheduler {
 public:
  explicit Scheduler(std::string folder) : folder_(std::move(folder)) {}
  ~Scheduler() { Kill(); }

  void Start() {
    unlink(JoinPath(folder_, "endpoint.json").c_str());
    const std::string state = absl::StrCat("--state_dir=", folder_);
    std::string log = "--log_level=error";
    std::string program = SCHEDULER_PATH;
    std::vector<char*> arguments = {program.data(), const_cast<char*>(state.data()), log.data(),
                                    nullptr};
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing is left behind when the test is killed
      execv(SCHEDULER_PATH, arguments.data());
      _exit(127);
    }
    for (int i = 0; i < 3000 && !Exists(JoinPath(folder_, "endpoint.json")); ++i) {
      int status = 0;
      ASSERT_EQ(waitpid(pid_, &status, WNOHANG), 0) << "the scheduler ended by itself";
      absl::SleepFor(absl::Milliseconds(10));
    }
    ASSERT_TRUE(Exists(JoinPath(folder_, "endpoint.json"))) << "not serving after 30 s";
    token_ = ReadFile(JoinPath(folder_, "token")).value();
    absl::StripAsciiWhitespace(&token_);
    channel_ = grpc::CreateCustomChannel(
        absl::StrCat("unix://", folder_, "/scheduler.sock"), grpc::InsecureChannelCredentials(),
        [] {
          grpc::ChannelArguments own;  // no channel is shared with the one that was killed
          own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
          return own;
        }());
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
  }
  std::unique_ptr<v1::JobService::Stub> Stub() const { return v1::JobService::NewStub(channel_); }
  std::unique_ptr<grpc::ClientContext> Call() const {
    auto call = std::make_unique<grpc::ClientContext>();
    call->AddMetadata("authorization", absl::StrCat("Bearer ", token_));
    call->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return call;
  }

 private:
  const std::string folder_;
  pid_t pid_ = -1;
  std::string token_;
  std::shared_ptr<grpc::Channel> channel_;
};

struct Acknowledged {
  Mutex mutex;
  std::map<std::string, uint64_t> jobs ABSL_GUARDED_BY(mutex);         // name to uid
  std::map<std::string, std::string> requests ABSL_GUARDED_BY(mutex);  // request id to name
};

v1::SubmitJobRequest Request(const std::string& id) {
  v1::SubmitJobRequest request;
  request.set_parent("projects/default");
  request.set_request_id(id);
  request.mutable_spec()->set_display_name("load");
  request.mutable_spec()->mutable_program()->add_command("/bin/true");
  v1::WorkerPool* pool = request.mutable_spec()->add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(1);
  pool->mutable_resources()->set_cpu_milli(100);
  return request;
}

// Submits until a call fails, which it does when the scheduler dies.
void Load(const Scheduler& scheduler, int round, int client, Acknowledged* acknowledged) {
  const auto stub = scheduler.Stub();
  for (int i = 0;; ++i) {
    const std::string id = absl::StrCat("r", round, "c", client, "n", i);
    v1::Job job;
    if (!stub->SubmitJob(scheduler.Call().get(), Request(id), &job).ok()) return;
    MutexLock lock(&acknowledged->mutex);
    EXPECT_TRUE(acknowledged->jobs.emplace(job.name(), job.uid()).second)
        << job.name() << " was given out twice";
    acknowledged->requests[id] = job.name();
  }
}

// Everything the scheduler knows now.
std::map<std::string, uint64_t> ListAll(const Scheduler& scheduler) {
  const auto stub = scheduler.Stub();
  std::map<std::string, uint64_t> all;
  v1::ListJobsRequest request;
  request.set_parent("projects/default");
  request.set_page_size(1000);
  do {
    v1::ListJobsResponse page;
    const grpc::Status status = stub->ListJobs(scheduler.Call().get(), request, &page);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (!status.ok()) return all;
    for (const v1::Job& job : page.jobs()) {
      EXPECT_TRUE(all.emplace(job.name(), job.uid()).second) << job.name() << " listed twice";
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

void CheckNothingLost(const Scheduler& scheduler, Acknowledged* acknowledged) {
  const std::map<std::string, uint64_t> all = ListAll(scheduler);
  MutexLock lock(&acknowledged->mutex);
  for (const auto& [name, uid] : acknowledged->jobs) {
    const auto found = all.find(name);
    ASSERT_NE(found, all.end()) << name << " was acknowledged and is lost";
    ASSERT_EQ(found->second, uid);
  }
  std::set<uint64_t> uids;
  for (const auto& [name, uid] : all) {
    ASSERT_TRUE(uids.insert(uid).second) << "uid " << uid << " twice";
  }
}

TEST(RecoveryTest, NothingAcknowledgedIsLostWhenTheSchedulerIsKilled) {
  char folder[] = "/tmp/trainyard-recovery-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const uint64_t seed = std::random_device()();
  std::printf("seed %lu\n", seed);
  Random random(seed);
  Scheduler scheduler(folder);
  Acknowledged acknowledged;
  absl::Duration worst_start;
  const int kills = IsLong() ? kKillsLong : kKillsShort;
  for (int round = 0; round < kills; ++round) {
    const absl::Time before = absl::Now();
    scheduler.Start();
    if (HasFatalFailure()) break;
    worst_start = std::max(worst_start, absl::Now() - before);
    std::vector<std::thread> clients;
    for (int client = 0; client < kClients; ++client) {
      clients.emplace_back([&, client] { Load(scheduler, round, client, &acknowledged); });
    }
    // The moment of death is what is random here.
    absl::SleepFor(absl::Microseconds(1000 + random.Below(400'000)));
    scheduler.Kill();
    for (std::thread& client : clients) client.join();
    if (round % 10 != 9 && round + 1 != kills) continue;
    scheduler.Start();
    if (!HasFatalFailure()) CheckNothingLost(scheduler, &acknowledged);
    if (HasFatalFailure()) break;
    scheduler.Kill();
  }
  if (!HasFatalFailure()) {
    scheduler.Start();
    const auto stub = scheduler.Stub();
    MutexLock lock(&acknowledged.mutex);
    EXPECT_GT(acknowledged.jobs.size(), static_cast<size_t>(kills)) << "there was load";
    int asked = 0;
    for (const auto& [id, name] : acknowledged.requests) {
      if (++asked > 50) break;
      v1::Job job;
      ASSERT_TRUE(stub->SubmitJob(scheduler.Call().get(), Request(id), &job).ok());
      EXPECT_EQ(job.name(), name) << "request " << id << " came again after the crash";
    }
    std::printf("%d kills, %zu jobs acknowledged, 0 lost, worst start %s\n", kills,
                acknowledged.jobs.size(), absl::FormatDuration(worst_start).c_str());
  }
  scheduler.Kill();
  RemoveTree(folder).IgnoreError();
}

}  // namespace
}  // namespace trainyard
