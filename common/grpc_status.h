// absl::Status to grpc::Status and back, with faults in grpc-status-details-bin as a
// google.rpc.Status that holds an ErrorInfo (reason, domain "trainyard") and our Faults.
// Thread-safe.
#ifndef TRAINYARD_COMMON_GRPC_STATUS_H_
#define TRAINYARD_COMMON_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace trainyard {

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_GRPC_STATUS_H_
