// libFuzzer on journal records: any bytes are a record or damage; a record that is read is written
// again to the same event; and any events, however senseless, fold into a state that can be hashed,
// stored and indexed anew. tests/fuzz/run.py builds and runs it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "scheduler/core/core.h"
#include "scheduler/journal/journal.h"
#include "tests/fuzz/framed.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace core = trainyard::core;
  namespace journal = trainyard::journal;
  const auto event =
      journal::DecodeEvent(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (event.ok()) {
    const auto again = journal::DecodeEvent(journal::EncodeEvent(*event));
    if (!again.ok() || again->SerializeAsString() != event->SerializeAsString()) abort();
  } else if (event.status().message().empty()) {
    abort();
  }
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
