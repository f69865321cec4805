// docs/spec.md and docs/errors.md say what the code does: every YAML block is a valid spec, every
// key that the reader knows is described, and the reasons of both sides are the same. The specs
// beside the examples are valid too.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/spec/spec.h"

namespace trainyard::spec {
namespace {

std::string ReadDocument(const std::string& name) {
  const auto text = ReadFile(JoinPath(TRAINYARD_SOURCE, name));
  EXPECT_TRUE(text.ok()) << text.status();
  return text.value_or("");
}

struct Block {
  std::string kind;  // what follows the back ticks
  std::string text;
  int line = 0;
};

std::vector<Block> BlocksOf(const std::string& document) {
  std::vector<Block> blocks;
  bool inside = false;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(document, '\n')) {
    ++number;
    if (absl::StartsWith(line, "```")) {
      if (!inside) blocks.push_back({std::string(line.substr(3)), "", number});
      inside = !inside;
    } else if (inside) {
      absl::StrAppend(&blocks.back().text, line, "\n");
    }
  }
  return blocks;
}

TEST(SpecDocsTest, EveryYamlBlockIsValid) {
  int jobs = 0;
  int studies = 0;
  for (const Block& block : BlocksOf(ReadDocument("docs/spec.md"))) {
    const std::string name = absl::StrCat("docs/spec.md block at line ", block.line);
    if (block.kind == "yaml") {
      const ParseResult result = ValidateJobSpec(block.text, name, DefaultTiers());
      EXPECT_TRUE(result.ok()) << FormatFaults(result.faults);
      ++jobs;
    } else if (block.kind == "yaml study") {
      const StudyParseResult result = ParseStudySpec(block.text, name);
      EXPECT_TRUE(result.ok()) << FormatFaults(result.faults);
      ++studies;
    } else {
      EXPECT_EQ(block.kind, "console") << name;
    }
  }
  EXPECT_GE(jobs, 7);
  EXPECT_GE(studies, 1);
}

// A key that nobody has in every map; the answer to it lists the keys that are known there.
const char* const kProbes[] = {
    "zzz: 1\ndisplayName: x\njobSpec:\n  zzz: 1\n  scheduling: {zzz: 1}\n"
    "  baseOutputDirectory: {zzz: 1}\n  trainyard: {zzz: 1, resources: {zzz: 1}}\n"
    "  workerPoolSpecs:\n    - zzz: 1\n      machineSpec: {zzz: 1}\n"
    "      containerSpec: {zzz: 1, env: [{zzz: 1}]}\n      pythonPackageSpec: {zzz: 1}\n",
    "zzz: 1\nstudySpec:\n  zzz: 1\n  metrics: [{zzz: 1, safetyConfig: {zzz: 1}}]\n"
    "  medianAutomatedStoppingSpec: {zzz: 1}\n"
    "  studyStoppingConfig: {zzz: 1, maximumRuntimeConstraint: {zzz: 1}}\n"
    "  trainyard: {zzz: 1, stopping: {zzz: 1}}\n"
    "  parameters:\n    - zzz: 1\n      doubleValueSpec: {zzz: 1}\n"
    "      integerValueSpec: {zzz: 1}\n      categoricalValueSpec: {zzz: 1}\n"
    "      discreteValueSpec: {zzz: 1}\n      conditionalParameterSpecs:\n"
    "        - {zzz: 1, parentIntValues: {zzz: 1}}\n",
    "zzz: 1\ntrainingInput:\n  zzz: 1\n  scheduling: {zzz: 1}\n"
    "  masterConfig: {zzz: 1, acceleratorConfig: {zzz: 1}}\n"
    "  hyperparameters: {zzz: 1, params: [{zzz: 1}]}\n",
};

TEST(SpecDocsTest, EveryKnownKeyIsDescribed) {
  const std::string document = ReadDocument("docs/spec.md");
  std::set<std::string> keys;
  size_t answers = 0;
  size_t probes = 0;
  for (const char* probe : kProbes) {
    probes += std::vector<std::string>(absl::StrSplit(probe, "zzz")).size() - 1;
    const ParseResult result = ParseJobSpec(probe, "probe");
    for (const v1::Fault& fault : result.faults.faults()) {
      if (fault.reason() != "UNKNOWN_FIELD") continue;
      ++answers;
      absl::string_view list = fault.expected();
      ASSERT_TRUE(absl::ConsumePrefix(&list, "one of ")) << fault.expected();
      for (absl::string_view key : absl::StrSplit(list, ", ")) keys.insert(std::string(key));
    }
  }
  EXPECT_EQ(answers, probes);
  EXPECT_GT(keys.size(), 120u);
  for (const std::string& key : keys) {
    EXPECT_TRUE(absl::StrContains(document, absl::StrCat("`", key, "`")) ||
                absl::StrContains(document, absl::StrCat(key, ":")))
        << key << " is not described in docs/spec.md";
  }
}

TEST(ErrorDocsTest, SectionsAndReasonsAreTheSame) {
  const std::string document = ReadDocument("docs/errors.md");
  std::map<std::string, std::string> sections;
  std::string current;
  for (absl::string_view line : absl::StrSplit(document, '\n')) {
    if (absl::ConsumePrefix(&line, "### ")) {
      current = std::string(line);
      EXPECT_TRUE(sections.insert({current, ""}).second) << current << " has two sections";
    } else if (absl::StartsWith(line, "## ")) {
      current.clear();
    } else if (!current.empty()) {
      absl::StrAppend(&sections[current], line, "\n");
    }
  }
  for (const ReasonInfo& info : KnownReasons()) {
    const auto it = sections.find(std::string(info.reason));
    if (it == sections.end()) {
      ADD_FAILURE() << "docs/errors.md has no section ### " << info.reason;
      continue;
    }
    EXPECT_TRUE(absl::StrContains(it->second, info.meaning))
        << "the section " << info.reason << " does not say: " << info.meaning;
    EXPECT_GT(it->second.size(), info.meaning.size() + 20)
        << "the section " << info.reason << " does not say how to mend it";
    sections.erase(it);
  }
  for (const auto& [reason, text] : sections) {
    ADD_FAILURE() << "docs/errors.md describes " << reason << ", which no code knows";
  }
}

TEST(ExampleSpecsTest, AreValid) {
  const std::string examples = "docs/examples";
  const auto folders = ListFolder(JoinPath(TRAINYARD_SOURCE, examples));
  ASSERT_TRUE(folders.ok());
  int specs = 0;
  for (const std::string& folder : *folders) {
    const auto names = ListFolder(JoinPath(JoinPath(TRAINYARD_SOURCE, examples), folder));
    if (!names.ok()) continue;
    for (const std::string& name : *names) {
      if (!absl::EndsWith(name, ".yaml")) continue;
      const std::string path = absl::StrCat(examples, "/", folder, "/", name);
      const ParseResult result = ValidateJobSpec(ReadDocument(path), path, DefaultTiers());
      EXPECT_TRUE(result.ok()) << FormatFaults(result.faults);
      ++specs;
    }
  }
  EXPECT_GE(specs, 2);
}

}  // namespace
}  // namespace trainyard::spec
