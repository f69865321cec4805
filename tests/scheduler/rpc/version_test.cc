// Clients of other versions at a real server: neighbours are served, others are told which side to
// update, and may still ask what is here.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/sdk/client.h"
#include "common/errors.h"
#include "tests/scheduler/rpc/harness.h"

namespace trainyard::rpc {
namespace {

class VersionTest : public testing::Test {
 protected:
  absl::Status ListWith(const std::string& version) {
    client::Client client = Make(version);
    v1::ListJobsRequest request;
    request.set_parent("projects/default");
    return client.ListJobs(request).status();
  }
  client::Client Make(const std::string& version) {
    client::Endpoint endpoint;
    endpoint.address = harness_.tcp_address();
    endpoint.address_source = "--endpoint";
    endpoint.token = harness_.admin();
    client::ClientOptions options;
    options.version = version;
    return client::Client(endpoint, options);
  }
  Harness harness_;
};

TEST_F(VersionTest, NeighboursAreServed) {
  for (const char* version : {"1.4.0", "1.5.7", "1.6.0"}) {
    EXPECT_TRUE(ListWith(version).ok()) << version << ": " << ListWith(version);
  }
  EXPECT_TRUE(ListWith("").ok());
  EXPECT_TRUE(ListWith("no version at all").ok());
}

TEST_F(VersionTest, OthersAreToldWhichSideToUpdate) {
  EXPECT_THAT(FaultsOf(ListWith("1.3.0")).faults(0).fix(),
              testing::HasSubstr("install the client of version 1.5.0"));
  const absl::Status newer = ListWith("99.4.0");
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition) << newer;
  const v1::Fault fault = FaultsOf(newer).faults(0);
  EXPECT_EQ(fault.reason(), "VERSION_MISMATCH");
  EXPECT_EQ(fault.message(),
            "this client is version 99.4.0, the scheduler 1.5.0: they are more than one minor "
            "version apart");
  EXPECT_THAT(fault.fix(), testing::HasSubstr("have the scheduler updated to version 99.4.0"));
}

TEST_F(VersionTest, WhoIsTooFarMayStillAskWhatIsHere) {
  client::Client client = Make("99.4.0");
  const absl::StatusOr<v1::ServerInfo> info = client.GetServerInfo({});
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version(), "1.5.0");
}

}  // namespace
}  // namespace trainyard::rpc
