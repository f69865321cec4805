// See kept_trial.h.
#include "scheduler/core/kept_trial.h"

#include <utility>

#include "absl/base/internal/raw_logging.h"

namespace trainyard::core {

bool HasEnded(const journal::v1::TrialRow& row) {
  return row.state() == v1::TRIAL_SUCCEEDED || row.state() == v1::INFEASIBLE;
}

KeptTrial::KeptTrial(TrialPtr row) {
  if (row != nullptr && HasEnded(*row)) {
    ended_ = std::make_shared<const std::string>(row->SerializeAsString());
  } else {
    open_ = std::move(row);
  }
}

KeptTrial KeptTrial::OfEnded(const std::string& bytes) {
  KeptTrial kept;
  kept.ended_ = std::make_shared<const std::string>(bytes);
  return kept;
}

TrialPtr KeptTrial::row() const {
  if (ended_ == nullptr) return open_;
  auto row = std::make_shared<journal::v1::TrialRow>();
  ABSL_RAW_CHECK(row->ParseFromString(*ended_), "bytes that were a trial are none");
  return row;
}

journal::v1::TrialRow KeptTrial::Copy() const {
  if (ended_ == nullptr) return *open_;
  journal::v1::TrialRow row;
  ABSL_RAW_CHECK(row.ParseFromString(*ended_), "bytes that were a trial are none");
  return row;
}

std::string KeptTrial::Bytes() const {
  if (ended_ != nullptr) return *ended_;
  return open_ == nullptr ? std::string() : open_->SerializeAsString();
}

}  // namespace trainyard::core
