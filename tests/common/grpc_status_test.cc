// Errors over gRPC: faults survive the way there and back, strangers' statuses keep code and words.
#include "common/grpc_status.h"

#include <gtest/gtest.h>

#include "common/errors.h"
#include "google/rpc/error_details.pb.h"

namespace trainyard {
namespace {

TEST(GrpcStatusTest, FaultsSurviveTheWay) {
  v1::Faults faults;
  for (int line = 1; line <= 3; ++line) {
    v1::Fault* fault = faults.add_faults();
    fault->set_reason("UNKNOWN_FIELD");
    fault->set_message("m");
    fault->set_line(line);
    fault->set_is_note(line == 1);
  }
  const absl::Status sent = MakeError(absl::StatusCode::kInvalidArgument, faults);
  const absl::Status received = FromGrpcStatus(ToGrpcStatus(sent));
  EXPECT_EQ(received.code(), sent.code());
  EXPECT_EQ(received.message(), sent.message());
  EXPECT_EQ(FaultsOf(received).SerializeAsString(), faults.SerializeAsString());
}

TEST(GrpcStatusTest, OthersCanReadTheReason) {
  const grpc::Status status =
      ToGrpcStatus(MakeError(absl::StatusCode::kNotFound, "NOT_FOUND", "no job", "list them"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), 5);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "NOT_FOUND");
  EXPECT_EQ(info.domain(), "trainyard");
}

TEST(GrpcStatusTest, StrangersKeepCodeAndWords) {
  EXPECT_TRUE(FromGrpcStatus(grpc::Status::OK).ok());
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const absl::Status plain =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection refused"));
  EXPECT_TRUE(absl::IsUnavailable(plain));
  EXPECT_EQ(plain.message(), "connection refused");
  const absl::Status garbage =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::INTERNAL, "x", "\xff\xfe no message"));
  EXPECT_EQ(garbage.code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace trainyard
