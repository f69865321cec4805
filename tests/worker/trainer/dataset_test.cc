// Tables: what is read, what is refused and where, how rows are split and normalised.
#include "worker/trainer/dataset.h"

#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace trainyard::trainer {
namespace {

using testing::HasSubstr;

TEST(DatasetTest, LabelLastWithoutHeader) {
  const auto data = ParseCsv("1,2,10\n3,4.5,9\r\n\n-1,1e2,10\n", "t", "last");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->count, 3u);
  EXPECT_EQ(data->features, 2u);
  EXPECT_EQ(data->values, (std::vector<float>{1, 2, 3, 4.5F, -1, 100}));
  EXPECT_EQ(data->classes, (std::vector<std::string>{"9", "10"})) << "numbers sort as numbers";
  EXPECT_EQ(data->labels, (std::vector<int64_t>{1, 0, 1}));
}

TEST(DatasetTest, HeaderAndLabelsInWordsAndOtherColumns) {
  const auto first = ParseCsv("kind,a,b\nx,1,2\ny,3,4\n", "t", "first");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->classes, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(first->values, (std::vector<float>{1, 2, 3, 4}));
  const auto middle = ParseCsv("1,x,2\n3,y,4\n", "t", "1");
  ASSERT_TRUE(middle.ok()) << middle.status();
  EXPECT_EQ(middle->values, (std::vector<float>{1, 2, 3, 4}));
}

TEST(DatasetTest, FaultsSayWhere) {
  struct Row {
    const char* text;
    const char* label;
    const char* said;
  };
  const Row rows[] = {
      {"1,2,0\n1,x,1\n", "last", "t:2, cell 2: \"x\" is no finite number"},
      {"1,2,0\n1,inf,1\n", "last", "t:2, cell 2"},
      {"1,2,0\n1,2\n", "last", "t:2: 2 cells, the first line has 3"},
      {"a,b,c\n", "last", "t: no rows"},
      {"", "last", "t: no rows"},
      {"1\n", "last", "t:1: one cell"},
      {"1,2,0\n3,4,0\n", "last", "t: all labels are 0"},
      {"1,2,0\n", "7", "7 is no column of a file with 3"},
  };
  for (const Row& row : rows) {
    const auto data = ParseCsv(row.text, "t", row.label);
    ASSERT_FALSE(data.ok()) << row.text;
    EXPECT_THAT(std::string(data.status().message()), HasSubstr(row.said));
  }
}

TEST(DatasetTest, ReadsPlainAndGzip) {
  const std::string folder = testing::TempDir(), text = "1,2,0\n3,4,1\n";
  std::FILE* plain = std::fopen((folder + "/plain.csv").c_str(), "w");
  std::fputs(text.c_str(), plain);
  std::fclose(plain);
  gzFile zipped = gzopen((folder + "/zipped.csv.gz").c_str(), "wb");
  gzwrite(zipped, text.data(), static_cast<unsigned>(text.size()));
  gzclose(zipped);
  const auto a = LoadCsv(folder + "/plain.csv", "last");
  const auto b = LoadCsv(folder + "/zipped.csv.gz", "last");
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  EXPECT_EQ(a->values, b->values);
  EXPECT_THAT(std::string(LoadCsv(folder + "/absent.csv", "last").status().message()),
              HasSubstr("absent.csv"));
}

TEST(DatasetTest, SplitIsAPartitionByItsSeedAlone) {
  const auto split = SplitRows(1797, 1, 0.2, 0.2);
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->test.size(), 359u);
  EXPECT_EQ(split->validation.size(), 359u);
  std::vector<size_t> rows = split->train;
  rows.insert(rows.end(), split->validation.begin(), split->validation.end());
  rows.insert(rows.end(), split->test.begin(), split->test.end());
  std::sort(rows.begin(), rows.end());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], i);
  EXPECT_EQ(rows.size(), 1797u);
  const auto again = SplitRows(1797, 1, 0.3, 0.2), other = SplitRows(1797, 2, 0.2, 0.2);
  ASSERT_TRUE(again.ok() && other.ok());
  EXPECT_EQ(again->test, split->test) << "the test split does not follow the validation's size";
  EXPECT_NE(other->test, split->test);
  EXPECT_FALSE(SplitRows(3, 1, 0.1, 0.1).ok());
}

TEST(DatasetTest, NormalisationMeasuresTheTrainingRowsOnly) {
  auto data = ParseCsv("0,5,0\n2,5,1\n1000,9,0\n", "t", "last");
  ASSERT_TRUE(data.ok());
  const std::vector<size_t> rows = {0, 1};
  const Normalisation feature = MeasureNormalisation(*data, rows, "feature");
  EXPECT_EQ(feature.mean, (std::vector<float>{1, 5}));
  EXPECT_EQ(feature.scale, (std::vector<float>{1, 1})) << "a constant keeps scale 1";
  const Normalisation global = MeasureNormalisation(*data, rows, "global");
  EXPECT_EQ(global.mean, (std::vector<float>{3, 3}));
  feature.Apply(&*data);
  EXPECT_EQ(data->values, (std::vector<float>{-1, 0, 1, 0, 999, 4}));
}

TEST(DatasetTest, TextBecomesRowsOfCharacters) {
  const auto data = ParseText("abcab\ncab", "t", 3);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->classes, (std::vector<std::string>{"0x0A", "a", "b", "c"}));
  EXPECT_EQ(data->count, 2u) << "eight steps, three a row: the rest is left out";
  EXPECT_EQ(data->features, 4u);
  // Each row begins with the last character of the one before.
  EXPECT_EQ(data->values, (std::vector<float>{1, 2, 3, 1, 1, 2, 0, 3}));
  EXPECT_EQ(data->labels, (std::vector<int64_t>{0, 0}));
}

TEST(DatasetTest, TextThatTeachesNothingIsRefused) {
  EXPECT_THAT(ParseText("", "t", 3).status().message(), testing::HasSubstr("t: 0 characters"));
  EXPECT_FALSE(ParseText("aaaaaaa", "t", 3).ok());
  EXPECT_FALSE(ParseText("abc", "t", 3).ok());
  EXPECT_TRUE(ParseText("abca", "t", 3).ok());
}

}  // namespace
}  // namespace trainyard::trainer
