// Stored bytes of every record kind and every row, kept in golden/: what an older version wrote
// must decode for ever. TRAINYARD_REWRITE=1 writes them anew (for new kinds and fields; the diff of
// an old one is a broken format).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "common/sha256.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/text_format.h"
#include "scheduler/journal/journal.h"

namespace trainyard::journal {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kDepthMax = 6;

void Fill(Message* message, int depth);

// A value that depends on the field's number alone.
void Set(Message* message, const FieldDescriptor* field, int depth) {
  const Reflection* const reflection = message->GetReflection();
  const int number = field->number();
  const bool many = field->is_repeated();
  switch (field->cpp_type()) {
#define TRAINYARD_CASE(TYPE, NAME, VALUE)                  \
  case FieldDescriptor::CPPTYPE_##TYPE:                    \
    many ? reflection->Add##NAME(message, field, (VALUE))  \
         : reflection->Set##NAME(message, field, (VALUE)); \
    break
    TRAINYARD_CASE(INT32, Int32, number + 100);
    TRAINYARD_CASE(INT64, Int64, (int64_t{1} << 40) + number);
    TRAINYARD_CASE(UINT32, UInt32, static_cast<uint32_t>(number) + 200);
    TRAINYARD_CASE(UINT64, UInt64, (uint64_t{1} << 63) + static_cast<uint64_t>(number));
    TRAINYARD_CASE(DOUBLE, Double, number + 0.5);
    TRAINYARD_CASE(FLOAT, Float, static_cast<float>(number) + 0.25F);
    TRAINYARD_CASE(BOOL, Bool, true);
    TRAINYARD_CASE(ENUM, Enum, field->enum_type()->value(field->enum_type()->value_count() - 1));
    TRAINYARD_CASE(STRING, String, "s" + std::to_string(number));
#undef TRAINYARD_CASE
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (depth >= kDepthMax) break;
      Fill(many ? reflection->AddMessage(message, field)
                : reflection->MutableMessage(message, field),
           depth + 1);
      break;
  }
}

// Sets every field; of a oneof the last.
void Fill(Message* message, int depth) {
  const Descriptor* const type = message->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) Set(message, type->field(i), depth);
}

std::string Bytes(const Message& message) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return out;
}

std::string GoldenPath(const std::string& name) {
  return std::string(TRAINYARD_GOLDEN) + "/" + name + ".hex";
}
std::string ReadGolden(const std::string& name) {
  std::ifstream file(GoldenPath(name));
  std::string hex;
  std::string line;
  while (std::getline(file, line)) hex += line;
  return hex;
}
void WriteGolden(const std::string& name, const std::string& hex) {
  std::ofstream file(GoldenPath(name));
  for (size_t i = 0; i < hex.size(); i += 96) file << hex.substr(i, 96) << "\n";
}
bool Rewrite() { return std::getenv("TRAINYARD_REWRITE") != nullptr; }

v1::Event Sample(const FieldDescriptor* body) {
  v1::Event event;
  const Descriptor* const type = event.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->containing_oneof() == nullptr) Set(&event, type->field(i), 0);
  }
  Set(&event, body, 0);
  return event;
}

TEST(GoldenTest, EveryKindOfEventDecodesFromItsStoredBytes) {
  const auto* const bodies = v1::Event::descriptor()->FindOneofByName("body");
  ASSERT_GE(bodies->field_count(), 33);
  for (int i = 0; i < bodies->field_count(); ++i) {
    const std::string name = "event_" + bodies->field(i)->name();
    const v1::Event event = Sample(bodies->field(i));
    if (Rewrite()) WriteGolden(name, HexOf(EncodeEvent(event)));
    const auto stored = BytesOfHex(ReadGolden(name));
    ASSERT_TRUE(stored.ok() && !stored->empty())
        << name << " has no golden bytes; write them with TRAINYARD_REWRITE=1";
    const auto decoded = DecodeEvent(*stored);
    ASSERT_TRUE(decoded.ok()) << name << ": " << decoded.status();
    EXPECT_EQ(Bytes(*decoded), Bytes(event)) << name;
    EXPECT_EQ(HexOf(EncodeEvent(event)), HexOf(*stored)) << name;
  }
}

TEST(GoldenTest, EveryRowDecodesFromItsStoredBytes) {
  const auto* const file = v1::Event::descriptor()->file();
  int rows = 0;
  for (int i = 0; i < file->message_type_count(); ++i) {
    const Descriptor* const type = file->message_type(i);
    if (type->name().find("Row") == std::string::npos) continue;
    ++rows;
    const std::unique_ptr<Message> row(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    Fill(row.get(), 0);
    const std::string name = "row_" + type->name();
    if (Rewrite()) WriteGolden(name, HexOf(Bytes(*row)));
    const auto stored = BytesOfHex(ReadGolden(name));
    ASSERT_TRUE(stored.ok() && !stored->empty()) << name << " has no golden bytes";
    const std::unique_ptr<Message> decoded(row->New());
    ASSERT_TRUE(decoded->ParseFromString(*stored)) << name;
    EXPECT_EQ(Bytes(*decoded), Bytes(*row)) << name;
  }
  EXPECT_GE(rows, 13);
}

// What earlier versions stored: never written anew.
struct Stored {
  const char* level;
  int events;
  int rows;
};

class EarlierLevelTest : public ::testing::TestWithParam<Stored> {};

TEST_P(EarlierLevelTest, DecodesForEver) {
  int events = 0;
  int rows = 0;
  for (const auto& file : std::filesystem::directory_iterator(std::string(TRAINYARD_GOLDEN) + "/" +
                                                              GetParam().level)) {
    const std::string name = file.path().stem().string();
    const auto stored = BytesOfHex(ReadGolden(std::string(GetParam().level) + "/" + name));
    ASSERT_TRUE(stored.ok() && !stored->empty()) << name;
    if (name.rfind("event_", 0) == 0) {
      ++events;
      const auto decoded = DecodeEvent(*stored);
      ASSERT_TRUE(decoded.ok()) << name << ": " << decoded.status();
      EXPECT_NE(decoded->body_case(), v1::Event::BODY_NOT_SET) << name;
      continue;
    }
    ++rows;
    const Descriptor* const type =
        v1::Event::descriptor()->file()->FindMessageTypeByName(name.substr(4));
    ASSERT_NE(type, nullptr) << name;
    const std::unique_ptr<Message> row(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    ASSERT_TRUE(row->ParseFromString(*stored)) << name;
    EXPECT_TRUE(row->GetReflection()->GetUnknownFields(*row).empty()) << name;
  }
  EXPECT_EQ(events, GetParam().events);
  EXPECT_EQ(rows, GetParam().rows);
}

INSTANTIATE_TEST_SUITE_P(Levels, EarlierLevelTest,
                         ::testing::Values(Stored{"level_1", 33, 13}, Stored{"level_2", 37, 15}),
                         [](const auto& param) { return std::string(param.param.level); });

// A program of an earlier level is stopped by what it would misread, and by nothing else.
TEST(RecordTest, LevelIsTheLowestThatReadsTheRecordTruly) {
  v1::Event event;
  event.mutable_job_labels_set()->set_job_uid(1);
  EXPECT_EQ(EncodeEvent(event)[5], 1);
  event.mutable_node_drain_set()->set_node_id("n");
  EXPECT_EQ(EncodeEvent(event)[5], 1);
  event.mutable_node_drain_set()->set_deadline_us(1);
  EXPECT_EQ(EncodeEvent(event)[5], 2);
  event.mutable_setting_set()->mutable_setting()->set_key("queues/q");
  EXPECT_EQ(EncodeEvent(event)[5], 2);
  event.mutable_request()->set_body_hash(std::string(16, 'h'));
  EXPECT_EQ(LevelOfRecord(EncodeEvent(event)), 2);
  event.mutable_request()->set_body_hash(std::string(8, 'h'));
  EXPECT_EQ(LevelOfRecord(EncodeEvent(event)), 3);
  EXPECT_EQ(LevelOfRecord(""), 0);
}

TEST(RecordTest, WhatLevelTwoWouldMisreadIsOfLevelThree) {
  std::map<std::string, v1::Event> events;
  events["held"].mutable_trial_held()->set_trial(1);
  events["checkpoint"].mutable_run_created()->mutable_checkpoint()->set_step(1);
  events["origin"].mutable_trials_suggested()->add_suggestions()->set_origin(1);
  events["earlier"].mutable_study_created()->mutable_study()->add_earlier(1);
  events["regret"]
      .mutable_study_created()
      ->mutable_study()
      ->mutable_spec()
      ->mutable_study_stopping()
      ->set_regret_below(1);
  events["slices"].mutable_agent_connected()->mutable_inventory()->add_devices()->set_profile("s");
  events["joins"].mutable_agent_joined()->mutable_inventory()->add_devices()->set_profile("s");
  const auto spec_of = [&](const char* name) {
    return events[name].mutable_job_created()->mutable_spec();
  };
  spec_of("topology")->mutable_scheduling()->mutable_topology()->set_at_most(1);
  spec_of("profile")->add_worker_pools()->mutable_resources()->set_gpu_profile("3g.40gb");
  spec_of("memory")->add_worker_pools()->mutable_resources()->set_gpu_memory_bytes(1);
  spec_of("stopping")->mutable_study_spec()->mutable_study_stopping()->set_regret_below(1);
  for (const auto& [name, event] : events) {
    EXPECT_EQ(LevelOfRecord(EncodeEvent(event)), 3) << name;
    // The same kind without it.
    v1::Event plain;
    if (event.body_case() == v1::Event::kTrialHeld) continue;
    plain.GetReflection()->MutableMessage(
        &plain, plain.GetDescriptor()->FindFieldByNumber(event.body_case()));
    EXPECT_EQ(LevelOfRecord(EncodeEvent(plain)), 1) << name;
  }
}

TEST(RecordTest, HigherLevelIsRefusedNotGuessed) {
  v1::Record record;
  record.set_level(kFormatLevel + 1);
  record.mutable_event()->set_sequence(1);
  // The checksum of a record is over its bytes; take a stored one's frame.
  std::string bytes = EncodeEvent(record.event());
  ASSERT_EQ(bytes[4], 1 << 3);
  const auto as_stored = DecodeEvent(bytes);
  ASSERT_TRUE(as_stored.ok());
  const auto newer = BytesOfHex(ReadGolden("level_4"));
  ASSERT_TRUE(newer.ok() && !newer->empty());
  EXPECT_EQ(DecodeEvent(*newer).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(RecordTest, EveryFlippedBitIsFound) {
  const auto* const bodies = v1::Event::descriptor()->FindOneofByName("body");
  const std::string bytes = EncodeEvent(Sample(bodies->field(0)));
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] ^= static_cast<char>(1 << bit % 8);
    ASSERT_EQ(DecodeEvent(damaged).status().code(), absl::StatusCode::kDataLoss) << bit;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(DecodeEvent(bytes.substr(0, size)).ok());
  }
}

}  // namespace
}  // namespace trainyard::journal
