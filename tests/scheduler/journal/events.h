// Events and folders for the journal's tests.
#ifndef TRAINYARD_TESTS_SCHEDULER_JOURNAL_EVENTS_H_
#define TRAINYARD_TESTS_SCHEDULER_JOURNAL_EVENTS_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "scheduler/journal/journal.h"

namespace trainyard::journal {

inline v1::Event EventNumber(uint64_t sequence) {
  v1::Event event;
  event.set_sequence(sequence);
  event.set_time_us(1'000'000 + static_cast<int64_t>(sequence));
  event.set_principal("ann");
  event.mutable_job_cancel_requested()->set_job_uid(sequence);
  event.mutable_job_cancel_requested()->set_reason("reason " + std::to_string(sequence));
  return event;
}

inline std::vector<std::string> Records(uint64_t first, int count) {
  std::vector<std::string> records;
  for (int i = 0; i < count; ++i) {
    records.push_back(EncodeEvent(EventNumber(first + static_cast<uint64_t>(i))));
  }
  return records;
}

// A folder of its own, removed at the end; in memory where the machine has such a place.
struct TemporaryFolder {
  TemporaryFolder() {
    const char* const base = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    path = std::string(base) + "/trainyard_journal_XXXXXX";
    if (mkdtemp(path.data()) == nullptr) std::abort();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

}  // namespace trainyard::journal

#endif  // TRAINYARD_TESTS_SCHEDULER_JOURNAL_EVENTS_H_
