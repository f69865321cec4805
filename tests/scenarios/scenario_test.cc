// Plays every *.txt of this folder; each must leave the trace it holds. TRAINYARD_REWRITE=1 stores
// the new traces: review the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/scenarios/player.h"

namespace trainyard::core {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> Scenarios() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(TRAINYARD_SCENARIOS)) {
    const bool is_list = entry.path().filename() == "CMakeLists.txt";
    if (entry.path().extension() == ".txt" && !is_list) names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ScenarioTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ScenarioTest, LeavesItsTrace) {
  const std::string path = std::string(TRAINYARD_SCENARIOS) + "/" + GetParam() + ".txt";
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  ASSERT_NE(text.str().find("\n> "), std::string::npos) << "no command in " << path;
  const std::string played = Play(text.str());
  if (std::getenv("TRAINYARD_REWRITE") != nullptr) std::ofstream(path) << played;
  EXPECT_EQ(played, text.str());
}

INSTANTIATE_TEST_SUITE_P(All, ScenarioTest, ::testing::ValuesIn(Scenarios()),
                         [](const auto& row) { return row.param; });

}  // namespace
}  // namespace trainyard::core
