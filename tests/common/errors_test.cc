// Faults in and out of a status, the table of reasons, and "did you mean".
#include "common/errors.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/ascii.h"

namespace trainyard {
namespace {

v1::Fault MakeFault(const std::string& reason, const std::string& message, bool is_note) {
  v1::Fault fault;
  fault.set_reason(reason);
  fault.set_message(message);
  fault.set_is_note(is_note);
  return fault;
}

TEST(ErrorsTest, OneFaultTravelsInsideTheStatus) {
  const absl::Status status =
      MakeError(absl::StatusCode::kNotFound, "NOT_FOUND", "no job x", "list them", "name");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(status.message(), "name: no job x\n  fix: list them");
  const v1::Faults faults = FaultsOf(status);
  ASSERT_EQ(faults.faults_size(), 1);
  EXPECT_EQ(faults.faults(0).reason(), "NOT_FOUND");
  EXPECT_EQ(faults.faults(0).field(), "name");
  EXPECT_EQ(faults.faults(0).fix(), "list them");
  EXPECT_EQ(ReasonOf(status), "NOT_FOUND");
}

TEST(ErrorsTest, NotesAloneAreNoError) {
  v1::Faults faults;
  *faults.add_faults() = MakeFault("IGNORED_FIELD", "n", true);
  EXPECT_TRUE(MakeError(absl::StatusCode::kInvalidArgument, faults).ok());
  EXPECT_TRUE(MakeError(absl::StatusCode::kInvalidArgument, v1::Faults()).ok());
  *faults.add_faults() = MakeFault("BAD_ENUM", "m", false);
  const absl::Status status = MakeError(absl::StatusCode::kInvalidArgument, faults);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(FaultsOf(status).faults_size(), 2);
  EXPECT_EQ(ReasonOf(status), "BAD_ENUM");
}

TEST(ErrorsTest, APlainStatusHasAReasonByItsCode) {
  EXPECT_EQ(ReasonOf(absl::UnavailableError("x")), "UNAVAILABLE");
  EXPECT_EQ(ReasonOf(absl::DeadlineExceededError("x")), "TIMED_OUT");
  EXPECT_EQ(ReasonOf(absl::DataLossError("x")), "INTERNAL");
  EXPECT_EQ(FaultsOf(absl::AbortedError("lost")).faults(0).message(), "lost");
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
  EXPECT_EQ(FaultsOf(absl::OkStatus()).faults_size(), 0);
}

TEST(ErrorsTest, TextHasPlaceFieldExpectationAndFix) {
  v1::Faults faults;
  v1::Fault* fault = faults.add_faults();
  *fault = MakeFault("WRONG_TYPE", "found text", false);
  fault->set_file("job.yaml");
  fault->set_line(3);
  fault->set_column(7);
  fault->set_field("a.b");
  fault->set_expected("an integer");
  fault->set_fix("write 2");
  *faults.add_faults() = MakeFault("MAP_FOR_LIST", "taken", true);
  EXPECT_EQ(FormatFaults(faults),
            "job.yaml:3:7: a.b: found text; expected an integer\n  fix: write 2\nnote: taken");
}

TEST(ErrorsTest, ReasonsAreUniqueAndStable) {
  std::set<std::string> seen;
  for (const ReasonInfo& info : KnownReasons()) {
    EXPECT_TRUE(seen.insert(std::string(info.reason)).second) << info.reason;
    EXPECT_EQ(absl::AsciiStrToUpper(info.reason), info.reason);
    EXPECT_EQ(info.meaning.back(), '.') << info.reason;
  }
  // Every code of a plain status has a reason in the table.
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "x");
    EXPECT_EQ(seen.count(ReasonOf(status)), 1u) << status;
  }
}

TEST(NearestNameTest, DistanceTwoWithSwapsCountedOnce) {
  const std::vector<std::string> names = {"submit", "describe", "list", "go"};
  EXPECT_EQ(NearestName("sumbit", names), "submit");
  EXPECT_EQ(NearestName("describ", names), "describe");
  EXPECT_EQ(NearestName("discribee", names), "describe");
  EXPECT_EQ(NearestName("deskribbee", names), "");
  EXPECT_EQ(NearestName("lits", names), "list");
  EXPECT_EQ(NearestName("xy", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName("list", {}), "");
  EXPECT_EQ(NearestName("gpu", {"cpu", "gpus"}), "gpus") << "what begins alike is meant";
}

}  // namespace
}  // namespace trainyard
