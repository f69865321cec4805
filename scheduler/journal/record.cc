// Event to stored bytes and back: 4 bytes CRC-32 (little-endian) of what follows, then a
// journal.v1.Record (level, event). Thread-safe.
#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "scheduler/journal/journal.h"
#include "zlib.h"

namespace trainyard::journal {
namespace {

constexpr size_t kChecksumBytes = 4;
constexpr size_t kShortHashBytes = 8;       // of a request's body; 16 before level 3
constexpr uint32_t kLevelTag = 1 << 3;      // field 1, varint
constexpr uint32_t kEventTag = 2 << 3 | 2;  // field 2, length-delimited

void PutChecksum(std::string* bytes) {
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(bytes->data() + kChecksumBytes),
                          static_cast<uInt>(bytes->size() - kChecksumBytes));
  for (size_t i = 0; i < kChecksumBytes; ++i) {
    (*bytes)[i] = static_cast<char>(sum >> (8 * i) & 0xff);
  }
}

bool HasRightChecksum(absl::string_view bytes) {
  const uLong sum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data() + kChecksumBytes),
                          static_cast<uInt>(bytes.size() - kChecksumBytes));
  for (size_t i = 0; i < kChecksumBytes; ++i) {
    if (static_cast<unsigned char>(bytes[i]) != (sum >> (8 * i) & 0xff)) return false;
  }
  return true;
}

bool KnownToLevel1(int kind) {
  return (kind >= v1::Event::kServerStarted && kind <= v1::Event::kJobEnded) ||
         (kind >= v1::Event::kRunCreated && kind <= v1::Event::kRunPaused) ||
         (kind >= v1::Event::kStudyCreated && kind <= v1::Event::kStudyEnded);
}

bool HasSlices(const trainyard::v1::NodeInventory& inventory) {
  return std::any_of(inventory.devices().begin(), inventory.devices().end(),
                     [](const auto& device) { return !device.profile().empty(); });
}

bool SpecNeedsLevel3(const trainyard::v1::JobSpec& spec) {
  return spec.scheduling().has_topology() ||
         spec.study_spec().study_stopping().regret_below() > 0 ||
         std::any_of(spec.worker_pools().begin(), spec.worker_pools().end(), [](const auto& pool) {
           return !pool.resources().gpu_profile().empty() ||
                  pool.resources().gpu_memory_bytes() > 0;
         });
}

// What level 2 did not know, or takes for something else.
bool NeedsLevel3(const v1::Event& event) {
  if (event.request().body_hash().size() == kShortHashBytes) return true;
  switch (event.body_case()) {
    case v1::Event::kTrialHeld:
      return true;
    case v1::Event::kJobCreated:
      return SpecNeedsLevel3(event.job_created().spec());
    case v1::Event::kRunCreated:
      return event.run_created().has_checkpoint();
    case v1::Event::kStudyCreated:
      return event.study_created().study().earlier_size() > 0 ||
             event.study_created().study().spec().study_stopping().regret_below() > 0;
    case v1::Event::kTrialsSuggested:
      return std::any_of(event.trials_suggested().suggestions().begin(),
                         event.trials_suggested().suggestions().end(),
                         [](const auto& suggestion) { return suggestion.origin() != 0; });
    case v1::Event::kAgentConnected:
      return HasSlices(event.agent_connected().inventory());
    case v1::Event::kAgentJoined:
      return HasSlices(event.agent_joined().inventory());
    default:
      return false;
  }
}

// The lowest that reads the event truly.
uint32_t LevelOf(const v1::Event& event) {
  if (NeedsLevel3(event)) return 3;
  const bool says_more = event.job_created().waits_for_size() > 0 ||
                         event.node_drain_set().deadline_us() > 0 ||
                         !event.project_created().project().team().empty();
  return KnownToLevel1(event.body_case()) && !says_more ? 1 : 2;
}

}  // namespace

std::string EncodeEvent(const v1::Event& event) {
  std::string bytes(kChecksumBytes, '\0');
  {
    // A Record, written without copying the event into one. Maps in it come in one fixed order.
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    coded.WriteTag(kLevelTag);
    coded.WriteVarint32(LevelOf(event));
    coded.WriteTag(kEventTag);
    coded.WriteVarint64(event.ByteSizeLong());
    event.SerializeWithCachedSizes(&coded);
  }
  PutChecksum(&bytes);
  return bytes;
}

uint32_t LevelOfRecord(absl::string_view bytes) {
  return bytes.size() > kChecksumBytes + 1 ? static_cast<uint8_t>(bytes[kChecksumBytes + 1]) : 0;
}

absl::StatusOr<v1::Event> DecodeEvent(absl::string_view bytes) {
  if (bytes.size() <= kChecksumBytes || !HasRightChecksum(bytes)) {
    return absl::DataLossError("a record of the journal is damaged (wrong checksum)");
  }
  bytes.remove_prefix(kChecksumBytes);
  v1::Record record;
  if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("a record of the journal does not parse");
  }
  if (record.level() > kFormatLevel) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the journal was written by a newer version (record level ", record.level(),
        ", this program knows ", kFormatLevel, "); start that version or a newer one"));
  }
  if (record.level() == 0 || !record.has_event()) {
    return absl::DataLossError("a record of the journal holds no event");
  }
  return std::move(*record.mutable_event());
}

}  // namespace trainyard::journal
