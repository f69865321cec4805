// Notices that a machine is taken away: what a file says, that it is read once, and that an old one
// counts for nothing.
#include "worker/agent/leave_notice.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

TEST(LeaveNoticeTest, ATextSaysWhen) {
  const absl::Time given = absl::FromUnixSeconds(1'900'000'000);
  const struct {
    const char* text;
    absl::Time until;
    bool understood;
  } cases[] = {
      {"", given + absl::Minutes(2), true},
      {"\n", given + absl::Minutes(2), true},
      {"30s\n", given + absl::Seconds(30), true},
      {" 1m30s ", given + absl::Seconds(90), true},
      {"0s", given, true},
      {"2031-09-18T08:22:00Z\n", absl::FromUnixSeconds(1'947'486'120), true},
      {"2031-09-18T10:22:00+02:00", absl::FromUnixSeconds(1'947'486'120), true},
      {"soon", given + absl::Minutes(2), false},
      {"-5s", given + absl::Minutes(2), false},
      {"inf", given + absl::Minutes(2), false},
      {"infinite-future", given + absl::Minutes(2), false},
      {"30", given + absl::Minutes(2), false},
  };
  for (const auto& one : cases) {
    bool understood = !one.understood;
    EXPECT_EQ(TimeOfNotice(one.text, given, &understood), one.until) << one.text;
    EXPECT_EQ(understood, one.understood) << one.text;
  }
}

TEST(LeaveNoticeTest, AFileIsReadWhenItChanges) {
  char folder[] = "/tmp/trainyard-notice-test-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = JoinPath(folder, "leaving");
  const absl::Time usual = absl::Now() + absl::Hours(5);
  LeaveNotice notice(path, usual);
  EXPECT_FALSE(notice.Look());
  EXPECT_EQ(notice.until(), usual);
  const absl::Time before = absl::Now();
  ASSERT_TRUE(WriteFileDurably(path, "10m").ok());
  EXPECT_TRUE(notice.Look());
  EXPECT_GT(notice.until(), before + absl::Minutes(10) - absl::Seconds(1));
  EXPECT_LT(notice.until(), absl::Now() + absl::Minutes(10) + absl::Seconds(1));
  EXPECT_FALSE(notice.Look()) << "the same file is one notice";
  EXPECT_TRUE(notice.Give(before)) << "a signal says something newer";
  EXPECT_FALSE(notice.Look());
  ASSERT_TRUE(WriteFileDurably(path, "2031-09-18T08:22:00Z").ok());
  EXPECT_TRUE(notice.Look());
  EXPECT_EQ(notice.until(), absl::FromUnixSeconds(1'947'486'120));
  ASSERT_EQ(unlink(path.c_str()), 0);
  EXPECT_TRUE(notice.Look());
  EXPECT_EQ(notice.until(), usual);

  ASSERT_TRUE(WriteFileDurably(path, "").ok());
  const timespec long_ago[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), long_ago, 0), 0);
  EXPECT_FALSE(notice.Look()) << "from before the machine's last start";
  unlink(path.c_str());
  rmdir(folder);
}

}  // namespace
}  // namespace trainyard::worker
