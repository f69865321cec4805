// Admission order of commands: facts, then cancels and other changes, then what brings new work.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_QUEUE_CLASS_H_
#define TRAINYARD_SCHEDULER_RUNTIME_QUEUE_CLASS_H_

#include "scheduler/core/command.h"

namespace trainyard::runtime {

enum class QueueClass { kFact = 0, kChange = 1, kSubmit = 2 };

inline QueueClass QueueClassOf(const core::Command& command) {
  const core::CommandBody& body = command.body;
  if (std::holds_alternative<core::AgentFact>(body) ||
      std::holds_alternative<core::AgentConnect>(body) ||
      std::holds_alternative<core::AgentLoss>(body) ||
      std::holds_alternative<core::ReportMeasurements>(body) ||
      std::holds_alternative<core::ApplyPlan>(body) ||
      std::holds_alternative<core::ApplySuggestions>(body) ||
      std::holds_alternative<core::ApplyStops>(body) ||
      std::holds_alternative<core::ApplyStudyStop>(body) ||
      std::holds_alternative<core::Tick>(body)) {
    return QueueClass::kFact;
  }
  if (std::holds_alternative<core::SubmitJob>(body) ||
      std::holds_alternative<core::CreateStudy>(body) ||
      std::holds_alternative<core::AskTrials>(body)) {
    return QueueClass::kSubmit;
  }
  return QueueClass::kChange;
}

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_QUEUE_CLASS_H_
