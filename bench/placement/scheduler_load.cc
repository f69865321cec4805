// Decisions of the real scheduler on a busy cluster with a long queue: what one event costs the
// owner thread, how long a job that fits at once takes from its submit until it is placed, and how
// long devices that are given back stay idle. The engine is stepped as its threads step it, one
// after the other, with a journal in memory: times are of one core, of the owner's part and the
// planner's. As in the scheduler, owner, committer and planner each have a thread, and with it
// memory of their own. Prints JSON.
//   scheduler_load [--nodes=1000] [--waiting=100000] [--events=300]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "common/mutex.h"
#include "common/random.h"
#include "glog/logging.h"
#include "scheduler/runtime/engine.h"

ABSL_FLAG(int, nodes, 1000, "nodes of 8 GPUs");
ABSL_FLAG(int, waiting, 100'000, "jobs that wait");
ABSL_FLAG(int, events, 300, "events of each kind that are timed");

namespace trainyard::runtime {
namespace {

// Of this thread, in milliseconds of one core: a busy machine does not count.
double NowMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// A thread that does what it is told, while whoever tells it waits.
class Aside {
 public:
  Aside() : thread_([this] { Run(); }) {}
  ~Aside() {
    Do(nullptr);
    thread_.join();
  }
  void Do(std::function<void()> work) {
    MutexLock lock(&mutex_);
    const bool ends = work == nullptr;
    work_ = std::move(work);
    told_ = true;
    changed_.NotifyAll();
    while (told_ && !ends) changed_.Wait(&mutex_);
  }

 private:
  void Run() {
    MutexLock lock(&mutex_);
    while (true) {
      while (!told_) changed_.Wait(&mutex_);
      if (work_ == nullptr) return;
      work_();
      work_ = nullptr;
      told_ = false;
      changed_.NotifyAll();
    }
  }
  Mutex mutex_;
  CondVar changed_;
  std::function<void()> work_ ABSL_GUARDED_BY(mutex_);
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class SetClock : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixSeconds(1'700'000'000) + passed_; }
  absl::Duration Monotonic() const override { return absl::Hours(1) + passed_; }
  void Pass(absl::Duration time) { passed_ += time; }

 private:
  absl::Duration passed_;
};

// Notes what is ordered to start.
class NotingLink : public AgentLink {
 public:
  bool Send(const std::string& node_id, const agent::v1::SchedulerMessage& message) override {
    for (const agent::v1::DesiredMember& member : message.delta().set()) {
      if (!member.has_assignment()) continue;
      started[member.key().run_uid()].push_back({node_id, member.key()});
    }
    return true;
  }
  std::map<uint64_t, std::vector<std::pair<std::string, agent::v1::MemberKey>>> started;
};

v1::JobSpec MakeSpec(int gpus, int cpu_milli) {
  v1::JobSpec spec;
  spec.set_display_name("load");
  spec.mutable_program()->add_command("/bin/true");
  spec.mutable_scheduling()->set_preemptible(true);
  v1::WorkerPool* pool = spec.add_worker_pools();
  pool->set_role("master");
  pool->set_replica_count(1);
  pool->mutable_resources()->set_cpu_milli(cpu_milli);
  pool->mutable_resources()->set_gpu_count(gpus);
  return spec;
}

double Share(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

class Load {
 public:
  Load() : journal_(journal::MakeMemoryJournal()) {
    Options options;
    options.clock = &clock_;
    options.seed = 1;
    options.lease = absl::Hours(1000);
    options.policy = *placement::PolicyNamed("las-r");
    options.token_secret = std::string(32, 's');
    auto engine = Engine::Recover(journal_.get(), options);
    CHECK(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  nlohmann::json Run() {
    const int nodes = absl::GetFlag(FLAGS_nodes);
    for (int i = 0; i < nodes; ++i) Connect(i);
    Settle();
    // One GPU, four or a node: they fill the cluster, and as many again wait as are asked for.
    const int waiting = absl::GetFlag(FLAGS_waiting);
    Fill(nodes * 2, 4);
    Settle();
    Fill(waiting / 2, 1);
    Fill(waiting / 4, 4);
    Fill(waiting - waiting / 2 - waiting / 4, 8);
    Settle();
    nlohmann::json out;
    out["nodes"] = nodes;
    out["running"] = link_.started.size();
    out["submitted"] = submitted_;
    owner_.clear();
    planner_.clear();
    Submits(&out);
    Turnover(&out);
    out["owner"] = {{"events", owner_.size()},
                    {"p50Ms", Share(owner_, 0.5)},
                    {"p99Ms", Share(owner_, 0.99)},
                    {"maxMs", Share(owner_, 1)}};
    out["plans"] = {{"count", planner_.size()},
                    {"p50Ms", Share(planner_, 0.5)},
                    {"p99Ms", Share(planner_, 0.99)},
                    {"maxMs", Share(planner_, 1)}};
    return out;
  }

 private:
  // One cycle of the owner; the time it took is added to `spent`.
  void Cycle(const std::function<void()>& task, double* spent) {
    const double begin = NowMs();
    task();
    engine_->Close();
    Batch batch = engine_->TakeBatch();
    if (!has_job_) has_job_ = engine_->TakePlanJob(&job_);
    const double took = NowMs() - begin;
    owner_.push_back(took);
    *spent += took;
    if (!batch.records.empty()) {
      CHECK(journal_->Append(engine_->incarnation(), batch.before, batch.records).ok());
    }
    committer_.Do([&] {
      engine_->Deliver(&batch, &link_);
      batch = Batch();
    });
  }
  // The planner's turn, if it has one, and the owner's with its answer; false: nothing to plan.
  bool Plan(double* spent) {
    if (!has_job_) return false;
    PlanAnswer answer;
    double took = 0;
    planning_.Do([&] {
      const double begin = NowMs();
      answer = ThinkOver(std::move(job_));
      job_ = PlanJob();
      took = NowMs() - begin;
    });
    has_job_ = false;
    planner_.push_back(took);
    *spent += took;
    clock_.Pass(absl::Milliseconds(1));
    Cycle([&] { engine_->Answer(std::move(answer)); }, spent);
    return true;
  }
  void Settle() {
    double spent = 0;
    for (int quiet = 0; quiet < 3; ++quiet) {
      Cycle([] {}, &spent);
      while (Plan(&spent)) quiet = 0;
      clock_.Pass(absl::Seconds(1));
    }
  }

  void Connect(int index) {
    agent::v1::Hello hello;
    v1::NodeInventory* inventory = hello.mutable_inventory();
    inventory->set_node_id(absl::StrCat("node", index));
    inventory->set_cores(128);
    inventory->set_memory_bytes(int64_t{1} << 40);
    for (int i = 0; i < 8; ++i) {
      v1::Device* device = inventory->add_devices();
      device->set_uuid(absl::StrCat("GPU-", index, "-", i));
      device->set_model("H100");
      device->set_index(i);
      device->set_healthy(true);
    }
    double spent = 0;
    Cycle(
        [&] {
          engine_->Connect(inventory->node_id(), 1, hello,
                           [](const auto& welcome) { CHECK(welcome.ok()) << welcome.status(); });
        },
        &spent);
  }

  void Post(const v1::JobSpec& spec) {
    core::Command command;
    command.principal.name = absl::StrCat("user", submitted_ % 400);
    command.principal.role = v1::ADMIN;
    command.body = core::SubmitJob{"default", absl::StrCat("j", ++submitted_), spec, false};
    engine_->Execute(std::move(command), [](const absl::StatusOr<core::Reply>& reply) {
      CHECK(reply.ok()) << reply.status();
    });
  }
  void Fill(int jobs, int gpus) {
    double spent = 0;
    const v1::JobSpec spec = MakeSpec(gpus, 1000 * gpus);
    for (int i = 0; i < jobs; i += 256) {
      Cycle(
          [&] {
            for (int k = i; k < std::min(jobs, i + 256); ++k) Post(spec);
          },
          &spent);
    }
  }

  // Jobs that fit at once: they ask for cores, of which there are enough.
  void Submits(nlohmann::json* out) {
    std::vector<double> times;
    const v1::JobSpec spec = MakeSpec(0, 1000);
    for (int i = 0; i < absl::GetFlag(FLAGS_events); ++i) {
      clock_.Pass(absl::Milliseconds(300));
      const size_t before = link_.started.size();
      double spent = 0;
      Cycle([&] { Post(spec); }, &spent);
      while (link_.started.size() == before && Plan(&spent)) {
      }
      CHECK_EQ(link_.started.size(), before + 1) << "it did not start";
      times.push_back(spent);
      while (Plan(&spent)) {
      }
    }
    (*out)["submitToPlaced"] = {{"p50Ms", Share(times, 0.5)}, {"p99Ms", Share(times, 0.99)}};
  }

  void Tell(const std::string& node_id, agent::v1::Fact fact) {
    fact.set_sequence(++facts_[node_id]);
    core::Command command;
    command.principal.name = node_id;
    command.principal.role = v1::AGENT;
    command.body = core::AgentFact{node_id, std::move(fact)};
    engine_->Execute(std::move(command), nullptr);
  }

  // A run ends and its devices are given to those that wait.
  void Turnover(nlohmann::json* out) {
    std::vector<double> times;
    std::vector<uint64_t> running;
    for (const auto& [uid, members] : link_.started) running.push_back(uid);
    Random random(5);
    for (int i = 0; i < absl::GetFlag(FLAGS_events) && !running.empty(); ++i) {
      clock_.Pass(absl::Milliseconds(300));
      std::swap(running[random.Below(running.size())], running.back());
      const auto [node_id, key] = link_.started.at(running.back()).front();
      running.pop_back();
      agent::v1::Fact fact;
      *fact.mutable_key() = key;
      const size_t before = link_.started.size();
      double spent = 0;
      fact.mutable_running()->set_pid(1);
      Cycle([&, node = node_id] { Tell(node, fact); }, &spent);
      while (Plan(&spent)) {
      }
      fact.mutable_exited()->mutable_record()->set_rank(-1);
      Cycle([&, node = node_id] { Tell(node, fact); }, &spent);
      spent = 0;
      fact.mutable_released();
      Cycle([&, node = node_id] { Tell(node, fact); }, &spent);
      while (link_.started.size() == before && Plan(&spent)) {
      }
      if (link_.started.size() > before) times.push_back(spent);
      while (Plan(&spent)) {
      }
    }
    (*out)["releasedToPlaced"] = {
        {"count", times.size()}, {"p50Ms", Share(times, 0.5)}, {"p99Ms", Share(times, 0.99)}};
  }

  SetClock clock_;
  NotingLink link_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<Engine> engine_;
  PlanJob job_;
  bool has_job_ = false;
  std::map<std::string, uint64_t> facts_;
  int submitted_ = 0;
  Aside planning_;
  Aside committer_;
  std::vector<double> owner_;
  std::vector<double> planner_;
};

}  // namespace
}  // namespace trainyard::runtime

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  printf("%s\n", trainyard::runtime::Load().Run().dump(1).c_str());
  return 0;
}
