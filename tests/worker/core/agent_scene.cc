// See agent_scene.h.
#include "tests/worker/core/agent_scene.h"

#include "absl/strings/str_cat.h"

namespace trainyard::worker {
namespace {

v1::NodeInventory Inventory() {
  v1::NodeInventory inventory;
  inventory.set_node_id("node-1");
  return inventory;
}

std::string FactText(const agent::v1::Fact& fact) {
  const std::string name = FolderName(IdOf(fact.key()));
  switch (fact.body_case()) {
    case agent::v1::Fact::kPrepared:
      return absl::StrCat("prepared ", name, " port ", fact.prepared().port());
    case agent::v1::Fact::kRunning:
      return absl::StrCat("running ", name);
    case agent::v1::Fact::kExited:
      return absl::StrCat("exited ", name, " ", v1::ExitCause_Name(fact.exited().record().cause()),
                          fact.exited().refused() ? " refused" : "",
                          fact.exited().stopped_on_request() ? " on request" : "");
    case agent::v1::Fact::kReleased:
      return absl::StrCat("released ", name);
    case agent::v1::Fact::kCheckpointPart:
      return absl::StrCat("checkpoint ", name, " step ", fact.checkpoint_part().step());
    case agent::v1::Fact::kInventoryChanged:
      return "inventory";
    case agent::v1::Fact::BODY_NOT_SET:
      break;
  }
  return "nothing";
}

std::string MessageText(const agent::v1::AgentMessage& message) {
  switch (message.body_case()) {
    case agent::v1::AgentMessage::kHello:
      return absl::StrCat("hello ", message.hello().members_size(), " members");
    case agent::v1::AgentMessage::kHeartbeat:
      return absl::StrCat("heartbeat ", message.heartbeat().sequence());
    case agent::v1::AgentMessage::kFact:
      return "";  // see StoreFact
    case agent::v1::AgentMessage::kDesiredAck:
      return absl::StrCat("ack ", message.desired_ack().version());
    case agent::v1::AgentMessage::kDaemonRefused:
      return "daemon refused";
    case agent::v1::AgentMessage::BODY_NOT_SET:
      break;
  }
  return "empty";
}

}  // namespace

std::string TextOf(const Effect& effect) {
  struct Visitor {
    std::string operator()(const SendToScheduler& e) { return MessageText(e.message); }
    std::string operator()(const StoreFact& e) { return "fact " + FactText(e.fact); }
    std::string operator()(const DropFacts& e) { return absl::StrCat("drop ", e.through); }
    std::string operator()(const StoreIncarnation& e) {
      return absl::StrCat("incarnation ", e.incarnation);
    }
    std::string operator()(const StageMember& e) { return "stage " + FolderName(e.id); }
    std::string operator()(const CancelStaging& e) { return "unstage " + FolderName(e.id); }
    std::string operator()(const LaunchMember& e) { return "launch " + FolderName(e.id); }
    std::string operator()(const StopMember& e) {
      return absl::StrCat("stop ", FolderName(e.id), " ", agent::v1::StopReason_Name(e.reason));
    }
    std::string operator()(const RenewLease& e) {
      return absl::StrCat("lease ", FolderName(e.id), " ", absl::FormatDuration(e.length));
    }
    std::string operator()(const PublishMember& e) { return "publish " + FolderName(e.id); }
    std::string operator()(const CleanMember& e) { return "clean " + FolderName(e.id); }
    std::string operator()(const Reconnect&) { return "reconnect"; }
  };
  return std::visit(Visitor(), effect);
}

agent::v1::Assignment AssignmentOf(const MemberId& id) {
  agent::v1::Assignment assignment;
  *assignment.mutable_key() = KeyOf(id);
  assignment.set_grace_ms(5000);
  assignment.set_staging_timeout_ms(60000);
  assignment.set_publish_timeout_ms(120000);
  assignment.set_stop_after_ms(900000);
  return assignment;
}

agent::v1::DesiredMember WantRun(const MemberId& id) {
  agent::v1::DesiredMember desired;
  *desired.mutable_key() = KeyOf(id);
  desired.set_want(agent::v1::RUN);
  *desired.mutable_assignment() = AssignmentOf(id);
  return desired;
}
agent::v1::DesiredMember WantPrepared(const MemberId& id) {
  agent::v1::DesiredMember desired = WantRun(id);
  desired.set_want(agent::v1::PREPARED);
  return desired;
}
agent::v1::DesiredMember WantStopped(const MemberId& id, agent::v1::StopReason reason) {
  agent::v1::DesiredMember desired;
  *desired.mutable_key() = KeyOf(id);
  desired.set_want(agent::v1::STOPPED);
  desired.set_stop_reason(reason);
  return desired;
}

AgentScene::AgentScene(uint64_t last_incarnation)
    : core_(std::make_unique<AgentCore>(Inventory(), last_incarnation)) {}

void AgentScene::RestartAgent(uint64_t last_incarnation) {
  std::vector<agent::v1::Fact> facts(core_->outbox().facts().begin(),
                                     core_->outbox().facts().end());
  const uint64_t next = core_->outbox().next_sequence();
  const uint64_t acknowledged = core_->outbox().acknowledged();
  core_ = std::make_unique<AgentCore>(Inventory(), last_incarnation);
  core_->RestoreFacts(std::move(facts), next, acknowledged);
}

std::vector<std::string> AgentScene::Effects() {
  raw_ = core_->TakeEffects();
  std::vector<std::string> texts;
  for (const Effect& effect : raw_) {
    if (std::string text = TextOf(effect); !text.empty()) texts.push_back(std::move(text));
  }
  return texts;
}

std::vector<std::string> AgentScene::Connect(const std::vector<agent::v1::DesiredMember>& desired,
                                             uint64_t incarnation) {
  core_->Connected(now());
  return Welcome(desired, incarnation);
}

std::vector<std::string> AgentScene::Welcome(const std::vector<agent::v1::DesiredMember>& desired,
                                             uint64_t incarnation) {
  agent::v1::SchedulerMessage message;
  agent::v1::Welcome* const welcome = message.mutable_welcome();
  welcome->set_incarnation(incarnation);
  welcome->set_lease_ms(lease_ms);
  welcome->set_heartbeat_ms(heartbeat_ms);
  welcome->set_store_address("store:1");
  welcome->set_version(version);
  for (const agent::v1::DesiredMember& one : desired) *welcome->add_desired() = one;
  core_->Receive(message, now());
  return Effects();
}

std::vector<std::string> AgentScene::Disconnect() {
  core_->Disconnected();
  return Effects();
}

std::vector<std::string> AgentScene::Delta(const std::vector<agent::v1::DesiredMember>& set,
                                           const std::vector<MemberId>& remove) {
  agent::v1::SchedulerMessage message;
  message.mutable_delta()->set_version(++version);
  for (const agent::v1::DesiredMember& one : set) *message.mutable_delta()->add_set() = one;
  for (const MemberId& id : remove) *message.mutable_delta()->add_remove() = KeyOf(id);
  core_->Receive(message, now());
  return Effects();
}

std::vector<std::string> AgentScene::Ack(uint64_t sequence) {
  agent::v1::SchedulerMessage message;
  message.mutable_fact_ack()->set_sequence(sequence);
  core_->Receive(message, now());
  return Effects();
}
std::vector<std::string> AgentScene::AckAll() { return Ack(core_->outbox().next_sequence() - 1); }

std::vector<std::string> AgentScene::Renew(uint64_t sequence) {
  agent::v1::SchedulerMessage message;
  message.mutable_lease_renewed()->set_sequence(sequence);
  core_->Receive(message, now());
  return Effects();
}

std::vector<std::string> AgentScene::Tick() {
  core_->Tick(now());
  return Effects();
}

std::vector<std::string> AgentScene::Staged(const MemberId& id, const absl::Status& status) {
  core_->Staged(id, status, 4242, now());
  return Effects();
}
std::vector<std::string> AgentScene::Started(const MemberId& id) {
  core_->Started(id, 99, now());
  return Effects();
}
std::vector<std::string> AgentScene::Ended(const MemberId& id, v1::ExitCause cause) {
  MemberEnd end;
  end.record.set_cause(cause);
  core_->Ended(id, end, now());
  return Effects();
}
std::vector<std::string> AgentScene::Published(const MemberId& id, const absl::Status& status) {
  core_->Published(id, status, {}, now());
  return Effects();
}
std::vector<std::string> AgentScene::Cleaned(const MemberId& id) {
  core_->Cleaned(id);
  return Effects();
}

void AgentScene::BringUp(const MemberId& id) {
  Delta({WantRun(id)});
  Staged(id);
  Started(id);
}

}  // namespace trainyard::worker
