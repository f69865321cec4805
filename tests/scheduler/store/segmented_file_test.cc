// Records in segments: order, rotation, walking both ways, torn ends and damage.
#include "scheduler/store/segmented_file.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/scheduler/store/store_fixture.h"

namespace trainyard::store {
namespace {

namespace fs = std::filesystem;
using Result = SegmentReader::Result;
using testing::ElementsAre;
using testing::IsEmpty;

class SegmentedFileTest : public FolderTest {
 protected:
  // Opens anew; returns the records of the last segment.
  std::vector<std::string> Reopen(int64_t segment_bytes = 1 << 20, int segments_max = 1000) {
    std::vector<std::string> seen;
    file_ = std::make_unique<SegmentedFile>(folder_ + "/job",
                                            SegmentedFile::Options{segment_bytes, segments_max});
    const auto status =
        file_->Open([&seen](absl::string_view record) { seen.emplace_back(record); });
    EXPECT_TRUE(status.ok()) << status;
    return seen;
  }
  void Append(const std::vector<std::string>& records) {
    const auto status = file_->Append(records, [] { return std::vector<std::string>{"snap"}; });
    ASSERT_TRUE(status.ok()) << status;
  }
  // All records but snapshots, front to back; "damaged" and "gone" where the walk met them.
  std::vector<std::string> Forward() {
    SegmentReader reader(file_->Extent());
    SegmentPosition at;
    std::vector<std::string> seen;
    std::string record;
    for (;;) {
      const auto result = reader.Next(&at, &record);
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok() || *result == Result::kEnd) return seen;
      if (*result == Result::kDamaged) record = "damaged";
      if (*result == Result::kGone) record = "gone";
      if (record != "snap") seen.push_back(record);
    }
  }
  std::vector<std::string> Backward() {
    SegmentReader reader(file_->Extent());
    SegmentPosition at = file_->Extent().end;
    std::vector<std::string> seen;
    std::string record;
    for (;;) {
      const auto result = reader.Previous(&at, &record);
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok() || *result == Result::kEnd) break;
      if (*result == Result::kDamaged) record = "damaged";
      if (record != "snap") seen.push_back(record);
    }
    std::reverse(seen.begin(), seen.end());
    return seen;
  }
  std::string Segment(int number) const {
    return folder_ + "/job/" + absl::StrCat(absl::Dec(number, absl::kZeroPad8)) + ".seg";
  }
  std::unique_ptr<SegmentedFile> file_;
};

TEST_F(SegmentedFileTest, NothingThereIsEmpty) {
  EXPECT_THAT(Reopen(), IsEmpty());
  EXPECT_THAT(Forward(), IsEmpty());
  EXPECT_THAT(Backward(), IsEmpty());
  EXPECT_FALSE(Exists(folder_ + "/job"));
}

TEST_F(SegmentedFileTest, RecordsComeBackBothWays) {
  Reopen();
  Append({"a", "bb"});
  Append({"ccc"});
  EXPECT_THAT(Forward(), ElementsAre("a", "bb", "ccc"));
  EXPECT_THAT(Backward(), ElementsAre("a", "bb", "ccc"));
  EXPECT_THAT(Reopen(), ElementsAre("snap", "a", "bb", "ccc"));
  Append({"d"});
  EXPECT_THAT(Forward(), ElementsAre("a", "bb", "ccc", "d"));
}

TEST_F(SegmentedFileTest, OpeningReadsTheLastSegmentOnly) {
  Reopen(60);
  for (int i = 0; i < 20; ++i) Append({absl::StrCat("record ", i)});
  EXPECT_GT(file_->Extent().end.segment, 5u);
  std::ofstream(Segment(1), std::ios::binary) << "TYSEG1\n\nnonsense";
  EXPECT_THAT(Reopen(60), testing::Contains("record 19"));
  EXPECT_THAT(Forward(), testing::Contains("damaged"));
  EXPECT_THAT(Forward(), testing::Contains("record 19"));
}

TEST_F(SegmentedFileTest, RandomRecordsInManySegmentsComeBack) {
  Random random(11);
  Reopen(5000);
  std::vector<std::string> put;
  for (int i = 0; i < 300; ++i) {
    put.push_back(absl::StrCat(i, ":", RandomBytes(random.Below(i % 50 == 0 ? 400000 : 200), 1)));
    Append({put.back()});
    if (i % 70 == 0) Reopen(5000);
  }
  EXPECT_TRUE(Forward() == put);
  EXPECT_TRUE(Backward() == put);
}

TEST_F(SegmentedFileTest, TornEndIsCutAtEveryLength) {
  Reopen();
  Append({"first", "second"});
  const auto whole = fs::file_size(Segment(1));
  Append({"torn record"});
  const auto full = fs::file_size(Segment(1));
  const std::string bytes = *ReadFile(Segment(1));
  for (auto length = whole; length < full; ++length) {
    std::ofstream(Segment(1), std::ios::binary) << bytes.substr(0, length);
    EXPECT_THAT(Reopen(), ElementsAre("snap", "first", "second")) << length;
    Append({"third"});
    EXPECT_THAT(Forward(), ElementsAre("first", "second", "third")) << length;
    EXPECT_THAT(Reopen(), ElementsAre("snap", "first", "second", "third")) << length;
  }
}

TEST_F(SegmentedFileTest, EveryFlippedBitIsFoundAndWritingGoesOn) {
  Reopen();
  Append({"first", "second", "third"});
  const std::string bytes = *ReadFile(Segment(1));
  for (size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] ^= 0x20;
    std::ofstream(Segment(1), std::ios::binary) << changed;
    Reopen();
    Append({"after"});
    const auto seen = Forward();
    ASSERT_FALSE(seen.empty()) << at;
    EXPECT_EQ(seen.back(), "after") << at;
    EXPECT_TRUE(seen != (std::vector<std::string>{"first", "second", "third", "after"})) << at;
    for (const auto& record : seen) {
      EXPECT_TRUE(record == "first" || record == "second" || record == "third" ||
                  record == "after" || record == "damaged")
          << record;
    }
    fs::remove_all(folder_ + "/job");
    fs::create_directories(folder_ + "/job");
  }
}

TEST_F(SegmentedFileTest, OldestSegmentsGoBeyondTheLimit) {
  Reopen(60, 3);
  for (int i = 0; i < 40; ++i) Append({absl::StrCat("record ", i)});
  EXPECT_EQ(ListFolder(folder_ + "/job")->size(), 3u);
  const auto seen = Forward();
  EXPECT_EQ(seen.back(), "record 39");
  EXPECT_NE(seen.front(), "record 0");
  EXPECT_TRUE(seen == Backward());
}

TEST_F(SegmentedFileTest, ReaderOfARemovedSegmentGoesOnWithTheOldestLeft) {
  Reopen(60, 2);
  Append({"early"});
  SegmentPosition at = file_->Extent().Begin();
  for (int i = 0; i < 40; ++i) Append({absl::StrCat("record ", i)});
  SegmentReader reader(file_->Extent());
  std::string record;
  EXPECT_EQ(*reader.Next(&at, &record), Result::kGone);
  EXPECT_EQ(at.segment, file_->Extent().first);
  EXPECT_EQ(*reader.Next(&at, &record), Result::kRecord);
}

TEST_F(SegmentedFileTest, HalfMadeSegmentIsRemoved) {
  Reopen();
  Append({"a"});
  std::ofstream(folder_ + "/job/00000002.seg.new") << "half";
  EXPECT_THAT(Reopen(), ElementsAre("snap", "a"));
  EXPECT_EQ(ListFolder(folder_ + "/job")->size(), 1u);
}

TEST_F(SegmentedFileTest, EmptyRecordsAreRefused) {
  Reopen();
  EXPECT_FALSE(file_->Append({""}, [] { return std::vector<std::string>(); }).ok());
}

}  // namespace
}  // namespace trainyard::store
