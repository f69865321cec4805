// The agent's start, channels and bookkeeping; see agent.h. Effects before and at the start of a
// member are in agent_launch.cc, those at its end in agent_end.cc.
#include "worker/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <glog/logging.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/fault_point.h"
#include "common/file.h"

namespace trainyard::worker {

Agent::Agent(EventLoop* loop, AgentOptions options, AgentChannels channels)
    : loop_(loop),
      options_(std::move(options)),
      channels_(std::move(channels)),
      attempts_(JoinPath(options_.work_dir, "attempts")),
      telemetry_(loop, channels_.send_telemetry),
      stager_(JoinPath(options_.work_dir, "cache"), options_.packages),
      ended_(JoinPath(options_.work_dir, "ended")) {
  for (std::unique_ptr<WorkPool>& pool : pools_) {
    pool = std::make_unique<WorkPool>(options_.pool_threads, options_.pool_waiting_max);
  }
}

Agent::~Agent() {
  closing_ = true;
  for (std::unique_ptr<WorkPool>& pool : pools_) pool.reset();
  *alive_ = false;
  if (inotify_.valid()) loop_->Unwatch(inotify_.get());
  for (auto& [id, member] : members_) {
    if (member.supervisor.has_value()) loop_->Unwatch(member.supervisor->ended_fd());
  }
  if (tick_timer_ != 0) loop_->Cancel(tick_timer_);
  if (sweep_timer_ != 0) loop_->Cancel(sweep_timer_);
  if (leave_timer_ != 0) loop_->Cancel(leave_timer_);
}

absl::Status Agent::Start() {
  for (const char* name : {"attempts", "cache", "facts"}) {
    const absl::Status made = MakeFolders(JoinPath(options_.work_dir, name), 0711);
    if (!made.ok()) return made;
  }
  const std::string lock = JoinPath(options_.work_dir, "agent.lock");
  lock_ = FileDescriptor(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) return ErrnoError(errno, "cannot open", lock);
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "another agent uses ", options_.work_dir, "; stop it or give this one another --work_dir"));
  }
  inotify_ = FileDescriptor(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_.valid()) return ErrnoError(errno, "cannot watch files (inotify)");
  loop_->Watch(inotify_.get(), [this] { OnInotify(); });
  FactLog::Contents contents;
  absl::StatusOr<FactLog> log =
      FactLog::Open(JoinPath(options_.work_dir, "facts"), options_.inventory.boot_id(), &contents);
  if (!log.ok()) return log.status();
  facts_ = *std::move(log);
  core_ = std::make_unique<AgentCore>(options_.inventory, facts_->incarnation());
  core_->RestoreFacts(std::move(contents.facts), contents.next_sequence, contents.acknowledged);
  for (const FoundAttempt& found : FindAttempts(attempts_)) Adopt(found);
  LookAtSupervisors();
  InBackground(
      Work::kRemove, [this] { ended_.RemoveAll().IgnoreError(); }, [] {});
  Perform();
  return absl::OkStatus();
}

void Agent::OnControlConnected() {
  core_->Connected(Time());
  Perform();
}
void Agent::OnControlDisconnected() {
  core_->Disconnected();
  Perform();
}
void Agent::OnControlMessage(const agent::v1::SchedulerMessage& message) {
  if (message.has_start_daemon()) return OnStartDaemon(message.start_daemon());
  if (message.has_daemon_refused()) return OnDaemonRefused(message.daemon_refused());
  core_->Receive(message, Time());
  if (message.has_welcome()) store_address_.Set(core_->store_address());
  Perform();
}

// Effects may lead to happenings and these to effects: the outermost call performs them all.
void Agent::Perform() {
  if (std::exchange(performing_, true)) return;
  for (std::vector<Effect> effects; !(effects = core_->TakeEffects()).empty();) {
    for (const Effect& effect : effects) {
      std::visit([this](const auto& one) { Do(one); }, effect);
    }
  }
  performing_ = false;
  ScheduleTick();
}

void Agent::ScheduleTick() {
  const absl::Duration next = core_->NextTick();
  if (next == tick_time_ && tick_timer_ != 0) return;
  if (tick_timer_ != 0) loop_->Cancel(tick_timer_);
  tick_timer_ = 0;
  tick_time_ = next;
  if (next == absl::InfiniteDuration()) return;
  tick_timer_ = loop_->After(std::max(absl::ZeroDuration(), next - loop_->Now()), [this] {
    tick_timer_ = 0;
    core_->Tick(Time());
    Perform();
  });
}

void Agent::Do(const SendToScheduler& effect) {
  if (!effect.message.has_heartbeat()) TRAINYARD_FAULT_POINT("agent.before_send");
  channels_.send_control(effect.message);
}

void Agent::Do(const StoreFact& effect) {
  // A fact that cannot be kept must not be sent either: without a disk the agent is of no use.
  TRAINYARD_FAULT_POINT("agent.before_store_fact");
  const absl::Status stored = facts_->Append(effect.fact);
  LOG_IF(FATAL, !stored.ok()) << "cannot store a fact: " << stored;
  TRAINYARD_FAULT_POINT("agent.after_store_fact");
  if (!effect.fact.has_exited()) return;
  const MemberId id = IdOf(effect.fact.key());
  const v1::ExitRecord& record = effect.fact.exited().record();
  LOG(INFO) << "member=" << FolderName(id) << " exited cause=" << v1::ExitCause_Name(record.cause())
            << " rank=" << record.rank() << " code=" << record.exit_code()
            << " signal=" << record.signal();
  if (Member* const member = Find(id)) {
    const absl::Status marked = member->folder.MarkReported(effect.fact.sequence());
    LOG_IF(WARNING, !marked.ok()) << "member=" << FolderName(id) << " " << marked;
    TRAINYARD_FAULT_POINT("agent.after_mark_reported");
  }
}

void Agent::Do(const DropFacts& effect) {
  TRAINYARD_FAULT_POINT("agent.before_drop_facts");
  const absl::Status dropped = facts_->Drop(effect.through);
  LOG_IF(WARNING, !dropped.ok()) << "cannot shorten the log of facts: " << dropped;
}

void Agent::Do(const StoreIncarnation& effect) {
  TRAINYARD_FAULT_POINT("agent.before_store_incarnation");
  const absl::Status stored = facts_->SetIncarnation(effect.incarnation);
  LOG_IF(FATAL, !stored.ok()) << "cannot store the scheduler's incarnation: " << stored;
}

void Agent::Do(const Reconnect& effect) {
  LOG(WARNING) << "reconnecting: " << effect.why;
  channels_.reconnect(effect.why);
}

// Reads what changed of which members, then looks at each once.
void Agent::OnInotify() {
  alignas(inotify_event) char buffer[16384];
  std::map<MemberId, bool> touched;
  for (ssize_t n; (n = read(inotify_.get(), buffer, sizeof buffer)) > 0;) {
    for (ssize_t at = 0; at < n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      const auto found = watches_.find(event->wd);
      if (found != watches_.end()) touched[found->second] = true;
      if ((event->mask & IN_Q_OVERFLOW) == 0) continue;
      for (const auto& [id, member] : members_) touched[id] = true;
    }
  }
  for (const auto& [id, unused] : touched) {
    Member* const member = Find(id);
    if (member == nullptr) continue;
    ReadEvents(id, member);
    telemetry_.Poke(id);
  }
  Perform();
}

void Agent::Watch(const MemberId& id, Member* member) {
  const std::string log = member->folder.In(layout::kLog);
  const std::string* const folders[2] = {&member->folder.path(), &log};
  for (int i = 0; i < 2; ++i) {
    member->watches[i] = inotify_add_watch(inotify_.get(), folders[i]->c_str(), IN_MODIFY);
    if (member->watches[i] >= 0) {
      watches_[member->watches[i]] = id;
    } else {
      PLOG(WARNING) << "cannot watch " << *folders[i] << "; its output is shown at its end";
    }
  }
}

void Agent::Unwatch(Member* member) {
  for (int& watch : member->watches) {
    if (watch < 0) continue;
    watches_.erase(watch);
    inotify_rm_watch(inotify_.get(), watch);
    watch = -1;
  }
}

Agent::Member* Agent::Find(const MemberId& id) {
  const auto found = members_.find(id);
  return found == members_.end() ? nullptr : &found->second;
}

absl::Status Agent::WithStore(const std::string& token,
                              const std::function<absl::Status(blob::Client*)>& work,
                              const Ask& impatient, const Ask& over) const {
  const Ask end = [&] { return closing_ || over(); };
  return Retry(
      [&]() -> absl::Status {
        const std::string address = store_address_.Get();
        if (address.empty()) return absl::UnavailableError("no scheduler has told its store yet");
        const std::unique_ptr<blob::Client> client = channels_.make_client(address, token);
        client->GiveUpWhen(end);
        return work(client.get());
      },
      [&] { return end() || impatient(); });
}

Agent::Ask Agent::After(absl::Duration limit) const {
  return [clock = &loop_->clock(), until = loop_->Now() + limit] {
    return clock->Monotonic() > until;
  };
}

Now Agent::Time() const { return {loop_->Now(), absl::ToUnixMicros(loop_->clock().Now())}; }

bool Agent::InBackground(Work work, std::function<void()> job, std::function<void()> then) {
  WorkPool* const pool = pools_[static_cast<size_t>(work)].get();
  const bool posted = pool->Post([this, alive = alive_, job = std::move(job), then] {
    job();
    loop_->Post([alive, then] {
      if (*alive) then();
    });
  });
  LOG_IF(ERROR, !posted) << "too much blocking work waits";
  return posted;
}

}  // namespace trainyard::worker
