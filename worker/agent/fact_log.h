// The agent's unacknowledged facts on disk. An append-only file of records, each a length, a CRC-32
// and bytes; a torn tail is dropped. Written without fsync: a killed agent loses nothing, and after
// a power cut every process is gone and the attempt folders say what had ended. Numbers are never
// reused, also then: every start of a boot skips ahead durably.
// Loop thread only.
#ifndef TRAINYARD_WORKER_AGENT_FACT_LOG_H_
#define TRAINYARD_WORKER_AGENT_FACT_LOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::worker {

class FactLog {
 public:
  struct Contents {
    std::vector<agent::v1::Fact> facts;  // unacknowledged, in order
    uint64_t next_sequence = 1;
    // Up to here they were acknowledged. A power cut may take away facts above it that are in no
    // list either: those were never told.
    uint64_t acknowledged = 0;
  };

  // Opens (or makes) the log in `folder`. `boot_id` tells whether the machine restarted since.
  static absl::StatusOr<FactLog> Open(const std::string& folder, const std::string& boot_id,
                                      Contents* contents);
  absl::Status Append(const agent::v1::Fact& fact);
  // Facts up to `sequence` are no longer needed.
  absl::Status Drop(uint64_t sequence);
  // The scheduler's newest incarnation this node has met; durable.
  absl::Status SetIncarnation(uint64_t incarnation);
  uint64_t incarnation() const { return incarnation_; }

 private:
  FactLog(std::string folder, FileDescriptor file)
      : folder_(std::move(folder)), file_(std::move(file)) {}
  absl::Status Write(uint32_t kind, const std::string& payload);
  absl::Status Rewrite(uint64_t next_sequence, const std::vector<agent::v1::Fact>& facts);
  // Holds room for what a full disk would refuse: facts must be told before others make room.
  void Reserve();
  // Gives that room to who needs it; false when `status` is no full disk, or it is given already.
  bool UseReserve(const absl::Status& status);

  std::string folder_;
  FileDescriptor file_;
  uint64_t last_ = 0;     // number of the newest fact
  uint64_t dropped_ = 0;  // newest number dropped
  int64_t bytes_ = 0;
  uint64_t incarnation_ = 0;
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_FACT_LOG_H_
