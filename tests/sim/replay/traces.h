// The real traces: in TRAINYARD_TRACES, or in ../shared/traces beside the source folder. A test
// that has none, or would take too long with them, is skipped with a word.
#ifndef TRAINYARD_TESTS_SIM_REPLAY_TRACES_H_
#define TRAINYARD_TESTS_SIM_REPLAY_TRACES_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "common/file.h"
#include "sim/replay/trace.h"
#include "tests/sanitized.h"

namespace trainyard::replay {

inline std::string TracePath(const std::string& name) {
  const char* const given = std::getenv("TRAINYARD_TRACES");
  return JoinPath(given != nullptr ? given : JoinPath(TRAINYARD_SOURCE_DIR, "../shared/traces"),
                  name);
}

}  // namespace trainyard::replay

// Declares `trace`, the jobs of that trace, or skips the test.
#define READ_TRACE(trace, name)                                                       \
  if (kSanitized) GTEST_SKIP() << "a whole trace takes too long with sanitizers";     \
  const std::string path = TracePath(name);                                           \
  if (!Exists(path)) GTEST_SKIP() << path << " is not at hand; set TRAINYARD_TRACES"; \
  const auto read = ReadTrace(path);                                                  \
  ASSERT_TRUE(read.ok()) << read.status();                                            \
  const std::vector<TraceJob>& trace = *read

#endif  // TRAINYARD_TESTS_SIM_REPLAY_TRACES_H_
