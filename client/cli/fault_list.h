// Faults gathered from several checks, so that one answer has them all. One thread.
#ifndef TRAINYARD_CLIENT_CLI_FAULT_LIST_H_
#define TRAINYARD_CLIENT_CLI_FAULT_LIST_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/errors.h"

namespace trainyard::cli {

class FaultList {
 public:
  // True when `status` is OK; otherwise its faults are kept.
  bool Add(const absl::Status& status) {
    if (status.ok()) return true;
    if (faults_.faults().empty()) code_ = status.code();
    faults_.MergeFrom(FaultsOf(status));
    return false;
  }
  template <typename T>
  bool Add(const absl::StatusOr<T>& value) {
    return Add(value.status());
  }
  bool ok() const { return faults_.faults().empty(); }
  // OK, or everything that was added, with the code of the first.
  absl::Status Take() const { return ok() ? absl::OkStatus() : MakeError(code_, faults_); }

 private:
  absl::StatusCode code_ = absl::StatusCode::kOk;
  v1::Faults faults_;
};

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_FAULT_LIST_H_
