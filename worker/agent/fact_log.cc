// See fact_log.h.
#include "worker/agent/fact_log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace trainyard::worker {
namespace {

constexpr uint32_t kFact = 1;
constexpr uint32_t kDropped = 2;  // payload: decimal number; all up to it are acknowledged
constexpr uint32_t kNext = 3;     // payload: decimal number of the next fact
constexpr size_t kHeader = 12;    // kind, length, crc; native order: the file never travels
constexpr uint32_t kPayloadMax = 64 << 20;
constexpr int64_t kRewriteBytes = 1 << 20;
constexpr char kReserveName[] = "reserve";
constexpr int64_t kReserveBytes = 1 << 20;
constexpr uint64_t kSkip = 1 << 20;                 // after a restart of the machine, or damage
constexpr uint64_t kNumberMax = uint64_t{1} << 62;  // never reached: above it is damage

uint32_t Crc(const std::string& payload) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(payload.data()), static_cast<uInt>(payload.size())));
}

std::string Record(uint32_t kind, const std::string& payload) {
  const uint32_t header[3] = {kind, static_cast<uint32_t>(payload.size()), Crc(payload)};
  std::string out(reinterpret_cast<const char*>(header), kHeader);
  return out + payload;
}

struct Scan {
  FactLog::Contents contents;
  uint64_t dropped = 0;
  size_t valid = 0;  // bytes before the first torn record
};

// False for a record that this program never wrote.
bool Take(uint32_t kind, const std::string& payload, Scan* scan) {
  uint64_t number = 0;
  if (kind == kFact) {
    agent::v1::Fact fact;
    if (!fact.ParseFromString(payload) || fact.sequence() > kNumberMax) return false;
    scan->contents.next_sequence = std::max(scan->contents.next_sequence, fact.sequence() + 1);
    scan->contents.facts.push_back(std::move(fact));
    return true;
  }
  if (kind != kDropped && kind != kNext) return true;  // of a later version
  if (!absl::SimpleAtoi(payload, &number) || number > kNumberMax) return false;
  if (kind == kDropped) {
    scan->dropped = std::max(scan->dropped, number);
    number += 1;  // what was acknowledged is not given again
  }
  scan->contents.next_sequence = std::max(scan->contents.next_sequence, number);
  return true;
}

Scan ScanAll(const std::string& bytes) {
  Scan scan;
  while (bytes.size() - scan.valid >= kHeader) {
    uint32_t header[3];
    memcpy(header, bytes.data() + scan.valid, kHeader);
    if (header[1] > kPayloadMax || bytes.size() - scan.valid - kHeader < header[1]) break;
    const std::string payload = bytes.substr(scan.valid + kHeader, header[1]);
    if (Crc(payload) != header[2]) break;
    if (!Take(header[0], payload, &scan)) break;
    scan.valid += kHeader + header[1];
  }
  auto& facts = scan.contents.facts;
  scan.contents.acknowledged = scan.dropped;
  facts.erase(std::remove_if(
                  facts.begin(), facts.end(),
                  [&scan](const agent::v1::Fact& fact) { return fact.sequence() <= scan.dropped; }),
              facts.end());
  return scan;
}

// Numbers that may have been given out and are not in the log any more are not given again. What
// is left of facts gets new ones, so that there is no gap among those that are told; the scheduler
// may meet one of them twice.
void SkipAhead(FactLog::Contents* contents) {
  contents->next_sequence += kSkip;
  for (agent::v1::Fact& fact : contents->facts) fact.set_sequence(contents->next_sequence++);
}

std::string LogPath(const std::string& folder) { return JoinPath(folder, "facts.log"); }

}  // namespace

absl::StatusOr<FactLog> FactLog::Open(const std::string& folder, const std::string& boot_id,
                                      Contents* contents) {
  if (absl::Status made = MakeFolders(folder, 0700); !made.ok()) return made;
  Scan scan;
  bool damaged = false;
  if (Exists(LogPath(folder))) {
    absl::StatusOr<std::string> bytes = ReadFile(LogPath(folder));
    if (!bytes.ok()) return bytes.status();
    scan = ScanAll(*bytes);
    damaged = scan.valid < bytes->size();
    LOG_IF(ERROR, damaged) << LogPath(folder) << " is damaged from byte " << scan.valid << ": "
                           << bytes->size() - scan.valid
                           << " bytes are lost; what members did is told again from their "
                           << "folders";
  }
  FactLog log(folder, FileDescriptor());
  if (absl::StatusOr<std::string> text = ReadFile(JoinPath(folder, "incarnation")); text.ok()) {
    if (!absl::SimpleAtoi(*text, &log.incarnation_)) log.incarnation_ = 0;
  }
  const std::string boot_path = JoinPath(folder, "boot");
  const absl::StatusOr<std::string> last_boot = ReadFile(boot_path);
  const bool restarted = last_boot.ok() && *last_boot != boot_id;
  if (restarted || damaged) SkipAhead(&scan.contents);
  log.Reserve();
  log.last_ = scan.contents.next_sequence - 1;
  log.dropped_ = scan.dropped;
  if (absl::Status written = log.Rewrite(scan.contents.next_sequence, scan.contents.facts);
      !written.ok()) {
    return written;
  }
  // Behind the skip: an agent that dies in between skips once more.
  if (!last_boot.ok() || restarted) {
    absl::Status written = WriteFileDurably(boot_path, boot_id, 0600);
    if (!written.ok() && log.UseReserve(written)) {
      written = WriteFileDurably(boot_path, boot_id, 0600);
    }
    if (!written.ok()) return written;
  }
  *contents = std::move(scan.contents);
  return log;
}

absl::Status FactLog::Rewrite(uint64_t next_sequence, const std::vector<agent::v1::Fact>& facts) {
  std::string bytes =
      Record(kNext, absl::StrCat(next_sequence)) + Record(kDropped, absl::StrCat(dropped_));
  for (const agent::v1::Fact& fact : facts) bytes += Record(kFact, fact.SerializeAsString());
  absl::Status written = WriteFileDurably(LogPath(folder_), bytes, 0600);
  if (!written.ok() && UseReserve(written)) {
    written = WriteFileDurably(LogPath(folder_), bytes, 0600);
  }
  if (!written.ok()) return written;
  file_ = FileDescriptor(open(LogPath(folder_).c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file_.valid()) return ErrnoError(errno, "cannot open", LogPath(folder_));
  bytes_ = static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

void FactLog::Reserve() {
  const std::string path = JoinPath(folder_, kReserveName);
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (file.valid() && fallocate(file.get(), 0, 0, kReserveBytes) == 0) return;
  unlink(path.c_str());  // no room, or a file system without it
}

bool FactLog::UseReserve(const absl::Status& status) {
  if (!absl::IsResourceExhausted(status)) return false;
  const bool had = unlink(JoinPath(folder_, kReserveName).c_str()) == 0;
  LOG_IF(ERROR, had) << "the disk is full (" << status << "); the agent's own reserve of "
                     << kReserveBytes << " bytes is in use: make room in " << folder_;
  return had;
}

absl::Status FactLog::Write(uint32_t kind, const std::string& payload) {
  const std::string record = Record(kind, payload);
  absl::Status written = WriteAll(file_.get(), record);
  if (!written.ok()) {
    // What was written of it would hide all that comes after.
    if (ftruncate(file_.get(), bytes_) != 0) return written;
    if (!UseReserve(written)) return written;
    written = WriteAll(file_.get(), record);
  }
  if (written.ok()) bytes_ += static_cast<int64_t>(record.size());
  return written;
}

absl::Status FactLog::Append(const agent::v1::Fact& fact) {
  last_ = fact.sequence();
  return Write(kFact, fact.SerializeAsString());
}

absl::Status FactLog::Drop(uint64_t sequence) {
  if (sequence <= dropped_) return absl::OkStatus();
  dropped_ = sequence;
  // With nothing left the file may begin anew; numbers go on.
  if (dropped_ >= last_ && bytes_ > kRewriteBytes) return Rewrite(last_ + 1, {});
  return Write(kDropped, absl::StrCat(sequence));
}

absl::Status FactLog::SetIncarnation(uint64_t incarnation) {
  incarnation_ = incarnation;
  return WriteFileDurably(JoinPath(folder_, "incarnation"), absl::StrCat(incarnation), 0600);
}

}  // namespace trainyard::worker
