// See network.h.
#include "worker/agent/network.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

constexpr int kPortsMin = 10;

bool Resolve(const std::string& host, in_addr* out) {
  if (inet_pton(AF_INET, host.c_str(), out) == 1) return true;
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0 || found == nullptr) return false;
  *out = reinterpret_cast<const sockaddr_in*>(found->ai_addr)->sin_addr;
  freeaddrinfo(found);
  return true;
}

bool IsLoopback(const in_addr& address) { return (ntohl(address.s_addr) >> 24) == 127; }

std::string TextOf(const in_addr& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, &address, text, sizeof text);
  return text;
}

bool Bind(int port, int32_t* bound) {
  FileDescriptor fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t size = sizeof address;
  if (!fd.valid() || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return false;
  }
  *bound = ntohs(address.sin_port);
  return true;
}

}  // namespace

OwnNetwork FindNetwork(const std::string& address) {
  OwnNetwork network;
  in_addr wanted{};
  if (address.empty() || !Resolve(address, &wanted) || IsLoopback(wanted)) return network;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return network;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
    const in_addr own = reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr;
    if (own.s_addr != wanted.s_addr) continue;
    network = {TextOf(own), at->ifa_name};
    break;
  }
  freeifaddrs(all);
  return network;
}

std::string AddressTowards(const std::string& target) {
  const size_t colon = target.rfind(':');
  int port = 0;
  in_addr host{};
  if (colon == std::string::npos || target.rfind("unix:", 0) == 0 ||
      !absl::SimpleAtoi(target.substr(colon + 1), &port) ||
      !Resolve(target.substr(0, colon), &host) || IsLoopback(host)) {
    return "";
  }
  FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr = host;
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t size = sizeof address;
  if (!fd.valid() || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return "";
  }
  return IsLoopback(address.sin_addr) ? "" : TextOf(address.sin_addr);
}

std::string PortRange::Text() const { return low == 0 ? "" : absl::StrCat(low, "-", high); }

absl::StatusOr<PortRange> ParsePortRange(const std::string& text) {
  PortRange range;
  if (text.empty()) return range;
  const std::vector<std::string> parts = absl::StrSplit(text, '-');
  if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &range.low) &&
      absl::SimpleAtoi(parts[1], &range.high) && range.low > 1023 && range.high < 65536 &&
      range.high - range.low + 1 >= kPortsMin) {
    return range;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "USAGE",
                   absl::StrCat("--gang_ports=", text, " is no range of ports"),
                   absl::StrCat("write LOW-HIGH with at least ", kPortsMin,
                                " ports above 1023, for example --gang_ports=20000-20999"));
}

int32_t FreePort(const PortRange& range) {
  int32_t port = 0;
  if (range.low == 0) return Bind(0, &port) ? port : 0;
  // Neighbouring launches should not meet at the same port.
  static int32_t next = static_cast<int32_t>(getpid());
  const int32_t count = range.high - range.low + 1;
  for (int32_t tried = 0; tried < count; ++tried) {
    next = (next + 1) % count;
    if (Bind(range.low + next, &port)) return port;
  }
  return 0;
}

}  // namespace trainyard::worker
