// libFuzzer on journal records: any bytes are a record or damage; a record that is read is written
// again to the same event; and any events, however senseless, fold into a state that can be hashed,
// stored and indexed anew. tests/fuzz/run.py builds and runs it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "scheduler/core/core.h"
#include "scheduler/journal/journal.h"
#include "tests/fuzz/framed.h"
#include "zlib.h"

// A record that is read is written again to the same event.
void Read(absl::string_view bytes) {
  namespace journal = trainyard::journal;
  const auto event = journal::DecodeEvent(bytes);
  if (event.ok()) {
    const auto again = journal::DecodeEvent(journal::EncodeEvent(*event));
    if (!again.ok() || again->SerializeAsString() != event->SerializeAsString()) abort();
  } else if (event.status().message().empty()) {
    abort();
  }
}

// The bytes as a record whose checksum is right: else nothing but the checksum is ever met.
std::string WithChecksum(absl::string_view bytes) {
  std::string record(4, '\0');
  record.append(bytes.data(), bytes.size());
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  for (int i = 0; i < 4; ++i) record[i] = static_cast<char>(sum >> (8 * i) & 0xff);
  return record;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace core = trainyard::core;
  namespace journal = trainyard::journal;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  Read(bytes);
  Read(WithChecksum(bytes));
  if (size > 4) Read(WithChecksum(bytes.substr(4)));  // of the corpus, whose records have one
  core::State state;
  core::Touched touched;
  for (trainyard::Frame frame; trainyard::NextFrame(&data, &size, &frame);) {
    journal::v1::Event one;
    if (!one.ParseFromString(frame.bytes)) continue;
    one.set_sequence(state.sequence + 1);
    core::Apply(one, &state, &touched);
  }
  const std::string hash = core::StateHash(state);
  core::RebuildIndexes(&state);
  if (core::StateHash(state) != hash) abort();
  core::NextDeadline(state);
  return 0;
}
