// A trial's row as tables keep it. A study may have a hundred thousand trials, nearly all of them
// ended and none of those read often: a row that has ended is kept as its bytes, a fifth of what
// the message takes, and read anew each time. A value; the bytes are shared by its copies.
#ifndef TRAINYARD_SCHEDULER_CORE_KEPT_TRIAL_H_
#define TRAINYARD_SCHEDULER_CORE_KEPT_TRIAL_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "trainyard/journal/v1/journal.pb.h"

namespace trainyard::core {

using TrialPtr = std::shared_ptr<const journal::v1::TrialRow>;

class KeptTrial {
 public:
  KeptTrial() = default;
  KeptTrial(std::nullptr_t) {}                           // NOLINT: as a pointer
  KeptTrial(TrialPtr row);                               // NOLINT: as a pointer
  KeptTrial(std::shared_ptr<journal::v1::TrialRow> row)  // NOLINT: as a pointer
      : KeptTrial(TrialPtr(std::move(row))) {}
  // Of the bytes of a row that has ended; they were read before.
  static KeptTrial OfEnded(const std::string& bytes);

  bool has_ended() const { return ended_ != nullptr; }
  // Null when there is none. A pointer to the row as it is; of one that has ended, a new message.
  TrialPtr row() const;
  TrialPtr operator->() const { return row(); }
  // A message of the caller's own; there must be one.
  journal::v1::TrialRow Copy() const;
  // The row as its bytes, "" when there is none.
  std::string Bytes() const;

  friend bool operator==(const KeptTrial& kept, std::nullptr_t) {
    return kept.open_ == nullptr && kept.ended_ == nullptr;
  }

 private:
  TrialPtr open_;
  std::shared_ptr<const std::string> ended_;
};

// SUCCEEDED or INFEASIBLE.
bool HasEnded(const journal::v1::TrialRow& row);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_KEPT_TRIAL_H_
