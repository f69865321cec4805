// main of every test program on GoogleTest: as gtest_main, but a program some of whose tests were
// skipped names them with their reasons at the end and exits with 77, which ctest shows as skipped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

namespace {

constexpr int kSkipped = 77;  // SKIP_RETURN_CODE in cmake/Targets.cmake

void PrintSkipped(const testing::TestInfo& test) {
  const testing::TestResult& result = *test.result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const testing::TestPartResult& part = result.GetTestPartResult(i);
    if (part.type() != testing::TestPartResult::kSkip) continue;
    std::printf("skipped %s.%s: %s\n", test.test_suite_name(), test.name(), part.message());
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  const int status = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  if (status != 0 || all.skipped_test_count() == 0) return status;
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      if (suite.GetTestInfo(j)->result()->Skipped()) PrintSkipped(*suite.GetTestInfo(j));
    }
  }
  return kSkipped;
}
