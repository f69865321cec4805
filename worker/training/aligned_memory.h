// Owns zeroed, 64-byte aligned blocks: what communicators without shared memory hand out.
// Thread-compatible.
#ifndef TRAINYARD_WORKER_TRAINING_ALIGNED_MEMORY_H_
#define TRAINYARD_WORKER_TRAINING_ALIGNED_MEMORY_H_

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace trainyard::training {

class AlignedMemory {
 public:
  // RESOURCE_EXHAUSTED when the machine has no memory left.
  absl::StatusOr<void*> Allocate(size_t bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64 + (bytes == 0 ? 64 : 0);
    std::unique_ptr<void, Free> block(std::aligned_alloc(64, rounded));
    if (block == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes"));
    }
    std::memset(block.get(), 0, rounded);
    blocks_.push_back(std::move(block));
    return blocks_.back().get();
  }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  std::vector<std::unique_ptr<void, Free>> blocks_;
};

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_ALIGNED_MEMORY_H_
