// See fold.h: which file folds which kind of event.
#include "scheduler/core/fold.h"

namespace trainyard::core {

void Fold(const records::Event& event, Rows* rows) {
  switch (event.body_case()) {
    case records::Event::kServerStarted:
    case records::Event::kProjectCreated:
    case records::Event::kTierSet:
    case records::Event::kTokenCreated:
    case records::Event::kTokenRevoked:
      FoldCluster(event, rows);
      break;
    case records::Event::kAgentJoined:
    case records::Event::kAgentConnected:
    case records::Event::kAgentLost:
    case records::Event::kNodeDrainSet:
    case records::Event::kNodeQuarantined:
      FoldAgent(event, rows);
      break;
    case records::Event::kJobCreated:
    case records::Event::kJobCancelRequested:
    case records::Event::kJobLabelsSet:
    case records::Event::kJobPaused:
    case records::Event::kJobEnded:
      FoldJob(event, rows);
      break;
    case records::Event::kRunCreated:
    case records::Event::kRunEnded:
    case records::Event::kRunReady:
    case records::Event::kRunPaused:
    case records::Event::kCheckpointCommitted:
      FoldRun(event, rows);
      break;
    case records::Event::kRunPlaced:
    case records::Event::kAttemptStarting:
    case records::Event::kAttemptRunning:
    case records::Event::kAttemptStopRequested:
    case records::Event::kAttemptEnded:
      FoldAttempt(event, rows);
      break;
    case records::Event::kMemberFact:
      FoldMember(event, rows);
      break;
    case records::Event::kStudyCreated:
    case records::Event::kTrialsSuggested:
    case records::Event::kTrialActivated:
    case records::Event::kTrialMeasured:
    case records::Event::kTrialStopRequested:
    case records::Event::kTrialHeld:
    case records::Event::kTrialEnded:
    case records::Event::kStudyEnded:
      FoldStudy(event, rows);
      break;
    case records::Event::kJobQueueingSet:
    case records::Event::kDependencyEnded:
    case records::Event::kSettingSet:
    case records::Event::kSettingDeleted:
      FoldQueue(event, rows);
      break;
    case records::Event::BODY_NOT_SET:
      break;
  }
  if (event.has_request()) rows->PutRequest(event.request());
  records::ServerRow server = rows->Server();
  if (event.time_us() > server.last_us()) {
    server.set_last_us(event.time_us());
    rows->PutServer(server);
  }
}

records::MemberRow* MemberOf(records::AttemptRow* attempt, int32_t member) {
  for (records::MemberRow& row : *attempt->mutable_members()) {
    if (row.member() == member) return &row;
  }
  return nullptr;
}

const records::MemberRow* MemberOf(const records::AttemptRow& attempt, int32_t member) {
  for (const records::MemberRow& row : attempt.members()) {
    if (row.member() == member) return &row;
  }
  return nullptr;
}

}  // namespace trainyard::core
