// Collectives between the ranks of one node through memory that all of them map.
//  - Small messages go through slots, with one meeting of the ranks.
//  - Data in Allocate()d memory is reduced in place: each rank adds up one slice of all ranks'
//    arrays and writes it to all of them. It must lie at the same place on all ranks.
//  - Other data passes through staging buffers that stay in the cores' caches.
// Sums are formed in the order of ranks, whatever the path.
#ifndef TRAINYARD_WORKER_TRAINING_SHARED_COMMUNICATOR_H_
#define TRAINYARD_WORKER_TRAINING_SHARED_COMMUNICATOR_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/training/communicator.h"
#include "worker/training/gang_sync.h"

namespace trainyard::training {

// How the sums of one node become those of all nodes: some ranks of the node carry a slice each.
struct Across {
  // Makes this node's reduction of `count` elements that of all nodes, by every node's carrier of
  // the same number; without the division of a mean.
  std::function<absl::Status(void* slice, size_t count, const Call& call)> reduce;
  // How many ranks carry, by the size of the data; the same on all ranks of all nodes.
  std::function<int(size_t bytes)> carriers;
  // What is reduced from now on is so beside a thread that computes, or no longer.
  std::function<void(bool)> background;
  int world_size = 1;  // what a mean is divided by
  // Every rank of every node can read its node's other ranks (CanRead()). Else data goes across in
  // portions of kPortionBytes, wherever it lies.
  bool direct = false;
  static constexpr size_t kPortionBytes = 512 << 10;
};

// The communicator of one node's ranks, which others build on.
class NodeCommunicator : public Communicator {
 public:
  // From now on all-reduces are over all nodes; the other calls stay inside. Before the first call.
  virtual void SetAcross(Across across) = 0;
  // Whether the ranks can read each other's private memory; collective inside the node.
  virtual absl::StatusOr<bool> CanRead() = 0;
  // What follows comes behind a call to other nodes by one of these ranks: those who wait for it
  // let it say first for whom it waits itself. Other calls than all-reduces; false to begin with.
  virtual void SetBehind(bool behind) = 0;
  // Waits for what StartAllReduce() began.
  virtual void Drain() = 0;
};

// For ranks that are processes of one node. UNAVAILABLE when they do not find each other.
absl::StatusOr<std::unique_ptr<Communicator>> CreateSharedCommunicator(const RankContext& context);

// The same for some ranks of a gang, two or more: `name` is that of these ranks, `numbers` those by
// which people know them.
absl::StatusOr<std::unique_ptr<NodeCommunicator>> CreateNodeCommunicator(const std::string& name,
                                                                         int local_rank,
                                                                         std::vector<int> numbers);

// For threads of one process as ranks, one communicator each; size 1: the single one.
absl::StatusOr<std::vector<std::unique_ptr<Communicator>>> CreateSharedCommunicators(int size);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_SHARED_COMMUNICATOR_H_
