// The commit thread: takes every batch that waits, appends their records in one go, then delivers
// the batches in order. While a sync runs the owner thread goes on, so that what arrives meanwhile
// shares the next one. A journal that fails ends the process, but for a full disk: then the reserve
// is given up and the append tried again.
#ifndef TRAINYARD_SCHEDULER_RUNTIME_COMMITTER_H_
#define TRAINYARD_SCHEDULER_RUNTIME_COMMITTER_H_

#include <thread>
#include <vector>

#include "common/mutex.h"
#include "scheduler/runtime/disk_guard.h"
#include "scheduler/runtime/engine.h"
#include "scheduler/runtime/row_keeper.h"

namespace trainyard::runtime {

class Committer {
 public:
  Committer(journal::Journal* journal, Engine* engine, AgentLink* link, DiskGuard* guard,
            RowKeeper* keeper);
  ~Committer();  // Stop()

  // Hands a batch over; waits when too many records do. Owner thread.
  void Push(Batch batch);
  // Commits what waits and ends the thread.
  void Stop();
  // Whether nothing has been committed for `pause` (rows are written then).
  bool Quiet(absl::Duration pause) const;

 private:
  void Run();
  // False: the disk is full and the process is to end; nothing of it was acknowledged.
  bool Commit(std::vector<Batch>* batches);
  bool Stopping() const;

  journal::Journal* const journal_;
  Engine* const engine_;
  AgentLink* const link_;
  DiskGuard* const guard_;
  RowKeeper* const keeper_;
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<Batch> waiting_ ABSL_GUARDED_BY(mutex_);
  size_t waiting_records_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool owner_waits_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration last_commit_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// Ends the process at once: the journal cannot be trusted any more.
[[noreturn]] void EndProcess(const absl::Status& status);

}  // namespace trainyard::runtime

#endif  // TRAINYARD_SCHEDULER_RUNTIME_COMMITTER_H_
