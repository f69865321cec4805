// See c_api.h.
#include "worker/training/c_api.h"

#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "worker/training/communicator.h"
#include "worker/training/device_communicator.h"
#include "worker/training/rank_context.h"

using trainyard::training::Communicator;
using trainyard::training::DataType;
using trainyard::training::DeviceCommunicator;
using trainyard::training::Pending;
using trainyard::training::RankContext;
using trainyard::training::ReduceOp;

struct trainyard_communicator {
  RankContext context;
  std::unique_ptr<Communicator> communicator;
  std::string name;
  DeviceCommunicator* device = nullptr;  // the communicator, when it is one of a GPU
};

struct trainyard_pending {
  std::unique_ptr<Pending> pending;
};

namespace {

thread_local std::string t_error;

int Answer(const absl::Status& status) {
  if (status.ok()) return 0;
  t_error = std::string(status.message());
  return 1;
}

// Runs `call`; no exception (of memory, mostly) leaves it for a caller that knows none.
template <typename Call>
int Guarded(const Call& call) {
  try {
    return Answer(call());
  } catch (const std::exception& error) {
    t_error = error.what();
  } catch (...) {
    t_error = "an unknown exception";
  }
  return 1;
}

absl::Status CheckNumbers(int type, int op) {
  if (type < 0 || type > static_cast<int>(DataType::kInt64)) {
    return absl::InvalidArgumentError(absl::StrCat("there is no type ", type));
  }
  if (op < 0 || op > static_cast<int>(ReduceOp::kMax)) {
    return absl::InvalidArgumentError(absl::StrCat("there is no operator ", op));
  }
  return absl::OkStatus();
}

absl::Status Open(trainyard_communicator** out) {
  auto context = trainyard::training::RankContextFromEnvironment();
  if (!context.ok()) return context.status();
  auto communicator = trainyard::training::CreateCommunicator(*context);
  if (!communicator.ok()) return communicator.status();
  std::string name = (*communicator)->name();
  *out = new trainyard_communicator{*context, *std::move(communicator), std::move(name)};
  return absl::OkStatus();
}

absl::Status OpenDevice(trainyard_communicator* host, int device, trainyard_communicator** out) {
  if (host->device != nullptr) return absl::InvalidArgumentError("the host's is wanted");
  auto opened = DeviceCommunicator::Create(host->context, host->communicator.get(), device);
  if (!opened.ok()) return opened.status();
  DeviceCommunicator* const opened_device = opened->get();
  std::string name = opened_device->name();
  *out =
      new trainyard_communicator{host->context, *std::move(opened), std::move(name), opened_device};
  return absl::OkStatus();
}

}  // namespace

int trainyard_version(void) { return 3; }

const char* trainyard_error(void) { return t_error.c_str(); }

int trainyard_open(trainyard_communicator** communicator) {
  return Guarded([&] { return Open(communicator); });
}

int trainyard_open_device(trainyard_communicator* host, int device,
                          trainyard_communicator** communicator) {
  return Guarded([&] { return OpenDevice(host, device, communicator); });
}

int trainyard_behind(trainyard_communicator* communicator, void* stream) {
  return Guarded([&] {
    if (communicator->device != nullptr) return communicator->device->Behind(stream);
    return absl::Status(
        absl::InvalidArgumentError("only a device's communicator knows CUDA streams"));
  });
}

void trainyard_close(trainyard_communicator* communicator) { delete communicator; }

int trainyard_rank(const trainyard_communicator* communicator) {
  return communicator->communicator->rank();
}

int trainyard_size(const trainyard_communicator* communicator) {
  return communicator->communicator->size();
}

const char* trainyard_name(const trainyard_communicator* communicator) {
  return communicator->name.c_str();
}

int trainyard_all_reduce(trainyard_communicator* communicator, void* data, size_t count, int type,
                         int op) {
  return Guarded([&] {
    absl::Status status = CheckNumbers(type, op);
    if (!status.ok()) return status;
    return communicator->communicator->AllReduce(data, count, static_cast<DataType>(type),
                                                 static_cast<ReduceOp>(op));
  });
}

int trainyard_reduce_scatter(trainyard_communicator* communicator, const void* send, void* receive,
                             size_t count, int type, int op) {
  return Guarded([&] {
    absl::Status status = CheckNumbers(type, op);
    if (!status.ok()) return status;
    return communicator->communicator->ReduceScatter(
        send, receive, count, static_cast<DataType>(type), static_cast<ReduceOp>(op));
  });
}

int trainyard_all_gather(trainyard_communicator* communicator, const void* send, void* receive,
                         size_t count, int type) {
  return Guarded([&] {
    absl::Status status = CheckNumbers(type, 0);
    if (!status.ok()) return status;
    return communicator->communicator->AllGather(send, receive, count, static_cast<DataType>(type));
  });
}

int trainyard_broadcast(trainyard_communicator* communicator, void* data, size_t count, int type,
                        int root) {
  return Guarded([&] {
    absl::Status status = CheckNumbers(type, 0);
    if (status.ok() && (root < 0 || root >= communicator->communicator->size())) {
      status = absl::InvalidArgumentError(absl::StrCat("there is no rank ", root));
    }
    if (!status.ok()) return status;
    return communicator->communicator->Broadcast(data, count, static_cast<DataType>(type), root);
  });
}

int trainyard_start_all_reduce(trainyard_communicator* communicator, void* data, size_t count,
                               int type, int op, trainyard_pending** pending) {
  return Guarded([&] {
    absl::Status status = CheckNumbers(type, op);
    if (!status.ok()) return status;
    auto begun = communicator->communicator->StartAllReduce(
        data, count, static_cast<DataType>(type), static_cast<ReduceOp>(op));
    if (begun.ok()) *pending = new trainyard_pending{*std::move(begun)};
    return begun.status();
  });
}

int trainyard_wait(trainyard_pending* pending) {
  const std::unique_ptr<trainyard_pending> owned(pending);
  return Guarded([&] { return owned->pending->Wait(); });
}

int trainyard_barrier(trainyard_communicator* communicator) {
  return Guarded([&] { return communicator->communicator->Barrier(); });
}

int trainyard_allocate(trainyard_communicator* communicator, size_t bytes, void** memory) {
  return Guarded([&] {
    auto result = communicator->communicator->Allocate(bytes);
    if (result.ok()) *memory = *result;
    return result.status();
  });
}
