// Numbers and acknowledgement of facts; names of members.
#include "worker/core/outbox.h"

#include <gtest/gtest.h>

namespace trainyard::worker {
namespace {

agent::v1::Fact FactOf(const MemberId& id) {
  agent::v1::Fact fact;
  *fact.mutable_key() = KeyOf(id);
  fact.mutable_running()->set_pid(1);
  return fact;
}

TEST(OutboxTest, NumbersRiseByOneFromOne) {
  Outbox outbox;
  EXPECT_EQ(outbox.next_sequence(), 1u);
  EXPECT_EQ(outbox.Add(FactOf({1, 1, 0})).sequence(), 1u);
  EXPECT_EQ(outbox.Add(FactOf({1, 1, 0})).sequence(), 2u);
  EXPECT_EQ(outbox.facts().size(), 2u);
}

TEST(OutboxTest, AnAckForgetsAllUpToIt) {
  Outbox outbox;
  for (int i = 0; i < 5; ++i) outbox.Add(FactOf({1, 1, 0}));
  EXPECT_EQ(outbox.Acknowledge(3), 3);
  EXPECT_EQ(outbox.acknowledged(), 3u);
  EXPECT_EQ(outbox.Acknowledge(2), 0) << "late and repeated";
  EXPECT_EQ(outbox.acknowledged(), 3u);
  EXPECT_EQ(outbox.Acknowledge(99), 2) << "more than was ever said";
  EXPECT_EQ(outbox.acknowledged(), 5u);
  EXPECT_EQ(outbox.Add(FactOf({1, 1, 0})).sequence(), 6u) << "numbers are not reused";
}

TEST(OutboxTest, RestoreGoesOnWhereTheDiskStopped) {
  Outbox outbox;
  agent::v1::Fact fact = FactOf({1, 1, 0});
  fact.set_sequence(40);
  outbox.Restore({fact}, 41, 39);
  EXPECT_EQ(outbox.acknowledged(), 39u);
  EXPECT_EQ(outbox.Add(FactOf({1, 1, 0})).sequence(), 41u);

  Outbox skipped;
  skipped.Restore({}, 1000, 7);  // a power cut
  EXPECT_EQ(skipped.acknowledged(), 999u) << "the scheduler is to wait for no others";
  EXPECT_TRUE(skipped.Told(7));
  EXPECT_FALSE(skipped.Told(8));
  EXPECT_EQ(skipped.Add(FactOf({1, 1, 0})).sequence(), 1000u);

  // Skipped numbers behind facts that are still unacknowledged.
  Outbox rebooted;
  rebooted.Restore({fact}, 1000, 39);
  EXPECT_EQ(rebooted.acknowledged(), 39u);
  EXPECT_EQ(rebooted.Add(FactOf({1, 1, 0})).sequence(), 1000u);
  EXPECT_EQ(rebooted.Acknowledge(40), 1);
  EXPECT_EQ(rebooted.acknowledged(), 999u) << "or it would never be taken";

  Outbox behind;  // a number file older than the facts
  behind.Restore({fact}, 7, fact.sequence() - 1);
  EXPECT_EQ(behind.next_sequence(), 41u);
}

TEST(OutboxTest, KnowsWhoseEndIsUnacknowledged) {
  Outbox outbox;
  outbox.Add(FactOf({1, 1, 0}));
  EXPECT_FALSE(outbox.HasEnd({1, 1, 0}));
  agent::v1::Fact end;
  *end.mutable_key() = KeyOf({1, 1, 0});
  end.mutable_exited();
  outbox.Add(end);
  EXPECT_TRUE(outbox.HasEnd({1, 1, 0}));
  EXPECT_FALSE(outbox.HasEnd({1, 2, 0}));
  outbox.Acknowledge(2);
  EXPECT_FALSE(outbox.HasEnd({1, 1, 0}));
}

TEST(MemberIdTest, FolderNamesReadBackAndNothingElseDoes) {
  for (const MemberId id : {MemberId{1, 2, 3}, MemberId{~0ULL, ~0ULL, 0}, MemberId{0, 0, 0}}) {
    MemberId read;
    ASSERT_TRUE(ParseFolderName(FolderName(id), &read)) << FolderName(id);
    EXPECT_EQ(read, id);
  }
  MemberId read;
  for (const char* name : {"", "1-2", "1-2-3-4", "a-b-c", "1-2-3.new", "01-2-3", "1--2", " 1-2-3",
                           "+1-2-3", "..", "18446744073709551616-1-0"}) {
    EXPECT_FALSE(ParseFolderName(name, &read)) << name;
  }
}

TEST(MemberIdTest, OrderIsRunThenEpochThenMember) {
  EXPECT_LT((MemberId{1, 9, 9}), (MemberId{2, 1, 0}));
  EXPECT_LT((MemberId{1, 1, 9}), (MemberId{1, 2, 0}));
  EXPECT_LT((MemberId{1, 1, 0}), (MemberId{1, 1, 1}));
  EXPECT_EQ(IdOf(KeyOf({7, 8, 9})), (MemberId{7, 8, 9}));
}

}  // namespace
}  // namespace trainyard::worker
