// Good specs made bad: every misspelt key is refused on its line, and no change of bytes whatever
// gives a crash, a fault without a fix, or a spec that passes here and fails on the server.
// TRAINYARD_TEST_LONG=1 makes a hundred times as many changes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/random.h"
#include "common/spec/spec.h"

namespace trainyard::spec {
namespace {

const char* const kFolder = TRAINYARD_SPEC_TESTS;

std::vector<std::string> GoodTexts() {
  std::vector<std::string> texts;
  const std::string folder = JoinPath(kFolder, "good");
  for (const std::string& name : ListFolder(folder).value_or(std::vector<std::string>())) {
    if (!absl::EndsWith(name, ".yaml")) continue;
    texts.push_back(ReadFile(JoinPath(folder, name)).value_or(""));
  }
  return texts;
}

bool IsKeyByte(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Offsets just behind the names that stand before ": ".
std::vector<size_t> KeyEnds(const std::string& text) {
  std::vector<size_t> ends;
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    const bool colon = text[i] == ':' && (text[i + 1] == ' ' || text[i + 1] == '\n');
    const size_t line = text.rfind('\n', i) + 1;
    if (colon && IsKeyByte(text[i - 1]) && text[line] != '#') ends.push_back(i);
  }
  return ends;
}

std::string KeyAt(const std::string& text, size_t end) {
  size_t begin = end;
  while (begin > 0 && IsKeyByte(text[begin - 1])) --begin;
  return text.substr(begin, end - begin);
}

TEST(MutationTest, EveryMisspeltKeyIsRefused) {
  // Keys that people choose themselves.
  const std::set<std::string> free = {"team", "owner", "zone", "OMP_NUM_THREADS"};
  int tried = 0;
  for (const std::string& text : GoodTexts()) {
    for (size_t end : KeyEnds(text)) {
      const std::string key = KeyAt(text, end);
      if (free.count(key) > 0) continue;
      std::string changed = text;
      changed.insert(end, "q");
      const ParseResult result = ValidateJobSpec(changed, "f", DefaultTiers());
      EXPECT_FALSE(result.ok()) << key << " misspelt passes:\n" << changed;
      const auto line = std::count(text.begin(), text.begin() + static_cast<long>(end), '\n') + 1;
      const auto on_line = [line](const v1::Fault& fault) { return fault.line() == line; };
      EXPECT_TRUE(
          std::any_of(result.faults.faults().begin(), result.faults.faults().end(), on_line))
          << key << " on line " << line << ":\n"
          << FormatFaults(result.faults);
      ++tried;
    }
  }
  EXPECT_GE(tried, 150);
}

std::string Mutate(const std::string& text, Random* random) {
  static const char* const kTokens[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        ": ",
                                        "- ",
                                        "\n",
                                        "\t",
                                        "\"",
                                        "'",
                                        "&a ",
                                        "*a",
                                        "!!x",
                                        "| ",
                                        "<<",
                                        "null",
                                        "-1",
                                        "1e99",
                                        "99999999999999999999",
                                        "true",
                                        "\xff",
                                        "#"};
  std::string changed = text;
  const int changes = 1 + static_cast<int>(random->Below(4));
  for (int i = 0; i < changes && !changed.empty(); ++i) {
    const size_t at = random->Below(changed.size());
    const size_t length = 1 + random->Below(12);
    switch (random->Below(4)) {
      case 0:
        changed.erase(at, length);
        break;
      case 1:
        changed.insert(at, kTokens[random->Below(std::size(kTokens))]);
        break;
      case 2:
        changed[at] = static_cast<char>(random->Below(256));
        break;
      default:
        changed.insert(random->Below(changed.size()), changed.substr(at, length));
        break;
    }
  }
  return changed;
}

TEST(MutationTest, AnyChangeHasAnAnswer) {
  const char* const wide = std::getenv("TRAINYARD_TEST_LONG");
  const int rounds = wide != nullptr && std::string(wide) == "1" ? 300'000 : 3'000;
  const std::vector<std::string> texts = GoodTexts();
  ASSERT_FALSE(texts.empty());
  std::set<std::string> reasons;
  for (const ReasonInfo& info : KnownReasons()) reasons.emplace(info.reason);
  Random random(20261121);
  int refused = 0;
  for (int i = 0; i < rounds; ++i) {
    const std::string text = Mutate(texts[random.Below(texts.size())], &random);
    const ParseResult result = ValidateJobSpec(text, "f", DefaultTiers());
    refused += result.ok() ? 0 : 1;
    for (const v1::Fault& fault : result.faults.faults()) {
      ASSERT_EQ(reasons.count(fault.reason()), 1u) << fault.ShortDebugString();
      ASSERT_FALSE(fault.message().empty());
      ASSERT_TRUE(fault.is_note() || !fault.fix().empty()) << fault.ShortDebugString();
      ASSERT_GT(fault.line(), 0) << fault.ShortDebugString() << "\n" << text;
    }
    if (result.ok()) {
      ASSERT_TRUE(CheckJobSpec(result.spec).ok()) << CheckJobSpec(result.spec) << "\n" << text;
    }
  }
  EXPECT_GT(refused, rounds / 2);
}

TEST(MutationTest, AnswersAreBounded) {
  std::string text = "trainyard:\n";
  for (int i = 0; i < 5'000; ++i) absl::StrAppend(&text, "  key", i, ": 1\n");
  const ParseResult result = ValidateJobSpec(text, "f", DefaultTiers());
  EXPECT_EQ(result.faults.faults_size(), 201);
  EXPECT_EQ(result.faults.faults(200).reason(), "SPEC_TOO_LARGE");
  const ParseResult long_key =
      ValidateJobSpec(std::string(1'000'000, 'k') + ": 1\n", "f", DefaultTiers());
  ASSERT_FALSE(long_key.ok());
  EXPECT_LT(long_key.faults.faults(0).message().size(), 200u);
}

}  // namespace
}  // namespace trainyard::spec
