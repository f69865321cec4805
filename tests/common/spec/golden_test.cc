// The first forty bad inputs, each with its one complete answer as text and as JSON, and good
// inputs with the JobSpec they resolve to. Run with TRAINYARD_REWRITE_GOLDEN=1 to write the answers
// anew; the difference is then reviewed.
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/spec/spec.h"

namespace trainyard::spec {
namespace {

const char* const kFolder = TRAINYARD_SPEC_TESTS;

std::vector<std::string> CasesOf(const std::string& folder) {
  std::vector<std::string> cases;
  const auto names = ListFolder(JoinPath(kFolder, folder));
  if (!names.ok()) return cases;
  for (const std::string& name : *names) {
    const bool spec = absl::EndsWith(name, ".yaml") ||
                      (absl::EndsWith(name, ".json") && absl::StartsWith(name, "ml_"));
    if (spec && !absl::EndsWith(name, ".golden.json")) cases.push_back(name);
  }
  return cases;
}

std::string JsonOf(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string json;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &json, options).ok());
  return json;
}

void CompareWithFile(const std::string& name, const std::string& actual) {
  const std::string path = JoinPath(kFolder, name);
  if (std::getenv("TRAINYARD_REWRITE_GOLDEN") != nullptr) {
    ASSERT_TRUE(WriteFileAtomically(path, actual).ok());
    return;
  }
  const auto expected = ReadFile(path);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(*expected, actual) << "the answer changed: " << path;
}

v1::Faults AnswerOf(const std::string& name) {
  // Case 20 is about a path, not about text.
  const bool wrong_path = absl::StartsWith(name, "20_");
  const std::string file = wrong_path ? "20_wrong_pth.yaml" : name;
  const auto text = LoadSpecText(JoinPath(JoinPath(kFolder, "bad"), file));
  if (text.ok()) return ValidateJobSpec(*text, file, DefaultTiers()).faults;
  v1::Faults faults = FaultsOf(text.status());
  for (v1::Fault& fault : *faults.mutable_faults()) {
    fault.set_file(file);
    const size_t at = fault.fix().find(kFolder);
    if (at != std::string::npos) {
      fault.mutable_fix()->erase(at, std::string(kFolder).size() + std::string("/bad/").size());
    }
  }
  return faults;
}

class BadInputTest : public testing::TestWithParam<std::string> {};

TEST_P(BadInputTest, HasOneCompleteAnswer) {
  const std::string name = GetParam();
  const v1::Faults faults = AnswerOf(name);
  ASSERT_GT(faults.faults_size(), 0);
  std::vector<std::string> reasons;
  for (const ReasonInfo& info : KnownReasons()) reasons.emplace_back(info.reason);
  const bool about_path = absl::StartsWith(name, "20_");
  for (const v1::Fault& fault : faults.faults()) {
    EXPECT_TRUE(std::count(reasons.begin(), reasons.end(), fault.reason()) == 1) << fault.reason();
    EXPECT_FALSE(fault.message().empty());
    EXPECT_FALSE(fault.file().empty());
    EXPECT_FALSE(fault.fix().empty() && !fault.is_note()) << fault.ShortDebugString();
    EXPECT_FALSE(fault.expected().empty() && !fault.is_note()) << fault.ShortDebugString();
    EXPECT_TRUE(about_path || (fault.line() > 0 && fault.column() > 0)) << fault.ShortDebugString();
  }
  const std::string base = absl::StrCat("bad/", name.substr(0, name.size() - 5));
  CompareWithFile(base + ".txt", FormatFaults(faults) + "\n");
  CompareWithFile(base + ".json", JsonOf(faults));
}

INSTANTIATE_TEST_SUITE_P(Forty, BadInputTest, testing::ValuesIn(CasesOf("bad")),
                         [](const auto& test) {
                           return test.param.substr(0, test.param.size() - 5);
                         });

TEST(BadInputTest, ThereAreForty) {
  const std::vector<std::string> cases = CasesOf("bad");
  ASSERT_EQ(cases.size(), 42u);
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(std::stoul(cases[i].substr(0, 2)), i + 1) << cases[i];
  }
}

class GoodInputTest : public testing::TestWithParam<std::string> {};

TEST_P(GoodInputTest, ResolvesToTheSpec) {
  const std::string name = GetParam();
  const auto text = LoadSpecText(JoinPath(JoinPath(kFolder, "good"), name));
  ASSERT_TRUE(text.ok());
  const ParseResult result = ValidateJobSpec(*text, name, DefaultTiers());
  EXPECT_TRUE(result.ok()) << FormatFaults(result.faults);
  EXPECT_TRUE(CheckJobSpec(result.spec).ok()) << CheckJobSpec(result.spec);
  CompareWithFile(absl::StrCat("good/", name, ".golden.json"), JsonOf(result.spec));
  CompareWithFile(absl::StrCat("good/", name, ".notes.txt"), FormatFaults(result.faults) + "\n");
  // The two steps of a client give the same, and resolving again changes nothing.
  ParseResult parsed = ParseJobSpec(*text, name);
  EXPECT_TRUE(parsed.ok()) << FormatFaults(parsed.faults);
  ResolveJobSpec(DefaultTiers(), &parsed.spec);
  EXPECT_EQ(JsonOf(parsed.spec), JsonOf(result.spec));
  const v1::Faults again = ResolveJobSpec(DefaultTiers(), &parsed.spec);
  EXPECT_EQ(again.faults_size(), 0) << FormatFaults(again);
  EXPECT_EQ(JsonOf(parsed.spec), JsonOf(result.spec));
}

INSTANTIATE_TEST_SUITE_P(Both, GoodInputTest, testing::ValuesIn(CasesOf("good")),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace trainyard::spec
