// YAML as it is read: positions, limits, hostile texts. Each hostile text has one clear fault.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/spec/spec.h"
#include "common/spec/yaml_node.h"

namespace trainyard::spec {
namespace {

std::string ReasonsOf(const std::string& text) {
  v1::Faults faults;
  ParseYaml(text, "f", &faults);
  std::string reasons;
  for (const v1::Fault& fault : faults.faults()) {
    absl::StrAppend(&reasons, reasons.empty() ? "" : " ", fault.reason(), "@", fault.line(), ":",
                    fault.column());
    EXPECT_FALSE(fault.fix().empty());
    EXPECT_FALSE(fault.expected().empty());
  }
  return reasons;
}

TEST(YamlTest, KeepsPositionsOfKeysAndValues) {
  v1::Faults faults;
  const NodePtr root = ParseYaml("a: 1\nbc:\n  - x\n  - {d: \"2\"}\n", "f", &faults);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(faults.faults_size(), 0);
  ASSERT_EQ(root->entries.size(), 2u);
  EXPECT_EQ(root->entries[0].value->line, 1);
  EXPECT_EQ(root->entries[0].value->column, 4);
  EXPECT_EQ(root->entries[1].line, 2);
  EXPECT_EQ(root->entries[1].column, 1);
  const Node& list = *root->entries[1].value;
  ASSERT_EQ(list.items.size(), 2u);
  EXPECT_EQ(list.items[0]->line, 3);
  EXPECT_EQ(list.items[0]->column, 5);
  const Node::Entry& inner = list.items[1]->entries[0];
  EXPECT_EQ(inner.key, "d");
  EXPECT_EQ(inner.value->column, 9);
  EXPECT_TRUE(inner.value->quoted);
  EXPECT_FALSE(list.items[0]->quoted);
}

TEST(YamlTest, JsonIsReadByTheSamePath) {
  v1::Faults faults;
  const NodePtr root = ParseYaml(
      "{\n\t\"a\": [1, 2.5, true, null],\n\t\"b\":{\"c\":\"\\u00e9/\"}\n}", "f.json", &faults);
  ASSERT_NE(root, nullptr) << FormatFaults(faults);
  ASSERT_EQ(root->entries.size(), 2u);
  EXPECT_EQ(root->entries[0].value->items.size(), 4u);
  EXPECT_EQ(root->entries[0].value->items[3]->kind, Node::Kind::kNull);
  EXPECT_EQ(root->entries[1].value->entries[0].value->text, "\xc3\xa9/");
}

TEST(YamlTest, MergeKeysFillWhatTheMapDoesNotSay) {
  v1::Faults faults;
  const NodePtr root = ParseYaml("- &x {a: 1, b: 2}\n- {<<: *x, b: 3}\n", "f", &faults);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(faults.faults_size(), 0);
  const Node& merged = *root->items[1];
  ASSERT_EQ(merged.entries.size(), 2u);
  EXPECT_EQ(merged.entries[0].key, "b");
  EXPECT_EQ(merged.entries[0].value->text, "3");
  EXPECT_EQ(merged.entries[1].value->text, "1");
}

TEST(YamlTest, ByteOrderMarkAndCarriageReturnsAreText) {
  EXPECT_EQ(ReasonsOf("\xef\xbb\xbf"
                      "a: 1\r\nb: 2\r\n"),
            "");
}

TEST(YamlTest, HostileTextsHaveOneFaultEach) {
  EXPECT_EQ(ReasonsOf(""), "SPEC_EMPTY@1:1");
  EXPECT_EQ(ReasonsOf(" \n\n"), "SPEC_EMPTY@1:1");
  EXPECT_EQ(ReasonsOf("# only words\n"), "SPEC_EMPTY@1:1");
  EXPECT_EQ(ReasonsOf("null"), "SPEC_EMPTY@1:1");
  EXPECT_EQ(ReasonsOf(std::string("a: b\0c", 6)), "SPEC_NOT_TEXT@1:5");
  EXPECT_EQ(ReasonsOf("a: 1\nb: \xff"), "SPEC_NOT_TEXT@2:4");
  EXPECT_EQ(ReasonsOf("a: \xc0\xaf"), "SPEC_NOT_TEXT@1:4");
  EXPECT_EQ(ReasonsOf("a: \xed\xa0\x80"), "SPEC_NOT_TEXT@1:4");
  EXPECT_EQ(ReasonsOf("a: 1\n---\nb: 2\n"), "SPEC_SYNTAX@2:1");
  EXPECT_EQ(ReasonsOf("a: *nothing\n"), "SPEC_SYNTAX@1:4");
  EXPECT_EQ(ReasonsOf("a: {b: [1, 2}\n"), "SPEC_SYNTAX@1:8");
  EXPECT_EQ(ReasonsOf("a: \"b\n"), "SPEC_SYNTAX@1:4");
  EXPECT_EQ(ReasonsOf("a: x\nb: 'it''s\n"), "SPEC_SYNTAX@2:4");
  EXPECT_EQ(ReasonsOf("b: 'it''s'\nc: \"\\\"\"\n"), "");
  EXPECT_EQ(ReasonsOf("? [a, b]\n: c\n"), "SPEC_SYNTAX@1:3");
  EXPECT_EQ(ReasonsOf("a: &x [*x]\n").substr(0, 11), "SPEC_SYNTAX");
  EXPECT_EQ(ReasonsOf("a: 1\nb: 2\na: 3\n"), "DUPLICATE_KEY@3:1");
}

// The parser below makes empty documents of it without end.
TEST(YamlTest, WhatFollowsTheEndIsOneFault) {
  for (const char* text :
       {"{\"a\": 1},\n", "{\"a\": 1}, {\"b\": 2}", "[1, 2], 3", "a: 1\n---\nb: 2\n---\nc: 3"}) {
    v1::Faults faults;
    ParseYaml(text, "spec.yaml", &faults);
    ASSERT_EQ(faults.faults_size(), 1) << text;
    EXPECT_EQ(faults.faults(0).message(), "a second document begins here") << text;
  }
}

TEST(YamlTest, TabsAreNamedWhereverTheyIndent) {
  for (const std::string& text :
       {std::string("a:\n\tb: 1\n"), std::string("a:\n\t- b\n"),
        std::string("a:\n  b: 1\n\tc: 2\n"), std::string("a:\n - b: 1\n \tc: 2\n"),
        std::string("a:\n  - b\n\t- c\n")}) {
    v1::Faults faults;
    ParseYaml(text, "f", &faults);
    ASSERT_EQ(faults.faults_size(), 1) << text << FormatFaults(faults);
    EXPECT_EQ(faults.faults(0).reason(), "SPEC_SYNTAX");
    EXPECT_EQ(faults.faults(0).expected(), "spaces") << text;
  }
  // A tab inside a block of text or after a key is no indentation.
  EXPECT_EQ(ReasonsOf("a: |\n  x\n  \ty\nb:\t1\n"), "");
}

TEST(YamlTest, LimitsHold) {
  EXPECT_EQ(ReasonsOf(std::string(kSpecBytesMax + 1, 'a')), "SPEC_TOO_LARGE@1:1");
  std::string deep;
  for (int i = 0; i < kSpecDepthMax; ++i) deep += "[";
  std::string closing(deep.size(), ']');
  EXPECT_EQ(ReasonsOf(deep + closing), "");
  EXPECT_EQ(ReasonsOf("[" + deep + closing + "]"), "SPEC_TOO_LARGE@1:65");
  // Far deeper than the parser below can go.
  EXPECT_EQ(ReasonsOf(std::string(10'000, '[')).substr(0, 14), "SPEC_TOO_LARGE");
  EXPECT_EQ(ReasonsOf(std::string(kSpecBytesMax, '[')), "SPEC_TOO_LARGE@1:1");
  EXPECT_EQ(ReasonsOf(std::string(kSpecBytesMax, '{')), "SPEC_TOO_LARGE@1:1");
  EXPECT_NE(ReasonsOf(std::string(100'000, '&')), "");
}

TEST(YamlTest, ManyValuesAreTooLargeWithOrWithoutAliases) {
  std::string flat = "a: [";
  for (int i = 0; i < 100'001; ++i) flat += "1,";
  EXPECT_EQ(ReasonsOf(flat + "]\n"), "SPEC_TOO_LARGE@1:1");
  std::string bomb = "- &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string alias = absl::StrCat("*a", i - 1);
    absl::StrAppend(&bomb, "- &a", i, " [", alias, ", ", alias, ", ", alias, "]\n");
  }
  EXPECT_EQ(ReasonsOf(bomb), "SPEC_TOO_LARGE@1:1");
}

}  // namespace
}  // namespace trainyard::spec
