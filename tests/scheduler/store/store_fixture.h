// A folder of its own for each test of the store, and random bytes that a seed repeats.
#ifndef TRAINYARD_TESTS_SCHEDULER_STORE_STORE_FIXTURE_H_
#define TRAINYARD_TESTS_SCHEDULER_STORE_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "common/file.h"
#include "common/random.h"

namespace trainyard::store {

inline std::string RandomBytes(size_t size, uint64_t seed) {
  Random random(seed);
  std::string out(size, '\0');
  for (size_t i = 0; i < size; i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(out.data() + i, &word, std::min<size_t>(8, size - i));
  }
  return out;
}

class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/trainyard_store.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { ASSERT_TRUE(RemoveTree(folder_).ok()); }
  std::string folder_;
};

}  // namespace trainyard::store

#endif  // TRAINYARD_TESTS_SCHEDULER_STORE_STORE_FIXTURE_H_
