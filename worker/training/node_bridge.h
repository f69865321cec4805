// What one rank of each node says to its counterparts on the other nodes, by MPI messages.
//  - Sums are formed in the order of nodes, whatever the size of the data and whoever adds them up:
//    the same bits by every route.
//  - Each call begins with a word that says which call it is: nodes in different calls get an error
//    that names both. A counterpart that does not come for TRAINYARD_HANG_TIMEOUT is named.
//  - Waiting looks at MPI all the time but for short naps, after a while now and then: gangs share
//    cores.
// One thread at a time. The same calls by the same-numbered rank of every node.
#ifndef TRAINYARD_WORKER_TRAINING_NODE_BRIDGE_H_
#define TRAINYARD_WORKER_TRAINING_NODE_BRIDGE_H_

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/training/gang_sync.h"
#include "worker/training/sampler.h"

namespace trainyard::training {

class NodeBridge {
 public:
  struct Peer {
    int rank = 0;  // by which people know it
    std::string node;
    bool alone = true;  // on its node
  };

  // `comm`: one rank of every node, in the order of nodes; freed here. `peers` likewise, with this
  // rank's own at its place. `crowded`: a thread beside the one that computes has no core to spare.
  NodeBridge(MPI_Comm comm, std::vector<Peer> peers, int self, bool crowded);
  ~NodeBridge();
  NodeBridge(const NodeBridge&) = delete;
  NodeBridge& operator=(const NodeBridge&) = delete;

  int size() const { return static_cast<int>(peers_.size()); }
  int self() const { return self_; }

  // The calls that follow are of a thread beside the one that computes, or no longer.
  void set_background(bool background);

  // Sum (for kMean too: without the division), minimum or maximum over nodes, in place.
  absl::Status AllReduce(char* data, const Call& call);
  // Node n's parts[n].bytes land at parts[n].data everywhere; this node's own are there already.
  struct Part {
    char* data = nullptr;
    size_t bytes = 0;
  };
  absl::Status Gather(const std::vector<Part>& parts, const Call& call);
  // `bytes` of node `root`.
  absl::Status Broadcast(char* data, size_t bytes, int root, const Call& call);
  absl::Status Barrier(const Call& call) { return ExchangeHeaders(call); }

 private:
  struct Header {
    uint64_t number = 0;  // of the call
    Call call;
  };
  // Transfers under way, to be waited for together.
  struct Batch {
    std::vector<MPI_Request> requests;
    std::vector<int> peers;  // whom each is with
  };

  // Of one call, on their way.
  struct Headers {
    Header mine;
    Batch batch;
  };

  Header NextHeader(const Call& call);
  void PostHeaders(const Call& call, Headers* headers);
  absl::Status CheckHeaders(Headers* headers, const Call& call);
  absl::Status ExchangeHeaders(const Call& call);
  char* MessageOf(int node);
  size_t FirstBytes() const;
  absl::Status CompareFirst(const Header& mine, int peer);
  absl::Status ReduceSmall(char* data, size_t bytes, const Call& call);
  absl::Status ReduceLarge(char* data, const Call& call);
  static size_t MessageFor(size_t bytes);
  void PostSlices(char* data, Range chunk, char* scratch, const Call& call, Batch* batch);
  void PostResults(char* data, Range chunk, const Call& call, Batch* batch);
  void Fold(char* data, Range chunk, char* scratch, const Call& call);
  static constexpr size_t kMessageBytes = size_t{1} << 30;  // MPI counts are int
  // In messages of `each` bytes, the last one of what remains.
  void Send(const char* data, size_t bytes, int peer, int tag, Batch* batch,
            size_t each = kMessageBytes);
  void Receive(char* data, size_t bytes, int peer, int tag, Batch* batch,
               size_t each = kMessageBytes);
  absl::Status Wait(Batch* batch, const Call& call);
  absl::Status Late(const Batch& batch, const Call& call, int64_t waited_ns) const;

  MPI_Comm comm_;
  const std::vector<Peer> peers_;
  const int self_;
  const bool crowded_;
  const int64_t patience_ns_;
  int64_t spin_ns_ = 0;  // how long a wait looks before it naps
  uint64_t calls_ = 0;
  size_t small_bytes_ = 0;     // what is sent whole, at most
  std::vector<char> small_;    // messages with header, one a node
  std::vector<char> scratch_;  // others' slices, twice
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_NODE_BRIDGE_H_
