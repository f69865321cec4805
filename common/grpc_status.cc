// See grpc_status.h.
#include "common/grpc_status.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "google/rpc/error_details.pb.h"

namespace trainyard {
namespace {

constexpr char kFixMark[] = "\n  fix: ";  // as FormatFaults writes it

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(std::string(status.message()));
  google::rpc::ErrorInfo info;
  info.set_reason(ReasonOf(status));
  info.set_domain("trainyard");
  details.add_details()->PackFrom(info);
  details.add_details()->PackFrom(FaultsOf(status));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const google::protobuf::Any& detail : details.details()) {
      v1::Faults faults;
      if (detail.UnpackTo(&faults)) return MakeError(code, faults);
    }
  }
  // What answers before the handlers sends text alone: "message\n  fix: ...".
  const absl::Status plain(code, status.error_message());
  const std::vector<std::string> parts = absl::StrSplit(status.error_message(), kFixMark);
  if (parts.size() != 2) return plain;
  return MakeError(code, ReasonOf(plain), parts[0], parts[1]);
}

}  // namespace trainyard
