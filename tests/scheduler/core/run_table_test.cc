// A table of runs shows every run as it was put, whichever way it keeps it.
#include "scheduler/core/run_table.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "common/random.h"
#include "google/protobuf/message.h"

namespace trainyard::core {
namespace {

using journal::v1::RunRow;

RunRow Made(uint64_t uid) {
  RunRow row;
  row.set_uid(uid);
  row.set_job_uid(uid - 1);
  row.set_state(journal::v1::R_WAITING);
  row.set_queued_us(1'700'000'000'000'000 + static_cast<int64_t>(uid));
  row.set_revision(2 * uid);
  return row;
}

RunPtr Share(const RunRow& row) { return std::make_shared<const RunRow>(row); }

std::map<uint64_t, std::string> ContentOf(const RunTable& table) {
  std::map<uint64_t, std::string> content;
  uint64_t before = 0;
  for (const auto& [uid, row] : table) {
    EXPECT_GT(uid, before);
    before = uid;
    content[uid] = row->SerializeAsString();
  }
  return content;
}

TEST(RunTableTest, OnlyARunThatWasJustMadeIsPacked) {
  const std::map<std::string, std::function<void(RunRow*)>> changes = {
      {"placed", [](RunRow* row) { row->set_state(journal::v1::R_ACTIVE); }},
      {"no state", [](RunRow* row) { row->clear_state(); }},
      {"of a trial", [](RunRow* row) { row->set_trial(1); }},
      {"with an attempt", [](RunRow* row) { row->mutable_attempt(); }},
      {"with a past", [](RunRow* row) { row->add_past_attempts(); }},
      {"with a checkpoint", [](RunRow* row) { row->mutable_checkpoint(); }},
      {"cancelled", [](RunRow* row) { row->set_cancel_requested(true); }},
      {"failed before", [](RunRow* row) { row->set_user_failures(1); }},
      {"started before", [](RunRow* row) { row->set_first_start_us(1); }},
      {"with a failed node", [](RunRow* row) { row->add_failed_nodes("n"); }},
      {"of a later version",
       [](RunRow* row) { row->GetReflection()->MutableUnknownFields(row)->AddVarint(1000, 1); }},
  };
  for (const auto& [name, change] : changes) {
    SCOPED_TRACE(name);
    RunTable table;
    table.Put(Share(Made(7)));
    EXPECT_TRUE(table.rows().empty());
    RunRow row = Made(7);
    change(&row);
    table.Put(Share(row));
    EXPECT_EQ(table.size(), 1u);
    EXPECT_EQ(table.rows().size(), 1u);
    EXPECT_EQ(table.at(7)->SerializeAsString(), row.SerializeAsString());
  }
}

TEST(RunTableTest, IsAMapByUid) {
  Random random(1);
  RunTable table;
  std::map<uint64_t, std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    const uint64_t uid = 1 + random.Below(60);
    RunRow row = Made(uid);
    row.set_revision(random.Below(4));
    if (random.Below(2) == 0) row.set_state(journal::v1::R_DONE);
    if (random.Below(3) == 0) {
      table.erase(uid);
      expected.erase(uid);
    } else {
      table.Put(Share(row));
      expected[uid] = row.SerializeAsString();
    }
    const uint64_t asked = 1 + random.Below(60);
    ASSERT_EQ(table.contains(asked), expected.contains(asked));
    ASSERT_EQ(table.find(asked) == table.end(), !expected.contains(asked));
    if (expected.contains(asked)) {
      ASSERT_EQ(table.at(asked)->SerializeAsString(), expected[asked]);
    }
    ASSERT_EQ(table.size(), expected.size());
    if (i % 50 == 0) {
      ASSERT_EQ(ContentOf(table), expected);
    }
  }
  size_t packed = 0;
  table.ForEachPacked([&](const RunPtr& row) {
    EXPECT_EQ(row->SerializeAsString(), expected.at(row->uid()));
    ++packed;
  });
  EXPECT_EQ(packed + table.rows().size(), expected.size());
  EXPECT_GT(packed, 0u);
}

TEST(RunTableTest, AnIteratorGoesOnInOrderFromWhereItWasFound) {
  RunTable table;
  for (uint64_t uid = 2; uid < 10; ++uid) {
    RunRow row = Made(uid);
    if (uid % 3 == 0) row.set_state(journal::v1::R_DONE);
    table.Put(Share(row));
  }
  for (uint64_t from = 2; from < 10; ++from) {
    uint64_t uid = from;
    for (auto it = table.find(from); it != table.end(); ++it) EXPECT_EQ(it->first, uid++);
    EXPECT_EQ(uid, 10u);
  }
}

}  // namespace
}  // namespace trainyard::core
