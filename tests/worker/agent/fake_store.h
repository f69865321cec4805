// A store in memory behind blob::Client, shared by all clients made from one FakeStore; can be made
// to fail. Thread-safe.
#ifndef TRAINYARD_TESTS_WORKER_AGENT_FAKE_STORE_H_
#define TRAINYARD_TESTS_WORKER_AGENT_FAKE_STORE_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/blob/blob.h"
#include "common/mutex.h"

namespace trainyard::worker {

class FakeStore {
 public:
  std::unique_ptr<blob::Client> MakeClient(const std::string& address, const std::string& token);

  std::string Put(const std::string& bytes);  // digest
  // A folder given as path -> content; returns the tree's digest.
  std::string PutFolder(const std::map<std::string, std::string>& files);
  absl::StatusOr<std::string> Get(const std::string& digest);
  // path -> content of a stored tree.
  std::map<std::string, std::string> GetFolder(const std::string& digest);
  // The next `times` calls of any client are answered with `status`.
  void Fail(int times, const absl::Status& status);
  // While stalled, calls do not come back until their client gives up. `what`: "up", "down".
  void Stall(const std::string& what, bool stalled);
  bool Stalled(const std::string& what);
  int downloads();
  std::vector<std::string> tokens();

  // "bucket/prefix" of every tree that was published -> its digest.
  std::map<std::string, std::string> published();

  absl::Status Enter();  // one call of a client
  void Publish(const std::string& name, const std::string& tree);
  void CountDownload();

 private:
  Mutex mutex_;
  std::map<std::string, std::string> blobs_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> published_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> stalled_ ABSL_GUARDED_BY(mutex_);
  int downloads_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::string> tokens_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_TESTS_WORKER_AGENT_FAKE_STORE_H_
