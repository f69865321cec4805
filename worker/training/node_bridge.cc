// See node_bridge.h.
#include "worker/training/node_bridge.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "worker/training/hang.h"
#include "worker/training/mpi_session.h"
#include "worker/training/reduce.h"
#include "worker/training/slices.h"

namespace trainyard::training {
namespace {

constexpr int kHeaderTag = 1;
constexpr int kSliceTag = 2;
constexpr int kResultTag = 3;
// Up to so much is sent whole to every node, with its header: one hop, for more bytes in all; with
// two nodes not even that.
constexpr size_t kSmallBytes = 16 << 10;
constexpr size_t kSmallBytesOfTwo = 256 << 10;
constexpr size_t kSentBytes = 60 << 10;    // to all nodes together, if that is more
constexpr size_t kEagerBytes = 62 << 10;   // goes by TCP without asking whether the peer is there
constexpr size_t kSliceBytes = 1 << 20;    // of each node, at a time
constexpr size_t kEagerSlice = 256 << 10;  // goes in eager messages, at most
// A wait naps after so long of looking all the time, and looks again: who does not look takes
// nothing from the network. It never yields: on a busy machine that costs milliseconds, which a
// sleeper does not wait.
constexpr int64_t kSpin = 2'000'000;  // nanoseconds
constexpr int64_t kSpinCrowded = 20'000;
constexpr int kLooksPerClock = 8;
constexpr useconds_t kNap = 20;
constexpr useconds_t kLongNap = 200;
constexpr int64_t kLongWait = 50'000'000;  // nanoseconds
// Behind the ranks of one node, which know better who is missing.
constexpr int64_t kExtraPatience = 400'000'000;

int64_t Nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

NodeBridge::NodeBridge(MPI_Comm comm, std::vector<Peer> peers, int self, bool crowded)
    : comm_(comm),
      peers_(std::move(peers)),
      self_(self),
      crowded_(crowded),
      patience_ns_(absl::ToInt64Nanoseconds(HangTimeout())),
      spin_ns_(kSpin) {
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  const size_t others = std::max<size_t>(1, peers_.size() - 1);
  small_bytes_ =
      others == 1 ? kSmallBytesOfTwo : std::max(kSmallBytes, kSentBytes / others / 64 * 64);
  small_.resize(peers_.size() * (sizeof(Header) + small_bytes_));
}

NodeBridge::~NodeBridge() { MPI_Comm_free(&comm_); }

NodeBridge::Header NodeBridge::NextHeader(const Call& call) {
  Header header;
  header.number = ++calls_;
  header.call = call;
  header.call.place = 0;  // where it lies differs between nodes of different sizes
  return header;
}

char* NodeBridge::MessageOf(int node) {
  return small_.data() + static_cast<size_t>(node) * (sizeof(Header) + small_bytes_);
}

// Received whatever the call, as the peer may be in another one: a header, or one with data.
size_t NodeBridge::FirstBytes() const {
  return std::min(kEagerBytes, sizeof(Header) + small_bytes_);
}

absl::Status NodeBridge::CompareFirst(const Header& mine, int peer) {
  Header theirs;
  std::memcpy(&theirs, MessageOf(peer), sizeof(Header));
  if (mine.number == theirs.number && mine.call == theirs.call) return absl::OkStatus();
  const Peer& self = peers_[static_cast<size_t>(self_)];
  const Peer& other = peers_[static_cast<size_t>(peer)];
  return MakeError(
      absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
      absl::StrCat("ranks are out of step: rank ", self.rank, " is in ", Describe(mine.call),
                   ", rank ", other.rank, " on node ", other.node, " in ", Describe(theirs.call)),
      "all ranks must make the same calls in the same order");
}

void NodeBridge::Send(const char* data, size_t bytes, int peer, int tag, Batch* batch,
                      size_t each) {
  for (size_t done = 0; done < bytes; done += each) {
    batch->peers.push_back(peer);
    MPI_Isend(data + done, static_cast<int>(std::min(each, bytes - done)), MPI_BYTE, peer, tag,
              comm_, &batch->requests.emplace_back(MPI_REQUEST_NULL));
  }
}

void NodeBridge::Receive(char* data, size_t bytes, int peer, int tag, Batch* batch, size_t each) {
  for (size_t done = 0; done < bytes; done += each) {
    batch->peers.push_back(peer);
    MPI_Irecv(data + done, static_cast<int>(std::min(each, bytes - done)), MPI_BYTE, peer, tag,
              comm_, &batch->requests.emplace_back(MPI_REQUEST_NULL));
  }
}

void NodeBridge::set_background(bool background) {
  spin_ns_ = background && crowded_ ? kSpinCrowded : kSpin;
}

absl::Status NodeBridge::Wait(Batch* batch, const Call& call) {
  const int count = static_cast<int>(batch->requests.size());
  int64_t start = 0, woke = 0;
  for (int looks = 0;; ++looks) {
    int done = 0;
    const int code = MPI_Testall(count, batch->requests.data(), &done, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS) return MpiStatus(code, Describe(call));
    if (done != 0) break;
    if (looks % kLooksPerClock != 0) continue;
    const int64_t now = Nanoseconds();
    if (start == 0) start = woke = now;
    const int64_t waited = now - start;
    const bool long_wait = waited > kLongWait;
    if (!long_wait && now - woke < spin_ns_) continue;
    usleep(long_wait ? kLongNap : kNap);
    woke = Nanoseconds();
    if (waited - kExtraPatience > patience_ns_) return Late(*batch, call, waited);
  }
  batch->requests.clear();
  batch->peers.clear();
  return absl::OkStatus();
}

absl::Status NodeBridge::Late(const Batch& batch, const Call& call, int64_t waited_ns) const {
  std::set<int> missing;
  for (size_t i = 0; i < batch.requests.size(); ++i) {
    if (batch.requests[i] != MPI_REQUEST_NULL) missing.insert(batch.peers[i]);
  }
  std::vector<std::string> names;
  for (const int peer : missing) {
    const Peer& other = peers_[static_cast<size_t>(peer)];
    // From here the one who waits for another looks as the one who hangs.
    const char* const or_else = other.alone ? "" : " (or one of its node for which it waits)";
    names.push_back(absl::StrCat("rank ", other.rank, " on node ", other.node, or_else));
  }
  return Hang(absl::StrCat(absl::StrJoin(names, ", "), names.size() == 1 ? " has" : " have"),
              Describe(call), absl::Nanoseconds(waited_ns));
}

void NodeBridge::PostHeaders(const Call& call, Headers* headers) {
  headers->mine = NextHeader(call);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == self_) continue;
    Receive(MessageOf(peer), FirstBytes(), peer, kHeaderTag, &headers->batch);
    Send(reinterpret_cast<const char*>(&headers->mine), sizeof(Header), peer, kHeaderTag,
         &headers->batch);
  }
}

absl::Status NodeBridge::CheckHeaders(Headers* headers, const Call& call) {
  absl::Status status = Wait(&headers->batch, call);
  for (int peer = 0; status.ok() && peer < size(); ++peer) {
    if (peer == self_) continue;
    status = CompareFirst(headers->mine, peer);
  }
  return status;
}

absl::Status NodeBridge::ExchangeHeaders(const Call& call) {
  Headers headers;
  PostHeaders(call, &headers);
  return CheckHeaders(&headers, call);
}

absl::Status NodeBridge::AllReduce(char* data, const Call& call) {
  const size_t bytes = call.count * SizeOf(call.type);
  if (bytes <= small_bytes_) return ReduceSmall(data, bytes, call);
  return ReduceLarge(data, call);
}

absl::Status NodeBridge::ReduceSmall(char* data, size_t bytes, const Call& call) {
  const Header mine = NextHeader(call);
  static_assert(sizeof(Header) % 8 == 0, "the data behind it is as aligned as any element");
  const size_t all = sizeof(Header) + bytes, first = std::min(FirstBytes(), all);
  std::memcpy(MessageOf(self_), &mine, sizeof(Header));
  std::memcpy(MessageOf(self_) + sizeof(Header), data, bytes);
  Batch batch, rests;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == self_) continue;
    Receive(MessageOf(peer), FirstBytes(), peer, kHeaderTag, &batch);
    Receive(MessageOf(peer) + first, all - first, peer, kSliceTag, &rests, kEagerBytes);
    Send(MessageOf(self_), first, peer, kHeaderTag, &batch);
    Send(MessageOf(self_) + first, all - first, peer, kSliceTag, &rests, kEagerBytes);
  }
  absl::Status status = Wait(&batch, call);
  for (int peer = 0; status.ok() && peer < size(); ++peer) {
    if (peer == self_) continue;
    status = CompareFirst(mine, peer);
  }
  if (status.ok()) status = Wait(&rests, call);
  if (!status.ok()) return status;
  std::memcpy(data, MessageOf(0) + sizeof(Header), bytes);
  for (int node = 1; node < size(); ++node) {
    Accumulate(data, MessageOf(node) + sizeof(Header), call.count, call.type, call.op);
  }
  return absl::OkStatus();
}

// How a slice is cut into messages; the same on both sides.
size_t NodeBridge::MessageFor(size_t bytes) {
  return bytes <= kEagerSlice ? kEagerBytes : kMessageBytes;
}

// Slices of a chunk go to the nodes that add them up.
void NodeBridge::PostSlices(char* data, Range chunk, char* scratch, const Call& call,
                            Batch* batch) {
  const size_t element = SizeOf(call.type);
  const size_t mine = SliceOf(chunk.size(), element, self_, size()).size() * element;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == self_) continue;
    const Range theirs = SliceOf(chunk.size(), element, peer, size());
    const size_t bytes = theirs.size() * element;
    Receive(scratch + static_cast<size_t>(peer) * kSliceBytes, mine, peer, kSliceTag, batch,
            MessageFor(mine));
    Send(data + (chunk.begin + theirs.begin) * element, bytes, peer, kSliceTag, batch,
         MessageFor(bytes));
  }
}

void NodeBridge::PostResults(char* data, Range chunk, const Call& call, Batch* batch) {
  const size_t element = SizeOf(call.type);
  const Range mine = SliceOf(chunk.size(), element, self_, size());
  const size_t own = mine.size() * element;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == self_) continue;
    const Range theirs = SliceOf(chunk.size(), element, peer, size());
    const size_t bytes = theirs.size() * element;
    Receive(data + (chunk.begin + theirs.begin) * element, bytes, peer, kResultTag, batch,
            MessageFor(bytes));
    Send(data + (chunk.begin + mine.begin) * element, own, peer, kResultTag, batch,
         MessageFor(own));
  }
}

// The sum of this node's slice, in the order of nodes, into its place in `data`.
void NodeBridge::Fold(char* data, Range chunk, char* scratch, const Call& call) {
  const size_t element = SizeOf(call.type);
  const Range mine = SliceOf(chunk.size(), element, self_, size());
  char* const own = data + (chunk.begin + mine.begin) * element;
  const auto of = [&](int node) {
    return node == self_ ? own : scratch + static_cast<size_t>(node) * kSliceBytes;
  };
  char* sums = of(0);  // a place that may be written: this node's own only when it comes first
  for (int node = 1; node < size(); ++node) {
    Accumulate(sums, of(node), mine.size(), call.type, call.op);
  }
  if (sums != own) std::memcpy(own, sums, mine.size() * element);
}

absl::Status NodeBridge::ReduceLarge(char* data, const Call& call) {
  Headers headers;
  PostHeaders(call, &headers);
  const size_t nodes = peers_.size(), half = nodes * kSliceBytes;
  if (scratch_.empty()) scratch_.resize(2 * half);
  const size_t each = nodes * kSliceBytes / SizeOf(call.type);
  const auto chunk = [&](size_t begin) {
    return Range{begin, std::min(begin + each, static_cast<size_t>(call.count))};
  };
  Batch slices, next, results;
  PostSlices(data, chunk(0), scratch_.data(), call, &slices);
  absl::Status status = CheckHeaders(&headers, call);
  size_t turn = 0;
  for (size_t begin = 0; status.ok() && begin < call.count; begin += each, turn = 1 - turn) {
    // The next chunk travels while this one is added up.
    if (begin + each < call.count) {
      PostSlices(data, chunk(begin + each), scratch_.data() + (1 - turn) * half, call, &next);
    }
    status = Wait(&slices, call);
    if (!status.ok()) break;
    Fold(data, chunk(begin), scratch_.data() + turn * half, call);
    status = Wait(&results, call);
    PostResults(data, chunk(begin), call, &results);
    std::swap(slices, next);
  }
  return status.ok() ? Wait(&results, call) : status;
}

absl::Status NodeBridge::Gather(const std::vector<Part>& parts, const Call& call) {
  absl::Status status = ExchangeHeaders(call);
  if (!status.ok()) return status;
  Batch batch;
  const Part& own = parts[static_cast<size_t>(self_)];
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == self_) continue;
    const Part& part = parts[static_cast<size_t>(peer)];
    Receive(part.data, part.bytes, peer, kSliceTag, &batch);
    Send(own.data, own.bytes, peer, kSliceTag, &batch);
  }
  return Wait(&batch, call);
}

// A binomial tree below `root`: log2(nodes) hops.
absl::Status NodeBridge::Broadcast(char* data, size_t bytes, int root, const Call& call) {
  absl::Status status = ExchangeHeaders(call);
  if (!status.ok() || bytes == 0) return status;
  const int relative = (self_ - root + size()) % size();
  Batch batch;
  int bit = 1;
  for (; bit < size(); bit <<= 1) {
    if ((relative & bit) == 0) continue;
    Receive(data, bytes, (relative - bit + root) % size(), kSliceTag, &batch);
    status = Wait(&batch, call);
    if (!status.ok()) return status;
    break;
  }
  for (bit >>= 1; bit > 0; bit >>= 1) {
    if (relative + bit < size())
      Send(data, bytes, (relative + bit + root) % size(), kSliceTag, &batch);
  }
  return Wait(&batch, call);
}

}  // namespace trainyard::training
