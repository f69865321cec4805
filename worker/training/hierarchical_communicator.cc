// See hierarchical_communicator.h.
#include "worker/training/hierarchical_communicator.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/training/aligned_memory.h"
#include "worker/training/async_queue.h"
#include "worker/training/mpi_communicator.h"
#include "worker/training/mpi_session.h"
#include "worker/training/node_bridge.h"
#include "worker/training/node_map.h"
#include "worker/training/reduce.h"
#include "worker/training/route_table.h"
#include "worker/training/shared_communicator.h"

namespace trainyard::training {
namespace {

constexpr int kTries = 4;  // of each route and size; the first is no measurement

class CheckedPending : public Pending {
 public:
  CheckedPending(std::unique_ptr<Pending> pending, MpiSession* session)
      : pending_(std::move(pending)), session_(session) {}
  absl::Status Wait() override {
    absl::Status status = pending_->Wait();
    if (!status.ok()) session_->MarkBroken();
    return status;
  }

 private:
  const std::unique_ptr<Pending> pending_;
  MpiSession* const session_;
};

class HierarchicalCommunicator : public Communicator {
 public:
  // `local`: nullptr for a rank alone on its node. `bridge`: nullptr for ranks that carry nothing.
  HierarchicalCommunicator(std::unique_ptr<MpiSession> session, NodeMap map, int rank, int size,
                           std::unique_ptr<NodeCommunicator> local,
                           std::unique_ptr<NodeBridge> bridge)
      : session_(std::move(session)),
        map_(std::move(map)),
        rank_(rank),
        size_(size),
        bridge_(std::move(bridge)),
        local_(std::move(local)) {}
  ~HierarchicalCommunicator() override { Drain(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string name() const override { return "hierarchical"; }

  // Before the first call; collective.
  absl::Status Prepare();

  absl::Status AllReduce(void* data, size_t count, DataType type, ReduceOp op) override {
    if (local_ != nullptr) return Checked(local_->AllReduce(data, count, type, op));
    Drain();
    return ReduceAlone(data, count, type, op);
  }
  absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void* data, size_t count, DataType type,
                                                          ReduceOp op) override {
    if (local_ == nullptr) {
      return queue_.Start([=, this] {
        bridge_->set_background(true);
        absl::Status status = ReduceAlone(data, count, type, op);
        bridge_->set_background(false);
        return status;
      });
    }
    auto begun = local_->StartAllReduce(data, count, type, op);
    if (!begun.ok()) return begun;
    return std::make_unique<CheckedPending>(*std::move(begun), session_.get());
  }
  absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                             ReduceOp op) override;
  absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) override;
  absl::Status Broadcast(void* data, size_t count, DataType type, int root) override;
  absl::Status Barrier() override {
    Drain();
    absl::Status status = LocalBarrier(/*behind=*/false);
    if (status.ok() && head()) status = bridge_->Barrier({});
    return Checked(status.ok() ? LocalBarrier(/*behind=*/!head()) : status);
  }
  absl::StatusOr<void*> Allocate(size_t bytes) override {
    Drain();
    auto memory = local_ != nullptr ? local_->Allocate(bytes) : memory_.Allocate(bytes);
    if (!memory.ok() && !absl::IsResourceExhausted(memory.status())) return memory;
    int32_t good = memory.ok() ? 1 : 0;
    absl::Status status = AllReduce(&good, 1, DataType::kInt32, ReduceOp::kMin);
    if (!status.ok()) return status;
    if (!memory.ok() || good == 1) return memory;
    return absl::ResourceExhaustedError(
        absl::StrCat("a rank of another node has no memory for ", bytes, " bytes"));
  }

 private:
  bool head() const { return map_.local_rank == 0; }
  void Drain() { local_ != nullptr ? local_->Drain() : queue_.Drain(); }
  absl::Status Checked(absl::Status status) {
    if (!status.ok()) session_->MarkBroken();
    return status;
  }
  // `behind`: this rank waits here for one that may wait for other nodes.
  absl::Status LocalBarrier(bool behind) {
    if (local_ == nullptr) return absl::OkStatus();
    local_->SetBehind(behind);
    return local_->Barrier();
  }
  absl::Status LocalBroadcast(void* data, size_t bytes, int root, bool behind) {
    if (local_ == nullptr) return absl::OkStatus();
    local_->SetBehind(behind);
    return local_->Broadcast(data, bytes / 2, DataType::kFloat16, root);
  }
  void SetAcross();
  absl::Status ReduceAlone(void* data, size_t count, DataType type, ReduceOp op);
  // Each node's blocks one after the other, in the order of nodes.
  absl::Status GatherByNode(const void* send, char* all, const Call& call);
  bool InOrder() const;
  absl::Status ChooseRoutes();
  absl::StatusOr<double> TimeRoute(size_t bytes, int carriers);

  const std::unique_ptr<MpiSession> session_;
  const NodeMap map_;
  const int rank_;
  const int size_;
  RouteTable routes_;
  bool direct_ = false;  // Across::direct
  AlignedMemory memory_;
  std::vector<char> scratch_;
  const std::unique_ptr<NodeBridge> bridge_;
  const std::unique_ptr<NodeCommunicator> local_;  // its thread uses what is above
  AsyncQueue queue_;                               // likewise, of a rank alone
};

absl::Status HierarchicalCommunicator::Prepare() {
  int32_t direct = 1;  // a rank alone on its node is content with any path
  if (local_ != nullptr) {
    auto can_read = local_->CanRead();
    if (!can_read.ok()) return can_read.status();
    direct = *can_read ? 1 : 0;
  }
  // Every node must take the same path.
  const int code = MPI_Allreduce(MPI_IN_PLACE, &direct, 1, MPI_INT32_T, MPI_MIN, MPI_COMM_WORLD);
  if (code != MPI_SUCCESS) return MpiStatus(code, "agreeing on a path");
  direct_ = direct != 0;
  if (local_ != nullptr) SetAcross();
  return map_.smallest() == 1 ? absl::OkStatus() : ChooseRoutes();
}

void HierarchicalCommunicator::SetAcross() {
  Across across;
  across.world_size = size_;
  across.carriers = [this](size_t bytes) { return routes_.CarriersFor(bytes); };
  across.reduce = [this](void* slice, size_t count, const Call& call) {
    Call part = call;
    part.count = count;
    return bridge_->AllReduce(static_cast<char*>(slice), part);
  };
  across.background = [this](bool background) {
    if (bridge_ != nullptr) bridge_->set_background(background);
  };
  across.direct = direct_;
  local_->SetAcross(std::move(across));
}

// Rank 0 measures for all; the others follow it.
absl::Status HierarchicalCommunicator::ChooseRoutes() {
  const int most = map_.smallest();
  std::vector<std::string> hosts;
  std::vector<int> ranks;
  for (const NodeMap::Node& node : map_.nodes) {
    hosts.push_back(node.host);
    ranks.push_back(static_cast<int>(node.ranks.size()));
  }
  const std::string file = RoutesFile(hosts, ranks);
  RouteTable chosen;
  int32_t known = rank_ == 0 && ReadRoutes(file, most, &chosen) ? 1 : 0;
  int code = MPI_Bcast(&known, 1, MPI_INT32_T, 0, MPI_COMM_WORLD);
  if (code != MPI_SUCCESS) return MpiStatus(code, "telling whether routes are known");
  for (size_t i = 0; known == 0 && i < RouteTable::kBytes.size(); ++i) {
    double seconds[2];
    for (int way = 0; way < 2; ++way) {
      auto took = TimeRoute(RouteTable::kBytes[i], way == 0 ? 1 : most);
      if (!took.ok()) return took.status();
      seconds[way] = *took;
    }
    chosen.carriers[i] = seconds[1] < seconds[0] ? most : 1;
  }
  if (known == 0 && rank_ == 0) RememberRoutes(file, chosen);
  code = MPI_Bcast(chosen.carriers.data(), static_cast<int>(chosen.carriers.size()), MPI_INT32_T, 0,
                   MPI_COMM_WORLD);
  if (code != MPI_SUCCESS) return MpiStatus(code, "telling the routes");
  routes_ = chosen;
  return absl::OkStatus();
}

absl::StatusOr<double> HierarchicalCommunicator::TimeRoute(size_t bytes, int carriers) {
  routes_.carriers.fill(carriers);
  std::vector<float> data(bytes / sizeof(float));
  double best = 0;
  for (int i = 0; i < kTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    absl::Status status = AllReduce(data.data(), data.size(), DataType::kFloat32, ReduceOp::kSum);
    if (!status.ok()) return status;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i == 1 || took.count() < best) best = took.count();
  }
  return best;
}

absl::Status HierarchicalCommunicator::ReduceAlone(void* data, size_t count, DataType type,
                                                   ReduceOp op) {
  // In the same portions as the nodes with more ranks.
  const size_t each = direct_ ? std::max<size_t>(count, 1) : Across::kPortionBytes / SizeOf(type);
  absl::Status status;
  for (size_t begin = 0; status.ok() && begin < count; begin += each) {
    const Call call = {Collective::kAllReduce, type, op, 0, std::min(each, count - begin), 0};
    status = bridge_->AllReduce(static_cast<char*>(data) + begin * SizeOf(type), call);
  }
  Finish(data, count, type, op, size_);
  return Checked(status);
}

absl::Status HierarchicalCommunicator::ReduceScatter(const void* send, void* receive, size_t count,
                                                     DataType type, ReduceOp op) {
  Drain();
  const size_t bytes = count * SizeOf(type), all = bytes * static_cast<size_t>(size_);
  scratch_.resize(all + 1);
  std::memcpy(scratch_.data(), send, all);
  absl::Status status = AllReduce(scratch_.data(), count * static_cast<size_t>(size_), type, op);
  std::memcpy(receive, scratch_.data() + static_cast<size_t>(rank_) * bytes, bytes);
  return status;
}

bool HierarchicalCommunicator::InOrder() const {
  int next = 0;
  for (const NodeMap::Node& node : map_.nodes) {
    for (const int rank : node.ranks) {
      if (rank != next++) return false;
    }
  }
  return true;
}

absl::Status HierarchicalCommunicator::GatherByNode(const void* send, char* all, const Call& call) {
  const size_t bytes = call.count * SizeOf(call.type);
  std::vector<NodeBridge::Part> parts;
  for (const NodeMap::Node& node : map_.nodes) {
    parts.push_back({all, node.ranks.size() * bytes});
    all += parts.back().bytes;
  }
  const size_t own = static_cast<size_t>(map_.node);
  absl::Status status;
  if (local_ != nullptr) {
    local_->SetBehind(false);
    status = local_->AllGather(send, parts[own].data, call.count, call.type);
  } else {
    std::memmove(parts[own].data, send, bytes);
  }
  if (status.ok() && head()) status = bridge_->Gather(parts, call);
  for (size_t node = 0; status.ok() && node < parts.size(); ++node) {
    if (node == own) continue;
    status = LocalBroadcast(parts[node].data, parts[node].bytes, 0, /*behind=*/!head());
  }
  return status;
}

absl::Status HierarchicalCommunicator::AllGather(const void* send, void* receive, size_t count,
                                                 DataType type) {
  Drain();
  const Call call = {Collective::kAllGather, type, ReduceOp::kSum, 0, count, 0};
  char* const to = static_cast<char*>(receive);
  if (InOrder()) return Checked(GatherByNode(send, to, call));
  const size_t bytes = count * SizeOf(type);
  scratch_.resize(bytes * static_cast<size_t>(size_) + 1);
  absl::Status status = GatherByNode(send, scratch_.data(), call);
  const char* from = scratch_.data();
  for (const NodeMap::Node& node : map_.nodes) {
    for (const int rank : node.ranks) {
      std::memcpy(to + static_cast<size_t>(rank) * bytes, from, bytes);
      from += bytes;
    }
  }
  return Checked(status);
}

absl::Status HierarchicalCommunicator::Broadcast(void* data, size_t count, DataType type,
                                                 int root) {
  if (absl::Status found = CheckRoot(root, size_); !found.ok()) return found;
  Drain();
  const Call call = {Collective::kBroadcast, type, ReduceOp::kSum, root, count, 0};
  const size_t bytes = count * SizeOf(type);
  int root_node = 0, root_local = 0;
  for (size_t node = 0; node < map_.nodes.size(); ++node) {
    const std::vector<int>& ranks = map_.nodes[node].ranks;
    const auto at = std::find(ranks.begin(), ranks.end(), root);
    if (at == ranks.end()) continue;
    root_node = static_cast<int>(node);
    root_local = static_cast<int>(at - ranks.begin());
  }
  const bool here = root_node == map_.node;
  absl::Status status =
      here ? LocalBroadcast(data, bytes, root_local, /*behind=*/false) : absl::OkStatus();
  if (status.ok() && head()) {
    status = bridge_->Broadcast(static_cast<char*>(data), bytes, root_node, call);
  }
  if (status.ok() && !here) status = LocalBroadcast(data, bytes, 0, /*behind=*/!head());
  return Checked(status);
}

// Whether this node has fewer cores than twice its ranks, or none to spare for this one.
bool Crowded(int ranks) {
  cpu_set_t mine;
  return sched_getaffinity(0, sizeof(mine), &mine) == 0 && CPU_COUNT(&mine) < 2 * ranks;
}

// This rank's bridge to its counterparts; all ranks call. nullptr where a node has none to spare.
absl::StatusOr<std::unique_ptr<NodeBridge>> MakeBridge(const NodeMap& map) {
  const bool carries = map.local_rank < map.smallest();
  MPI_Comm column = MPI_COMM_NULL;
  const int code =
      MPI_Comm_split(MPI_COMM_WORLD, carries ? map.local_rank : MPI_UNDEFINED, map.node, &column);
  if (code != MPI_SUCCESS) return MpiStatus(code, "joining the ranks of other nodes");
  if (!carries) return nullptr;
  std::vector<NodeBridge::Peer> peers;
  for (const NodeMap::Node& node : map.nodes) {
    peers.push_back(
        {node.ranks[static_cast<size_t>(map.local_rank)], node.host, node.ranks.size() == 1});
  }
  return std::make_unique<NodeBridge>(column, std::move(peers), map.node,
                                      Crowded(static_cast<int>(map.mine().ranks.size())));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> CreateHierarchicalCommunicator(
    const RankContext& context, int pretend) {
  auto session = MpiSession::Begin(context, /*waits_inside=*/false);
  if (!session.ok()) return session.status();
  auto map = FindNodes(context, pretend);
  if (!map.ok()) return map.status();
  auto bridge = MakeBridge(*map);
  if (!bridge.ok()) return bridge.status();
  std::unique_ptr<NodeCommunicator> local;
  const std::vector<int>& ranks = map->mine().ranks;
  if (ranks.size() > 1) {
    auto made = CreateNodeCommunicator(absl::StrCat(context.gang, "-node-", ranks[0]),
                                       map->local_rank, ranks);
    if (!made.ok()) return made.status();
    local = *std::move(made);
  }
  auto communicator = std::make_unique<HierarchicalCommunicator>(
      *std::move(session), *std::move(map), context.rank, context.world_size, std::move(local),
      *std::move(bridge));
  if (absl::Status status = communicator->Prepare(); !status.ok()) return status;
  return communicator;
}

}  // namespace trainyard::training
