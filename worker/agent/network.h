// Where other nodes reach this one: its address, the interface that has it, and the ports that
// gangs may listen on. Any thread.
#ifndef TRAINYARD_WORKER_AGENT_NETWORK_H_
#define TRAINYARD_WORKER_AGENT_NETWORK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace trainyard::worker {

struct OwnNetwork {
  std::string address;    // A.B.C.D of an interface here; "": none of ours
  std::string interface;  // its name
};
// The interface that has `address` (numeric, or a name: that blocks). Loopback does not count.
OwnNetwork FindNetwork(const std::string& address);

// The address this machine would send from to reach the scheduler at "host:port"; "" when that is a
// socket file, loopback or cannot be told. Sends nothing; resolving a name blocks.
std::string AddressTowards(const std::string& target);

struct PortRange {
  int32_t low = 0;  // 0: any port
  int32_t high = 0;
  std::string Text() const;  // "LOW-HIGH", "" for any
};
// "LOW-HIGH" of at least 10 ports above 1023; "" is any. INVALID_ARGUMENT otherwise.
absl::StatusOr<PortRange> ParsePortRange(const std::string& text);

// A port of the range that is free now; 0 when none is to be had.
int32_t FreePort(const PortRange& range);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_NETWORK_H_
