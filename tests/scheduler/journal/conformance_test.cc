// What every journal must do; run on each implementation.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "scheduler/journal/journal.h"
#include "scheduler/journal/memory_journal.h"
#include "tests/scheduler/journal/events.h"

namespace trainyard::journal {
namespace {

// Opens journals over one storage; Reopen is a new process.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual Journal* Reopen() = 0;
};

class MemoryStorage : public Storage {
 public:
  Journal* Reopen() override { return &journal_; }

 private:
  MemoryJournal journal_;
};

class SqliteStorage : public Storage {
 public:
  Journal* Reopen() override {
    journal_.reset();
    auto journal = OpenSqliteJournal(folder_.path + "/journal.db");
    EXPECT_TRUE(journal.ok()) << journal.status();
    journal_ = *std::move(journal);
    return journal_.get();
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<Journal> journal_;
};

struct Kind {
  const char* name;
  std::function<std::unique_ptr<Storage>()> make;
};

class JournalTest : public ::testing::TestWithParam<Kind> {
 protected:
  JournalTest() : storage_(GetParam().make()) { Restart(); }
  Recovered Restart() {
    journal_ = storage_->Reopen();
    auto recovered = journal_->Recover();
    EXPECT_TRUE(recovered.ok()) << recovered.status();
    incarnation_ = recovered->incarnation;
    return *std::move(recovered);
  }
  absl::Status Append(uint64_t after, int count) {
    return journal_->Append(incarnation_, after, Records(after + 1, count));
  }
  std::unique_ptr<Storage> storage_;
  Journal* journal_ = nullptr;
  uint64_t incarnation_ = 0;
};

INSTANTIATE_TEST_SUITE_P(
    All, JournalTest,
    ::testing::Values(Kind{"Memory", [] { return std::make_unique<MemoryStorage>(); }},
                      Kind{"Sqlite", [] { return std::make_unique<SqliteStorage>(); }}),
    [](const auto& row) { return row.param.name; });

TEST_P(JournalTest, EmptyAtFirst) {
  const Recovered recovered = Restart();
  EXPECT_EQ(recovered.rows_sequence, 0u);
  EXPECT_TRUE(recovered.rows.empty());
  EXPECT_TRUE(recovered.tail.empty());
}

TEST_P(JournalTest, GivesBackWhatWasAppended) {
  ASSERT_TRUE(Append(0, 3).ok());
  ASSERT_TRUE(Append(3, 1).ok());
  const Recovered recovered = Restart();
  ASSERT_EQ(recovered.tail.size(), 4u);
  for (uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(recovered.tail[i].SerializeAsString(), EventNumber(i + 1).SerializeAsString());
  }
}

TEST_P(JournalTest, IncarnationRisesWithEveryOpening) {
  uint64_t last = incarnation_;
  EXPECT_GT(last, 0u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_GT(Restart().incarnation, last);
    last = incarnation_;
  }
}

TEST_P(JournalTest, RefusesWritersOfAnOlderIncarnation) {
  const uint64_t old = incarnation_;
  ASSERT_TRUE(Append(0, 1).ok());
  Restart();
  EXPECT_TRUE(absl::IsAborted(journal_->Append(old, 1, Records(2, 1))));
  EXPECT_TRUE(absl::IsAborted(journal_->WriteRows(old, {}, 1)));
  EXPECT_TRUE(Append(1, 1).ok());
}

TEST_P(JournalTest, RefusesGapsAndRepeats) {
  ASSERT_TRUE(Append(0, 2).ok());
  EXPECT_TRUE(absl::IsAborted(Append(0, 1)));
  EXPECT_TRUE(absl::IsAborted(Append(3, 1)));
  EXPECT_TRUE(Append(2, 1).ok()) << "a refused append changes nothing";
  EXPECT_EQ(Restart().tail.size(), 3u);
}

TEST_P(JournalTest, EmptyBatchIsFine) {
  EXPECT_TRUE(Append(0, 0).ok());
  EXPECT_TRUE(Append(0, 1).ok());
}

TEST_P(JournalTest, RowsStandForTheEventsTheyReflect) {
  ASSERT_TRUE(Append(0, 5).ok());
  ASSERT_TRUE(
      journal_->WriteRows(incarnation_, {{"job", "k1", "v1", 3}, {"run", "k2", "v2", 2}}, 3).ok());
  ASSERT_TRUE(Append(5, 1).ok());
  const Recovered recovered = Restart();
  EXPECT_EQ(recovered.rows_sequence, 3u);
  ASSERT_EQ(recovered.tail.size(), 3u);
  EXPECT_EQ(recovered.tail[0].sequence(), 4u);
  ASSERT_EQ(recovered.rows.size(), 2u);
  EXPECT_EQ(recovered.rows[0].kind, "job");
  EXPECT_EQ(recovered.rows[0].value, "v1");
  EXPECT_EQ(recovered.rows[0].sequence, 3u);
}

TEST_P(JournalTest, RowsAreReplacedAndRemoved) {
  ASSERT_TRUE(Append(0, 2).ok());
  ASSERT_TRUE(
      journal_->WriteRows(incarnation_, {{"job", "a", "1", 1}, {"job", "b", "2", 1}}, 1).ok());
  ASSERT_TRUE(journal_
                  ->WriteRows(incarnation_,
                              {{"job", "a", "3", 2}, {"job", "b", "", 2}, {"job", "c", "", 2}}, 2)
                  .ok());
  const Recovered recovered = Restart();
  ASSERT_EQ(recovered.rows.size(), 1u);
  EXPECT_EQ(recovered.rows[0].value, "3");
  EXPECT_EQ(*journal_->ReadRow("job", "a"), "3");
  EXPECT_TRUE(absl::IsNotFound(journal_->ReadRow("job", "b").status()));
}

TEST_P(JournalTest, OldKindsAreReadOnDemand) {
  ASSERT_TRUE(Append(0, 1).ok());
  ASSERT_TRUE(
      journal_->WriteRows(incarnation_, {{"old_job", "a", "1", 1}, {"job", "b", "2", 1}}, 1).ok());
  EXPECT_EQ(Restart().rows.size(), 1u);
  EXPECT_EQ(*journal_->ReadRow("old_job", "a"), "1");
}

TEST_P(JournalTest, ReadsRowsPageByPage) {
  ASSERT_TRUE(Append(0, 1).ok());
  std::vector<RowUpdate> rows;
  const std::string keys[] = {"p/a", "p/b", "p/c", "q/a", std::string("p/\xff\x00z", 5)};
  for (const std::string& key : keys) rows.push_back({"old_x", key, "v" + key, 1});
  rows.push_back({"old_y", "p/a", "other", 1});
  ASSERT_TRUE(journal_->WriteRows(incarnation_, rows, 1).ok());
  std::vector<std::string> seen;
  std::string after;
  while (true) {
    const auto page = journal_->ReadRows("old_x", "p/", after, 2);
    ASSERT_TRUE(page.ok());
    for (const RowUpdate& row : *page) seen.push_back(row.key);
    if (page->size() < 2) break;
    after = page->back().key;
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"p/a", "p/b", "p/c", keys[4]}));
}

TEST_P(JournalTest, EventsBehindRowsGoAway) {
  uint64_t sequence = 0;
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(Append(sequence, 100).ok());
    sequence += 100;
    ASSERT_TRUE(journal_->WriteRows(incarnation_, {{"job", "a", "v", sequence}}, sequence).ok());
  }
  ASSERT_TRUE(Append(sequence, 1).ok());
  const Recovered recovered = Restart();
  EXPECT_EQ(recovered.rows_sequence, sequence);
  EXPECT_EQ(recovered.tail.size(), 1u);
  ASSERT_TRUE(Append(sequence + 1, 2).ok()) << "the chain goes on after trimming and a restart";
  EXPECT_EQ(Restart().tail.size(), 3u);
}

TEST_P(JournalTest, KeepsLargeAndBinaryValues) {
  ASSERT_TRUE(Append(0, 1).ok());
  std::string value(300'000, '\0');
  for (size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 7);
  ASSERT_TRUE(
      journal_->WriteRows(incarnation_, {{"trial", std::string(8, '\0'), value, 1}}, 1).ok());
  EXPECT_EQ(Restart().rows.at(0).value, value);
  EXPECT_EQ(*journal_->ReadRow("trial", std::string(8, '\0')), value);
}

}  // namespace
}  // namespace trainyard::journal
