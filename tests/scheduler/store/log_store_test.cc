// What every LogStore promises, on the one of segments: nothing twice, nothing lost, cursors that
// stay, followers that hear of every line.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/fault_point.h"
#include "common/mutex.h"
#include "scheduler/store/segment_log_store.h"
#include "tests/scheduler/store/store_fixture.h"

namespace trainyard::store {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kJob = 0x1234;

class LogStoreTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    Reopen();
  }
  void Reopen() { store_ = MakeSegmentLogStore(folder_ + "/logs", options_); }

  static agent::v1::LogChunk Chunk(int rank, int64_t offset, const std::string& data,
                                   uint64_t epoch = 1) {
    agent::v1::LogChunk chunk;
    chunk.mutable_key()->set_run_uid(9);
    chunk.mutable_key()->set_epoch(epoch);
    chunk.set_rank(rank);
    chunk.set_offset(offset);
    chunk.set_data(data);
    chunk.set_time_us(1700000000123456);
    return chunk;
  }
  int64_t Append(const agent::v1::LogChunk& chunk, int trial = 0, uint64_t job = kJob) {
    const auto next = store_->Append("default", "job", job, trial, chunk, "node-1");
    EXPECT_TRUE(next.ok()) << next.status();
    return next.ok() ? *next : -1;
  }
  LogStore::Page Page(const std::string& cursor, int lines_max, const v1::TailLogsRequest& filter) {
    auto page = store_->Read(kJob, filter, cursor, lines_max);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? *std::move(page) : LogStore::Page{{}, "", true};
  }
  static v1::TailLogsRequest All() {
    v1::TailLogsRequest filter;
    filter.set_all_ranks(true);
    return filter;
  }
  // Texts from `cursor` to the end, in pages of `lines_max`; `cursor` moves to the end.
  std::vector<std::string> Texts(std::string* cursor, int lines_max,
                                 const v1::TailLogsRequest& filter) {
    std::vector<std::string> texts;
    for (;;) {
      const auto page = Page(*cursor, lines_max, filter);
      for (const auto& line : page.lines) texts.push_back(line.text());
      *cursor = page.next_cursor;
      if (page.at_end) return texts;
    }
  }
  std::vector<std::string> Texts(const v1::TailLogsRequest& filter = All()) {
    std::string cursor;
    return Texts(&cursor, 1000, filter);
  }

  SegmentedFile::Options options_;
  std::unique_ptr<LogStore> store_;
};

TEST_F(LogStoreTest, UnknownJobIsEmptyAndLeavesNoFile) {
  const auto page = Page("", 10, All());
  EXPECT_THAT(page.lines, IsEmpty());
  EXPECT_TRUE(page.at_end);
  EXPECT_FALSE(Exists(folder_ + "/logs"));
}

TEST_F(LogStoreTest, LinesCarryWhereTheyCameFrom) {
  auto chunk = Chunk(3, 0, "hello\n", 42);
  chunk.set_is_stderr(true);
  EXPECT_EQ(Append(chunk, 7), 6);
  const auto page = Page("", 10, All());
  ASSERT_EQ(page.lines.size(), 1u);
  const v1::LogLine& line = page.lines[0];
  EXPECT_EQ(line.text(), "hello");
  EXPECT_EQ(line.rank(), 3);
  EXPECT_EQ(line.trial(), 7);
  EXPECT_EQ(line.epoch(), 42u);
  EXPECT_TRUE(line.is_stderr());
  EXPECT_EQ(line.node(), "node-1");
  EXPECT_EQ(line.time().seconds(), 1700000000);
  EXPECT_EQ(line.time().nanos(), 123456000);
}

TEST_F(LogStoreTest, RepeatedChunksChangeNothingAlsoAfterReopen) {
  EXPECT_EQ(Append(Chunk(0, 0, "one\ntwo\nhal")), 11);
  EXPECT_EQ(Append(Chunk(0, 0, "one\ntwo\nhal")), 11);
  EXPECT_EQ(Append(Chunk(0, 4, "two\n")), 11);
  Reopen();
  EXPECT_EQ(Append(Chunk(0, 8, "half\nthree\n")), 19);
  EXPECT_THAT(Texts(), ElementsAre("one", "two", "half", "three"));
}

TEST_F(LogStoreTest, StreamsOfRanksOutputsAndAttemptsAreApart) {
  auto error = Chunk(0, 0, "stderr\n");
  error.set_is_stderr(true);
  Append(Chunk(0, 0, "stdout\n"));
  Append(error);
  Append(Chunk(1, 0, "rank 1\n"));
  Append(Chunk(0, 0, "again\n", 2));
  EXPECT_THAT(Texts(), ElementsAre("stdout", "stderr", "rank 1", "again"));
}

TEST_F(LogStoreTest, FiltersByRankAndTrial) {
  Append(Chunk(0, 0, "trial 1 rank 0\n", 1), 1);
  Append(Chunk(1, 0, "trial 1 rank 1\n", 1), 1);
  Append(Chunk(0, 0, "trial 2 rank 0\n", 2), 2);
  v1::TailLogsRequest filter;
  EXPECT_THAT(Texts(filter), ElementsAre("trial 1 rank 0", "trial 2 rank 0"));
  filter.set_rank(1);
  EXPECT_THAT(Texts(filter), ElementsAre("trial 1 rank 1"));
  filter.set_rank(-1);
  filter.set_trial(1);
  EXPECT_THAT(Texts(filter), ElementsAre("trial 1 rank 0", "trial 1 rank 1"));
}

TEST_F(LogStoreTest, EveryPageSizeGivesTheSameLinesAlsoAcrossReopen) {
  options_.segment_bytes = 300;
  Reopen();
  std::vector<std::string> expected;
  int64_t offset = 0;
  for (int i = 0; i < 60; ++i) {
    std::string data;
    for (int j = 0; j <= i % 5; ++j) {
      expected.push_back(absl::StrCat("line ", i, ".", j));
      absl::StrAppend(&data, expected.back(), "\n");
    }
    offset = Append(Chunk(0, offset, data));
  }
  for (const int lines_max : {1, 2, 3, 7, 1000}) {
    std::string cursor;
    EXPECT_TRUE(Texts(&cursor, lines_max, All()) == expected) << lines_max;
    EXPECT_THAT(Texts(&cursor, lines_max, All()), IsEmpty());
  }
  // The cursor of each single line goes on behind it.
  const auto page = Page("", 1000, All());
  Reopen();
  for (size_t i = 0; i < page.lines.size(); i += 7) {
    std::string cursor = page.lines[i].cursor();
    const std::vector<std::string> rest(expected.begin() + static_cast<long>(i) + 1,
                                        expected.end());
    EXPECT_TRUE(Texts(&cursor, 10, All()) == rest) << i;
  }
}

TEST_F(LogStoreTest, CursorAtTheEndGivesWhatComesLater) {
  std::string cursor;
  EXPECT_THAT(Texts(&cursor, 10, All()), IsEmpty());
  Append(Chunk(0, 0, "one\n"));
  EXPECT_THAT(Texts(&cursor, 10, All()), ElementsAre("one"));
  EXPECT_THAT(Texts(&cursor, 10, All()), IsEmpty());
  Append(Chunk(0, 4, "two\n"));
  Reopen();
  EXPECT_THAT(Texts(&cursor, 10, All()), ElementsAre("two"));
}

TEST_F(LogStoreTest, ForeignCursorsAreRefused) {
  Append(Chunk(0, 0, "one\n"));
  const std::string good = Page("", 10, All()).next_cursor;
  Append(Chunk(0, 0, "one\n"), 0, kJob + 1);
  EXPECT_EQ(ReasonOf(store_->Read(kJob + 1, All(), good, 10).status()), "BAD_VALUE");
  for (const std::string& bad : {std::string("x"), std::string("1-8-0"), std::string("1-8-0-0"),
                                 "ff" + good, std::string("---")}) {
    EXPECT_EQ(ReasonOf(store_->Read(kJob, All(), bad, 10).status()), "BAD_VALUE") << bad;
  }
}

TEST_F(LogStoreTest, TailGivesTheLastWantedLines) {
  options_.segment_bytes = 200;
  Reopen();
  int64_t offsets[2] = {0, 0};
  for (int i = 0; i < 50; ++i) {
    offsets[i % 2] = Append(Chunk(i % 2, offsets[i % 2], absl::StrCat("a", i, "\nb", i, "\n")));
  }
  v1::TailLogsRequest filter = All();
  filter.set_tail_lines(3);
  EXPECT_THAT(Texts(filter), ElementsAre("b48", "a49", "b49"));
  filter.set_all_ranks(false);
  EXPECT_THAT(Texts(filter), ElementsAre("b46", "a48", "b48"));
  filter.set_tail_lines(1000);
  EXPECT_EQ(Texts(filter).size(), 50u);
}

TEST_F(LogStoreTest, ProcessKilledInTheMiddleLosesNothingAcknowledged) {
  Append(Chunk(0, 0, "one\nhalf"));
  EXPECT_EXIT(
      {
        fault::Arm("store.segment.before_write=exit@1");
        Append(Chunk(0, 8, "-done\n"));
        _exit(0);
      },
      [](int status) { return !(WIFEXITED(status) && WEXITSTATUS(status) == 0); }, "");
  Reopen();
  EXPECT_EQ(Append(Chunk(0, 8, "-done\n")), 14);
  EXPECT_THAT(Texts(), ElementsAre("one", "half-done"));
}

TEST_F(LogStoreTest, TornTailIsCutAndWrittenAgain) {
  Append(Chunk(0, 0, "one\n"));
  std::string segment;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (entry.path().extension() == ".seg") segment = entry.path();
  }
  const auto size = fs::file_size(segment);
  Append(Chunk(0, 4, "two\n"));
  fs::resize_file(segment, size + 9);
  Reopen();
  EXPECT_THAT(Texts(), ElementsAre("one"));
  EXPECT_EQ(Append(Chunk(0, 0, "one\ntwo\n")), 8);
  EXPECT_THAT(Texts(), ElementsAre("one", "two"));
}

TEST_F(LogStoreTest, StateIsKeptOverManySegments) {
  options_.segment_bytes = 100;
  Reopen();
  Append(Chunk(5, 0, "early, never ended"));
  int64_t offset = 0;
  for (int i = 0; i < 30; ++i) offset = Append(Chunk(0, offset, "filling the segments up\n"));
  Reopen();
  EXPECT_EQ(Append(Chunk(5, 0, "early, never ended: now\n")), 24);
  EXPECT_EQ(Texts().back(), "early, never ended: now");
}

TEST_F(LogStoreTest, TooLongALogLosesItsBeginningAndSaysSo) {
  options_.segment_bytes = 200;
  options_.segments_max = 3;
  Reopen();
  int64_t offset = Append(Chunk(0, 0, "first\n"));
  const std::string cursor = Page("", 1, All()).next_cursor;
  for (int i = 0; i < 60; ++i) offset = Append(Chunk(0, offset, absl::StrCat("line ", i, "\n")));
  std::string from = cursor;
  const auto texts = Texts(&from, 5, All());
  EXPECT_THAT(texts.front(), HasSubstr("older lines were removed"));
  EXPECT_EQ(texts.back(), "line 59");
}

TEST_F(LogStoreTest, HugeLinesAreCutInBoundedPages) {
  int64_t offset = 0;
  for (int i = 0; i < 20; ++i) {
    offset = Append(Chunk(0, offset, std::string(1 << 20, static_cast<char>('a' + i)) + "\n"));
  }
  const auto page = Page("", 1000, All());
  EXPECT_FALSE(page.at_end);
  EXPECT_LT(page.lines.size(), 20u);
  for (const auto& text : Texts()) {
    EXPECT_LE(text.size(), (64u << 10) + 100);
    EXPECT_THAT(text.substr(65536), HasSubstr("line cut"));
  }
  EXPECT_EQ(Texts().size(), 20u);
}

TEST_F(LogStoreTest, NonsenseIsRefused) {
  EXPECT_FALSE(store_->Append("p", "j", kJob, 0, Chunk(0, -1, "x"), "n").ok());
  EXPECT_FALSE(store_->Append("p", "j", kJob, 0, Chunk(0, INT64_MIN, "x"), "n").ok());
  EXPECT_FALSE(store_->Append("p", "j", kJob, 0, Chunk(0, INT64_MAX, "x"), "n").ok());
}

TEST_F(LogStoreTest, FollowerSeesEveryLineOnce) {
  constexpr int kLines = 500;
  Mutex mutex;
  CondVar news;
  bool woken = false;
  const uint64_t subscription = store_->Subscribe(kJob, [&] {
    MutexLock lock(&mutex);
    woken = true;
    news.NotifyAll();
  });
  std::vector<std::string> seen;
  std::thread follower([&] {
    std::string cursor;
    while (seen.size() < kLines * 2) {
      for (const auto& text : Texts(&cursor, 16, All())) seen.push_back(text);
      MutexLock lock(&mutex);
      while (!woken && seen.size() < kLines * 2) news.Wait(&mutex);
      woken = false;
    }
  });
  std::vector<std::thread> writers;
  for (int rank = 0; rank < 2; ++rank) {
    writers.emplace_back([this, rank] {
      int64_t offset = 0;
      for (int i = 0; i < kLines; ++i) {
        offset = Append(Chunk(rank, offset, absl::StrCat(rank, ":", i, "\n")));
      }
    });
  }
  for (auto& writer : writers) writer.join();
  follower.join();
  store_->Unsubscribe(subscription);
  std::sort(seen.begin(), seen.end());
  EXPECT_TRUE(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
  EXPECT_EQ(seen.size(), kLines * 2u);
}

TEST_F(LogStoreTest, SubscribersOfOtherJobsAreLeftAlone) {
  std::atomic<int> mine{0}, others{0};
  const uint64_t a = store_->Subscribe(kJob, [&] { ++mine; });
  const uint64_t b = store_->Subscribe(kJob + 1, [&] { ++others; });
  Append(Chunk(0, 0, "one\n"));
  EXPECT_EQ(mine, 1);
  EXPECT_EQ(others, 0);
  Append(Chunk(0, 0, "one\n"));  // nothing new
  Append(Chunk(0, 4, "half"));   // no line yet
  EXPECT_EQ(mine, 1);
  store_->Unsubscribe(a);
  Append(Chunk(0, 8, "\n"));
  EXPECT_EQ(mine, 1);
  store_->Unsubscribe(b);
}

// Random chunks, repeats and restarts of the store against the plain text.
TEST_F(LogStoreTest, AnyChunksRepeatsAndRestartsGiveTheText) {
  options_.segment_bytes = 2000;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Reopen();
    Random random(seed);
    std::string text;
    std::vector<std::string> expected;
    for (int i = 0; i < 200; ++i) {
      expected.push_back(absl::StrCat(i, std::string(random.Below(60), 'z')));
      absl::StrAppend(&text, expected.back(), "\n");
    }
    int64_t next = 0;
    const auto size = static_cast<int64_t>(text.size());
    while (next < size) {
      if (random.Below(20) == 0) Reopen();
      const int64_t offset = next - std::min<int64_t>(next, static_cast<int64_t>(random.Below(80)));
      const std::string data = text.substr(static_cast<size_t>(offset), random.Below(200) + 1);
      const auto appended = store_->Append("p", "j", 100 + seed, 0, Chunk(0, offset, data), "n");
      ASSERT_TRUE(appended.ok()) << "seed " << seed;
      ASSERT_EQ(*appended, std::max(next, offset + static_cast<int64_t>(data.size())));
      next = *appended;
    }
    std::vector<std::string> seen;
    std::string cursor;
    for (;;) {
      const auto page = store_->Read(100 + seed, All(), cursor, 7);
      ASSERT_TRUE(page.ok());
      for (const auto& line : page->lines) seen.push_back(line.text());
      cursor = page->next_cursor;
      if (page->at_end) break;
    }
    ASSERT_TRUE(seen == expected) << "seed " << seed;
  }
}

}  // namespace
}  // namespace trainyard::store
