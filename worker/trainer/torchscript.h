// A saved model as a TorchScript program: torch.jit.load() runs it with PyTorch alone, in Python or
// C++. Images and tables go in as they are in the data, one row a sample, and scores of the classes
// come out; texts go in as token numbers (int64, at most the model's context), and scores of the
// token behind each come out. The normalisation is inside.
#ifndef TRAINYARD_WORKER_TRAINER_TORCHSCRIPT_H_
#define TRAINYARD_WORKER_TRAINER_TORCHSCRIPT_H_

#include <string>

#include "absl/status/status.h"
#include "worker/trainer/saved_model.h"

namespace trainyard::trainer {

// The program's forward(), as TorchScript source. Pure.
std::string TorchScriptSource(const Architecture& architecture);

// Replaces `file` as a whole. FAILED_PRECONDITION when it cannot be written.
absl::Status ExportTorchScript(const SavedModel& model, const std::string& file);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_TORCHSCRIPT_H_
