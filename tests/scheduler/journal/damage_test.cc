// Damaged journals: found or harmless, never silent. Bits are flipped all over the files of a small
// journal; each copy must be refused or give exactly what was stored.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "common/random.h"
#include "scheduler/journal/mark_file.h"
#include "scheduler/journal/memory_journal.h"
#include "scheduler/journal/sqlite.h"
#include "tests/scheduler/journal/events.h"

namespace trainyard::journal {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}
void Write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

const char* const kFiles[] = {"journal.db", "journal.db-wal", "journal.db.rows",
                              "journal.db.rows-wal", "journal.db.mark"};

using Files = std::map<std::string, std::string>;

Files Snapshot(const std::string& folder) {
  Files files;
  for (const char* name : kFiles) {
    if (fs::exists(folder + "/" + name)) files[name] = Read(folder + "/" + name);
  }
  return files;
}

// Everything a journal gives, as one text; "" and the status when it refuses. `at_once`: bytes up
// to which all of it is checked by Recover; `late` tells that what came behind it refused.
std::string Contents(const std::string& path, absl::Status* status,
                     int64_t at_once = kCheckedAtOnceBytes, bool* late = nullptr) {
  auto journal = OpenSqliteJournal(path, at_once);
  if (!journal.ok()) {
    *status = journal.status();
    return "";
  }
  const auto recovered = (*journal)->Recover();
  *status = recovered.status();
  if (!recovered.ok()) return "";
  *status = (*journal)->CheckRest(std::atomic<bool>(false));
  if (!status->ok()) {
    if (late != nullptr) *late = true;
    return "";
  }
  std::string out = std::to_string(recovered->rows_sequence);
  for (const RowUpdate& row : recovered->rows) {
    out += "|" + row.kind + "," + row.key + "," + row.value + "," + std::to_string(row.sequence);
  }
  for (const v1::Event& event : recovered->tail) out += "|" + event.SerializeAsString();
  const auto old = (*journal)->ReadRows("old_job", "", "", 100);
  if (!old.ok()) {
    *status = old.status();
    return "";
  }
  for (const RowUpdate& row : *old) out += "|" + row.key + "=" + row.value;
  return out;
}

// A journal with trimmed events, rows of live and old kinds, and a tail.
void Build(Journal* journal) {
  const uint64_t incarnation = journal->Recover()->incarnation;
  ASSERT_TRUE(journal->Append(incarnation, 0, Records(1, 20)).ok());
  std::vector<RowUpdate> rows;
  for (int i = 0; i < 12; ++i) {
    const std::string key = "key" + std::to_string(i);
    rows.push_back({i % 3 == 0 ? "old_job" : "job", key, "value of " + key, 10});
  }
  ASSERT_TRUE(journal->WriteRows(incarnation, rows, 10).ok());
  ASSERT_TRUE(journal->Append(incarnation, 20, Records(21, 5)).ok());
  ASSERT_TRUE(journal->WriteRows(incarnation, {{"job", "key1", "", 12}}, 12).ok());
  ASSERT_TRUE(journal->Append(incarnation, 25, Records(26, 5)).ok());
}

int Flips(int usual) {
  const char* const is_long = std::getenv("TRAINYARD_TEST_LONG");
  return is_long != nullptr && std::string(is_long) == "1" ? 200 * usual : usual;
}

// Flips `count` random bits, one at a time, and looks at each damaged copy.
void FlipAll(const Files& files, int count, int64_t at_once = kCheckedAtOnceBytes) {
  TemporaryFolder folder;
  const std::string path = folder.path + "/journal.db";
  const auto restore = [&](const Files& from) {
    for (const char* name : kFiles) fs::remove(folder.path + "/" + name);
    fs::remove(path + "-shm");
    fs::remove(path + ".rows-shm");
    for (const auto& [name, bytes] : from) Write(folder.path + "/" + name, bytes);
  };
  absl::Status status;
  restore(files);
  const std::string whole = Contents(path, &status);
  ASSERT_TRUE(status.ok()) << status;
  size_t total = 0;
  for (const auto& [name, bytes] : files) total += bytes.size();
  Random random(7);
  int found = 0;
  int found_late = 0;
  for (int i = 0; i < count; ++i) {
    Files damaged = files;
    size_t at = random.Below(total);
    auto file = damaged.begin();
    while (at >= file->second.size()) at -= (file++)->second.size();
    file->second[at] ^= static_cast<char>(1 << random.Below(8));
    restore(damaged);
    bool late = false;
    const std::string contents = Contents(path, &status, at_once, &late);
    found_late += late ? 1 : 0;
    found += status.ok() ? 0 : 1;
    ASSERT_TRUE(!status.ok() || contents == whole)
        << "a flipped bit in byte " << at << " of " << file->first << " changed what was read";
  }
  EXPECT_GT(found, 0);
  EXPECT_EQ(found_late > 0, at_once == 0);
  ::testing::Test::RecordProperty("found", found);
}

TEST(DamageTest, FlippedBitsAreFoundOrHarmlessAfterACleanStop) {
  TemporaryFolder folder;
  {
    auto journal = OpenSqliteJournal(folder.path + "/journal.db");
    Build(journal->get());
  }
  FlipAll(Snapshot(folder.path), Flips(600));
}

TEST(DamageTest, FlippedBitsAreFoundOrHarmlessAfterACrash) {
  TemporaryFolder folder;
  auto journal = OpenSqliteJournal(folder.path + "/journal.db");
  Build(journal->get());
  const Files files = Snapshot(folder.path);  // with the logs, as a killed process leaves them
  EXPECT_GT(files.count("journal.db-wal"), 0u);
  FlipAll(files, Flips(600));
}

// Terminal entities and pages of a large journal are checked beside the serving.
TEST(DamageTest, FlippedBitsOfALargeJournalAreFoundOrHarmless) {
  TemporaryFolder folder;
  {
    auto journal = OpenSqliteJournal(folder.path + "/journal.db");
    Build(journal->get());
  }
  FlipAll(Snapshot(folder.path), Flips(600), 0);
}

TEST(DamageTest, CheckOfALargeJournalEndsWhenToldTo) {
  TemporaryFolder folder;
  auto journal = OpenSqliteJournal(folder.path + "/journal.db", -1);
  const uint64_t incarnation = (*journal)->Recover()->incarnation;
  std::vector<RowUpdate> rows;
  for (int i = 0; i < 20'000; ++i) rows.push_back({"old_job", std::to_string(i), "value", 0});
  ASSERT_TRUE((*journal)->WriteRows(incarnation, rows, 0).ok());
  EXPECT_TRUE((*journal)->CheckRest(std::atomic<bool>(false)).ok());
  EXPECT_TRUE(absl::IsCancelled((*journal)->CheckRest(std::atomic<bool>(true))));
}

class SqliteDamageTest : public ::testing::Test {
 protected:
  SqliteDamageTest() : path_(folder_.path + "/journal.db") {
    auto journal = OpenSqliteJournal(path_);
    Build(journal->get());
  }
  absl::Status Open() {
    absl::Status status;
    Contents(path_, &status);
    return status;
  }
  TemporaryFolder folder_;
  const std::string path_;
};

TEST_F(SqliteDamageTest, LostLogIsFound) {
  TemporaryFolder copy;
  {
    auto journal = OpenSqliteJournal(path_);
    const uint64_t incarnation = (*journal)->Recover()->incarnation;
    ASSERT_TRUE((*journal)->Append(incarnation, 30, Records(31, 3)).ok());
    for (const auto& [name, bytes] : Snapshot(folder_.path)) {
      if (name != "journal.db-wal") Write(copy.path + "/" + name, bytes);
    }
  }
  absl::Status status;
  Contents(copy.path + "/journal.db", &status);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_NE(status.message().find("had reached event 33"), std::string::npos) << status;
}

TEST_F(SqliteDamageTest, BackupIsTakenWhenAcceptedAndIncarnationStillRises) {
  const Files backup = Snapshot(folder_.path);
  uint64_t newest = 0;
  {
    auto journal = OpenSqliteJournal(path_);
    (*journal)->Recover().status().IgnoreError();
    newest = (*journal)->Recover()->incarnation;
    ASSERT_TRUE((*journal)->Append(newest, 30, Records(31, 3)).ok());
  }
  const std::string mark = Read(path_ + ".mark");
  for (const auto& [name, bytes] : backup) Write(folder_.path + "/" + name, bytes);
  Write(path_ + ".mark", mark);
  EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss);
  fs::rename(path_ + ".mark", path_ + ".mark.accepted");
  auto journal = OpenSqliteJournal(path_);
  const auto recovered = (*journal)->Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.status();
  EXPECT_GT(recovered->incarnation, newest) << "epochs given out before the restore stay old";
  EXPECT_FALSE(fs::exists(path_ + ".mark.accepted"));
}

TEST_F(SqliteDamageTest, CopyWithoutItsMarkJumpsAhead) {
  fs::remove(path_ + ".mark");
  auto journal = OpenSqliteJournal(path_);
  EXPECT_GT((*journal)->Recover()->incarnation, 1000u);
}

// A folder that was removed and put back from its copy is mostly given the same inodes again.
TEST(MarkFileTest, ACopyIsNoticedThoughItHasTheSameInode) {
  // On a disk, not in memory, where numbers only rise.
  char folder[] = "/var/tmp/trainyard_mark_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/mark";
  const auto inode = [&path] {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  };
  bool same = false;
  for (int i = 0; i < 100 && !same; ++i) {
    (*MarkFile::Open(path))->Write(7, 30);
    ASSERT_FALSE(ReadMark(path).is_copy);
    const ino_t before = inode();
    const std::string mark = Read(path);
    fs::remove(path);
    Write(path, mark);
    ASSERT_TRUE(ReadMark(path).exists);
    ASSERT_TRUE(ReadMark(path).is_copy);
    same = inode() == before;
  }
  fs::remove_all(folder);
  if (!same) GTEST_SKIP() << "this file system gives no inode twice";
}

TEST_F(SqliteDamageTest, FilesOfDifferentMomentsAreRefused) {
  const std::string old_rows = Read(path_ + ".rows");
  {
    auto journal = OpenSqliteJournal(path_);
    const uint64_t incarnation = (*journal)->Recover()->incarnation;
    ASSERT_TRUE((*journal)->WriteRows(incarnation, {{"job", "x", "y", 30}}, 30).ok());
    ASSERT_TRUE((*journal)->Append(incarnation, 30, Records(31, 3)).ok());
  }
  Write(path_ + ".rows", old_rows);
  const absl::Status status = Open();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_NE(status.message().find("the same moment"), std::string::npos);
}

TEST_F(SqliteDamageTest, OneProcessHoldsTheJournal) {
  auto first = OpenSqliteJournal(path_);
  const auto second = OpenSqliteJournal(path_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SqliteDamageTest, SomethingElseIsNoJournal) {
  Write(path_, std::string(5000, 'x'));
  EXPECT_EQ(Open().code(), absl::StatusCode::kDataLoss);
}

// The number that a program of before looks at first, and refuses when it does not know it.
TEST_F(SqliteDamageTest, FileFormatRisesWithTheFirstRecordThatAsksForIt) {
  const auto format = [&] {
    return (*Database::Open(path_, Database::Mode::kReadOnly))->QueryInt("PRAGMA user_version");
  };
  EXPECT_EQ(*format(), 1);
  v1::Event event;
  event.set_sequence(31);
  event.mutable_trial_held()->set_trial(1);
  auto journal = OpenSqliteJournal(path_);
  const uint64_t incarnation = (*journal)->Recover()->incarnation;
  // Refused: nothing is written, the number neither.
  EXPECT_TRUE(absl::IsAborted((*journal)->Append(incarnation, 29, {EncodeEvent(event)})));
  EXPECT_EQ(*format(), 1);
  ASSERT_TRUE((*journal)->Append(incarnation, 30, {EncodeEvent(event)}).ok());
  EXPECT_EQ(*format(), 2);
  // Also when the record is gone and only its rows are left.
  ASSERT_TRUE((*journal)->WriteRows(incarnation, {{"trial", "x", "y", 31}}, 31).ok());
  ASSERT_TRUE((*journal)->Append(incarnation, 31, Records(32, 1)).ok());
  journal->reset();
  EXPECT_EQ(*format(), 2);
  EXPECT_TRUE(Open().ok());
}

// What was moved into the file is overwritten; a log that only grew would fill the disk and make
// every start slower.
TEST(SqliteLogTest, StaysSmall) {
  TemporaryFolder folder;
  const std::string path = folder.path + "/journal.db";
  auto journal = OpenSqliteJournal(path);
  const uint64_t incarnation = (*journal)->Recover()->incarnation;
  uint64_t sequence = 0;
  for (int i = 0; i < 30; ++i) {
    v1::Event event = EventNumber(++sequence);
    event.mutable_job_cancel_requested()->set_reason(std::string(4 << 20, 'r'));
    ASSERT_TRUE((*journal)->Append(incarnation, sequence - 1, {EncodeEvent(event)}).ok());
  }
  EXPECT_LT(fs::file_size(path + "-wal"), 40u << 20);
  for (int i = 0; i < 30; ++i) {
    const std::string value(4 << 20, 'v');
    ASSERT_TRUE(
        (*journal)->WriteRows(incarnation, {{"job", "key", value, sequence}}, sequence).ok());
  }
  EXPECT_LT(fs::file_size(path + ".rows-wal"), 20u << 20);
  // Appends now begin the log anew, which the writing of rows has moved.
  for (int i = 0; i < 3; ++i) {
    ++sequence;
    ASSERT_TRUE((*journal)->Append(incarnation, sequence - 1, Records(sequence, 1)).ok());
    ASSERT_TRUE((*journal)->WriteRows(incarnation, {{"job", "key", "v", sequence}}, sequence).ok());
  }
  EXPECT_LE(fs::file_size(path + "-wal"), 32u << 20);
}

TEST(MemoryJournalTest, FlippedBitIsFound) {
  MemoryJournal journal;
  const uint64_t incarnation = journal.Recover()->incarnation;
  ASSERT_TRUE(journal.Append(incarnation, 0, Records(1, 5)).ok());
  journal.FlipBit(3, 100);
  EXPECT_EQ(journal.Recover().status().code(), absl::StatusCode::kDataLoss);
}

TEST(MemoryJournalTest, FailsAsTold) {
  MemoryJournal journal;
  const uint64_t incarnation = journal.Recover()->incarnation;
  journal.SetFault(MemoryJournal::Fault::kFull);
  EXPECT_TRUE(absl::IsResourceExhausted(journal.Append(incarnation, 0, Records(1, 1))));
  EXPECT_TRUE(absl::IsResourceExhausted(journal.Append(incarnation, 0, Records(1, 1))));
  journal.SetFaultAfter(1, MemoryJournal::Fault::kSyncFails);
  EXPECT_TRUE(journal.Append(incarnation, 0, Records(1, 1)).ok());
  EXPECT_TRUE(absl::IsInternal(journal.Append(incarnation, 1, Records(2, 1))));
  EXPECT_EQ(journal.sequence(), 1u);
  journal.SetFault(MemoryJournal::Fault::kReplyLost);
  EXPECT_TRUE(absl::IsInternal(journal.Append(incarnation, 1, Records(2, 1))));
  EXPECT_EQ(journal.sequence(), 2u) << "durable although nobody was told";
  journal.DropLast(1);
  EXPECT_EQ(journal.Recover()->tail.size(), 1u);
}

}  // namespace
}  // namespace trainyard::journal
