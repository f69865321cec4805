// libFuzzer on the agent's file of facts: whatever is in it the agent starts, gives no number
// twice, and what is appended then is there at the next start. Cut into frames the bytes are
// records with the right checksum; whole they are the file. tests/fuzz/run.py builds and runs it.
#include <unistd.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "tests/fuzz/framed.h"
#include "worker/agent/fact_log.h"

namespace trainyard::worker {
namespace {

std::string Folder() {
  static const std::string* const folder =
      new std::string(absl::StrCat("/dev/shm/trainyard_fact_log_fuzz_", getpid()));
  static const bool removed_at_exit =
      std::atexit([] { std::filesystem::remove_all(Folder()); }) == 0;
  (void)removed_at_exit;
  return *folder;
}

FactLog MustOpen(FactLog::Contents* contents) {
  auto log = FactLog::Open(Folder(), "boot", contents);
  if (!log.ok()) abort();
  return *std::move(log);
}

void Check(const std::string& bytes) {
  std::filesystem::create_directories(Folder());
  std::ofstream(Folder() + "/facts.log", std::ios::binary) << bytes;
  FactLog::Contents first;
  FactLog::Contents second;
  {
    FactLog log = MustOpen(&first);
    for (const agent::v1::Fact& fact : first.facts) {
      if (fact.sequence() >= first.next_sequence) abort();
      if (fact.sequence() <= first.acknowledged) abort();
    }
    agent::v1::Fact fact;
    fact.set_sequence(first.next_sequence);
    if (!log.Append(fact).ok()) abort();
  }
  MustOpen(&second);
  if (second.facts.size() != first.facts.size() + 1) abort();
  if (second.facts.back().sequence() != first.next_sequence) abort();
  if (second.next_sequence != first.next_sequence + 1) abort();
  if (second.acknowledged != first.acknowledged) abort();
}

}  // namespace
}  // namespace trainyard::worker

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  FLAGS_minloglevel = google::FATAL;  // damage is told at each input
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  trainyard::worker::Check(std::string(reinterpret_cast<const char*>(data), size));
  std::string records;
  for (trainyard::Frame frame; trainyard::NextFrame(&data, &size, &frame);) {
    const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(frame.bytes.data()),
                            static_cast<uInt>(frame.bytes.size()));
    const uint32_t header[3] = {frame.kind, static_cast<uint32_t>(frame.bytes.size()),
                                static_cast<uint32_t>(sum)};
    records.append(reinterpret_cast<const char*>(header), sizeof header);
    records += frame.bytes;
  }
  trainyard::worker::Check(records);
  return 0;
}
