// What clients do while the scheduler is being killed, and what they were told. Every wish has a
// request id; one whose answer was lost is asked again after the restart, as a client would. What
// was acknowledged is kept and compared with the scheduler's own words. Load::Run is called by one
// thread per client; the rest by the test when no client runs.
#ifndef TRAINYARD_TESTS_INTEGRATION_RECOVERY_LOAD_H_
#define TRAINYARD_TESTS_INTEGRATION_RECOVERY_LOAD_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/integration/cluster/cluster.h"

namespace trainyard::testing {

// Submits jobs that never start (they need a GPU) and cancels every third.
class Submitter {
 public:
  explicit Submitter(std::string name) : name_(std::move(name)) {}
  // One wish; false when it was not answered.
  bool Once(Api* api);
  size_t acknowledged() const { return jobs_.size(); }
  size_t repeated() const { return repeated_; }
  // Faults found in `all`, by display name (which is the request id); empty when there is none.
  std::string Compare(const std::multimap<std::string, v1::Job>& all) const;

 private:
  struct Told {
    std::string name;
    bool cancelled = false;
  };
  const std::string name_;
  int next_ = 0;
  bool in_doubt_ = false;  // the last wish had no answer
  size_t repeated_ = 0;
  std::map<std::string, Told> jobs_;  // acknowledged, by request id
  std::string to_cancel_;             // request id
};

// Submits small programs that really run; each leaves one record per start.
class Runner {
 public:
  explicit Runner(std::string prefix) : prefix_(std::move(prefix)) {}
  bool Once(Api* api, int64_t millis);
  const std::map<std::string, std::string>& jobs() const { return jobs_; }  // record to name

 private:
  const std::string prefix_;
  int next_ = 0;
  std::optional<int64_t> asked_millis_;  // of a program that nobody has acknowledged yet
  std::map<std::string, std::string> jobs_;
};

// Asks a study for trials and completes them.
class Teller {
 public:
  // Creates the study.
  absl::Status Start(Api* api);
  bool Once(Api* api);
  size_t acknowledged() const { return values_.size(); }
  std::string Compare(Api* api) const;

 private:
  std::string study_;
  int next_ = 0;
  std::string open_;                      // trial to complete
  std::map<std::string, double> values_;  // acknowledged
};

// Makes tokens and revokes every second one, and by turns drains a node and lets it work again.
class Administrator {
 public:
  explicit Administrator(std::string node) : node_(std::move(node)) {}
  bool Once(Api* api);
  size_t acknowledged() const { return tokens_.size() + drains_; }
  std::string Compare(Api* api) const;

 private:
  enum class Wish { kToken, kRevoke, kDrain };
  const std::string node_;
  Wish next_ = Wish::kToken;
  int number_ = 0;
  size_t drains_ = 0;
  bool drained_ = false;
  bool drain_in_doubt_ = false;         // asked, not answered
  std::string to_revoke_;               // id
  std::map<std::string, bool> tokens_;  // acknowledged, by id: revoked
};

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_RECOVERY_LOAD_H_
