// See device_communicator.h.
#include "worker/training/device_communicator.h"

#include <dlfcn.h>
#include <sched.h>

#include <chrono>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/training/gang_sync.h"
#include "worker/training/hang.h"
#include "worker/training/shared_region.h"

namespace trainyard::training {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kPlugin = "libtrainyard_nccl.so";
constexpr auto kLook = std::chrono::milliseconds(20);  // between looks for ended ranks

absl::Status NoDevice(absl::string_view what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION",
                   absl::StrCat("no collectives on GPUs here: ", what),
                   "see docs/gpu.md; without it, gangs reduce in the hosts' memory");
}

std::string Beside() {
  Dl_info info;
  static const int anchor = 0;
  if (dladdr(&anchor, &info) == 0 || info.dli_fname == nullptr) return kPlugin;
  const std::string folder(info.dli_fname, std::string(info.dli_fname).rfind('/') + 1);
  for (const char* const relative : {"../lib/", ""}) {
    const std::string path = absl::StrCat(folder, relative, kPlugin);
    if (!folder.empty() && Exists(path)) return path;
  }
  return kPlugin;  // the system's path
}

// The ranks' answers together: OK when it is so on all of them; `other` says what another rank
// lacks.
absl::Status Agree(absl::Status mine, absl::string_view other, Communicator* host) {
  int32_t good = mine.ok() ? 1 : 0;
  absl::Status status = host->AllReduce(&good, 1, DataType::kInt32, ReduceOp::kMin);
  if (!mine.ok() || !status.ok()) return mine.ok() ? status : mine;
  return good == 1 ? absl::OkStatus() : NoDevice(other);
}

class NcclCommunicator : public DeviceCommunicator {
 public:
  NcclCommunicator(const RankContext& context, const trainyard_nccl_api* nccl,
                   std::unique_ptr<Communicator> host)
      : nccl_(*nccl), host_(std::move(host)), context_(context), patience_(HangTimeout()) {}
  ~NcclCommunicator() override {
    if (handle_ != nullptr) nccl_.close(handle_);
  }

  absl::Status Join(Communicator* host, int device);

  int rank() const override { return context_.rank; }
  int size() const override { return context_.world_size; }
  std::string name() const override { return "nccl"; }

  absl::Status AllReduce(void* data, size_t count, DataType type, ReduceOp op) override {
    const Call call = {Collective::kAllReduce, type, op, 0, count, 0};
    return Run(call, [&] { return nccl_.all_reduce(handle_, data, count, Number(type), Op(op)); });
  }
  absl::StatusOr<std::unique_ptr<Pending>> StartAllReduce(void* data, size_t count, DataType type,
                                                          ReduceOp op) override;
  absl::Status ReduceScatter(const void* send, void* receive, size_t count, DataType type,
                             ReduceOp op) override {
    const Call call = {Collective::kReduceScatter, type, op, 0, count, 0};
    return Run(call, [&] {
      return nccl_.reduce_scatter(handle_, send, receive, count, Number(type), Op(op));
    });
  }
  absl::Status AllGather(const void* send, void* receive, size_t count, DataType type) override {
    const Call call = {Collective::kAllGather, type, ReduceOp::kSum, 0, count, 0};
    return Run(call, [&] { return nccl_.all_gather(handle_, send, receive, count, Number(type)); });
  }
  absl::Status Broadcast(void* data, size_t count, DataType type, int root) override {
    if (absl::Status status = CheckRoot(root, size()); !status.ok()) return status;
    const Call call = {Collective::kBroadcast, type, ReduceOp::kSum, root, count, 0};
    return Run(call, [&] { return nccl_.broadcast(handle_, data, count, Number(type), root); });
  }
  absl::Status Barrier() override {
    if (word_ == nullptr) {
      auto memory = Allocate(sizeof(int32_t));
      if (!memory.ok()) return memory.status();
      word_ = *memory;
    }
    return AllReduce(word_, 1, DataType::kInt32, ReduceOp::kMax);
  }
  absl::StatusOr<void*> Allocate(size_t bytes) override {
    if (handle_ == nullptr) return Broken();
    void* memory = nullptr;
    if (nccl_.allocate(handle_, bytes, &memory) == TRAINYARD_NCCL_DONE) return memory;
    return absl::ResourceExhaustedError(nccl_.error());
  }
  absl::Status Behind(void* stream) override {
    if (handle_ == nullptr) return Broken();
    nccl_.behind(handle_, stream);
    return absl::OkStatus();
  }
  absl::Status Copy(void* to, const void* from, size_t bytes) override {
    if (handle_ == nullptr) return Broken();
    if (nccl_.copy(handle_, to, from, bytes) == TRAINYARD_NCCL_DONE) return absl::OkStatus();
    return absl::InternalError(nccl_.error());
  }

  // Until `mark` is reached, or an error that has aborted the communicator.
  absl::Status WaitFor(void* mark, const Call& call) {
    if (handle_ == nullptr) return Broken();
    return Until([&] { return nccl_.reached(handle_, mark); }, call);
  }

 private:
  static int Number(DataType type) { return static_cast<int>(type); }
  static int Op(ReduceOp op) { return static_cast<int>(op); }
  static absl::Status Broken() {
    return absl::FailedPreconditionError("the communicator was aborted; end the process");
  }
  // Begins a call and waits until NCCL has taken it; `mark` is behind it.
  template <typename Begin>
  absl::Status Start(const Call& call, const Begin& begin, void** mark);
  template <typename Begin>
  absl::Status Run(const Call& call, const Begin& begin) {
    void* mark = nullptr;
    absl::Status status = Start(call, begin, &mark);
    return status.ok() ? WaitFor(mark, call) : status;
  }
  template <typename Ask>
  absl::Status Until(const Ask& ask, const Call& call);
  absl::Status Abort(absl::Status why);

  const trainyard_nccl_api& nccl_;
  const std::unique_ptr<Communicator> host_;  // nullptr: the caller's
  const RankContext context_;
  const absl::Duration patience_;
  std::unique_ptr<SharedRegion> mates_;  // who on this node is alive; nullptr: alone
  void* handle_ = nullptr;
  void* word_ = nullptr;  // of barriers
};

class NcclPending : public Pending {
 public:
  NcclPending(NcclCommunicator* communicator, void* mark, const Call& call)
      : communicator_(communicator), mark_(mark), call_(call) {}
  absl::Status Wait() override { return communicator_->WaitFor(mark_, call_); }

 private:
  NcclCommunicator* const communicator_;
  void* const mark_;
  const Call call_;
};

absl::Status NcclCommunicator::Join(Communicator* host, int device) {
  const int devices = nccl_.devices();
  absl::Status status;
  if (devices == 0) {
    status = NoDevice("the driver shows no GPU");
  } else if (device >= devices) {
    status = absl::InvalidArgumentError(
        absl::StrCat("there is no GPU ", device, "; this process may use ", devices));
  }
  // Together: a rank without a GPU must not leave the others waiting in NCCL.
  status = Agree(std::move(status), "a rank has no GPU", host);
  if (!status.ok()) return status;
  if (context_.local_world_size > 1) {
    auto mates = SharedRegion::Join(context_.gang + "-device", context_.local_rank,
                                    context_.local_world_size, absl::Minutes(5));
    if (!mates.ok()) return mates.status();
    mates_ = *std::move(mates);
  }
  // The id, and whether the first rank has one.
  int32_t message[1 + TRAINYARD_NCCL_ID_BYTES / 4] = {};
  if (context_.rank == 0) message[0] = nccl_.unique_id(message + 1);
  const std::string error = nccl_.error();
  status = host->Broadcast(message, std::size(message), DataType::kInt32, 0);
  if (!status.ok()) return status;
  if (message[0] != TRAINYARD_NCCL_DONE) return NoDevice(absl::StrCat("rank 0 has no id: ", error));
  const int answer = nccl_.open(message + 1, context_.world_size, context_.rank,
                                device >= 0 ? device : context_.local_rank % devices, &handle_);
  // Who waits for a rank that could not begin would do so until the hang's limit.
  if (answer == TRAINYARD_NCCL_FAILED) status = absl::UnavailableError(nccl_.error());
  status = Agree(std::move(status), "another rank could not join; see its log", host);
  if (!status.ok()) return handle_ == nullptr ? status : Abort(std::move(status));
  return Until([&] { return nccl_.poll(handle_); }, {});
}

template <typename Ask>
absl::Status NcclCommunicator::Until(const Ask& ask, const Call& call) {
  const auto start = Clock::now();
  auto look = start + kLook;
  for (int asked = 0;; ++asked) {
    const int answer = ask();
    if (answer == TRAINYARD_NCCL_DONE) return absl::OkStatus();
    if (answer == TRAINYARD_NCCL_FAILED) {
      return Abort(absl::UnavailableError(absl::StrCat(Describe(call), ": ", nccl_.error())));
    }
    if (asked % 64 != 63) continue;
    sched_yield();
    const auto now = Clock::now();
    if (now < look) continue;
    look = now + kLook;
    if (nccl_.poll(handle_) == TRAINYARD_NCCL_FAILED) {
      return Abort(absl::UnavailableError(absl::StrCat(Describe(call), ": ", nccl_.error())));
    }
    const int dead = mates_ == nullptr ? -1 : mates_->FindDead();
    if (dead >= 0) {
      const int gone = context_.rank - context_.local_rank + dead;
      return Abort(MakeError(absl::StatusCode::kUnavailable, "UNAVAILABLE",
                             absl::StrCat("rank ", gone, " has ended while rank ", context_.rank,
                                          " waits in ", Describe(call), " on its GPU"),
                             absl::StrCat("see the log of rank ", gone)));
    }
    const absl::Duration waited = absl::FromChrono(now - start);
    if (waited > patience_) {
      return Abort(
          Hang("a rank of the gang has", absl::StrCat(Describe(call), " on the GPU"), waited));
    }
  }
}

absl::Status NcclCommunicator::Abort(absl::Status why) {
  nccl_.abort(std::exchange(handle_, nullptr));
  return why;
}

template <typename Begin>
absl::Status NcclCommunicator::Start(const Call& call, const Begin& begin, void** mark) {
  if (handle_ == nullptr) return Broken();
  const int answer = begin();
  if (answer == TRAINYARD_NCCL_FAILED) {
    return Abort(absl::UnavailableError(absl::StrCat(Describe(call), ": ", nccl_.error())));
  }
  // Only what NCCL has taken is on the stream.
  absl::Status status;
  if (answer == TRAINYARD_NCCL_BUSY) status = Until([&] { return nccl_.poll(handle_); }, call);
  if (!status.ok() || nccl_.mark(handle_, mark) == TRAINYARD_NCCL_DONE) return status;
  return Abort(absl::UnavailableError(absl::StrCat(Describe(call), ": ", nccl_.error())));
}

absl::StatusOr<std::unique_ptr<Pending>> NcclCommunicator::StartAllReduce(void* data, size_t count,
                                                                          DataType type,
                                                                          ReduceOp op) {
  const Call call = {Collective::kAllReduce, type, op, 0, count, 0};
  void* mark = nullptr;
  absl::Status status = Start(
      call, [&] { return nccl_.all_reduce(handle_, data, count, Number(type), Op(op)); }, &mark);
  if (!status.ok()) return status;
  return std::make_unique<NcclPending>(this, mark, call);
}

}  // namespace

absl::StatusOr<const trainyard_nccl_api*> LoadNccl() {
  const char* const named = std::getenv("TRAINYARD_NCCL_PLUGIN");
  const std::string path = named != nullptr ? named : Beside();
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return NoDevice(dlerror());
  auto* const symbol =
      reinterpret_cast<const trainyard_nccl_api* (*)()>(dlsym(library, "trainyard_nccl"));
  const trainyard_nccl_api* const nccl = symbol == nullptr ? nullptr : symbol();
  if (nccl == nullptr || nccl->version != TRAINYARD_NCCL_VERSION) {
    dlclose(library);
    return NoDevice(absl::StrCat(path, " is of another version of Trainyard"));
  }
  return nccl;
}

namespace {

// `owned`: nullptr, or what `host` points to.
absl::StatusOr<std::unique_ptr<DeviceCommunicator>> Make(const RankContext& context,
                                                         Communicator* host,
                                                         std::unique_ptr<Communicator> owned,
                                                         int device) {
  auto nccl = LoadNccl();
  absl::Status status = Agree(nccl.status(), "another rank cannot load the plug-in", host);
  if (!status.ok()) return status;
  auto communicator = std::make_unique<NcclCommunicator>(context, *nccl, std::move(owned));
  status = communicator->Join(host, device);
  if (!status.ok()) return status;
  return communicator;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceCommunicator>> DeviceCommunicator::Create(
    const RankContext& context, Communicator* host, int device) {
  return Make(context, host, nullptr, device);
}

absl::StatusOr<std::unique_ptr<DeviceCommunicator>> CreateDeviceCommunicator(
    const RankContext& context, int device) {
  auto host = CreateCommunicator(context);
  if (!host.ok()) return host.status();
  Communicator* const borrowed = host->get();
  return Make(context, borrowed, *std::move(host), device);
}

}  // namespace trainyard::training
