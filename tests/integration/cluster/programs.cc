// Specs, what ranks record, and waiting for jobs; see cluster.h.
#include <algorithm>
#include <sstream>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/integration/cluster/cluster.h"

namespace trainyard::testing {
namespace {

constexpr int64_t kCpuMilli = 100;

// PREFIX.RANK.EPOCH.PID, after the prefix.
bool ParseName(absl::string_view rest, Beat* beat) {
  const std::vector<absl::string_view> parts = absl::StrSplit(rest, '.');
  return parts.size() == 3 && absl::SimpleAtoi(parts[0], &beat->rank) &&
         absl::SimpleAtoi(parts[1], &beat->epoch) && absl::SimpleAtoi(parts[2], &beat->pid);
}

bool IsEnd(v1::JobState state) {
  return state == v1::SUCCEEDED || state == v1::FAILED || state == v1::CANCELLED ||
         state == v1::EXPIRED;
}

template <typename Wanted>
absl::StatusOr<v1::Job> AwaitJob(Api* api, const std::string& name, absl::Duration limit,
                                 Wanted wanted) {
  absl::StatusOr<v1::Job> job = absl::UnknownError("not asked");
  Within(limit, [&] {
    job = api->Get(name);
    return job.ok() && wanted(job->state());
  });
  if (!job.ok() || wanted(job->state())) return job;
  return absl::DeadlineExceededError(absl::StrCat(name, " stays ", v1::JobState_Name(job->state()),
                                                  ": ", job->ShortDebugString()));
}

}  // namespace

std::vector<Beat> ReadBeats(const std::string& prefix) {
  std::vector<Beat> beats;
  const size_t slash = prefix.rfind('/');
  const std::string folder = prefix.substr(0, slash);
  const std::string start = absl::StrCat(prefix.substr(slash + 1), ".");
  for (const std::string& name : ListFolder(folder).value_or(std::vector<std::string>())) {
    Beat beat;
    if (!absl::StartsWith(name, start) || !ParseName(name.substr(start.size()), &beat)) continue;
    std::istringstream text(ReadFile(JoinPath(folder, name)).value_or(""));
    text >> beat.counter >> beat.gap_ms;
    beats.push_back(beat);
  }
  std::sort(beats.begin(), beats.end(), [](const Beat& a, const Beat& b) {
    return std::tie(a.rank, a.epoch, a.pid) < std::tie(b.rank, b.epoch, b.pid);
  });
  return beats;
}

bool AwaitBeats(const std::string& prefix, int ranks, int64_t above) {
  return Eventually([&] {
    const std::vector<Beat> beats = ReadBeats(prefix);
    return static_cast<int>(beats.size()) >= ranks &&
           std::all_of(beats.begin(), beats.end(),
                       [above](const Beat& beat) { return beat.counter > above; });
  });
}

v1::JobSpec SpecOf(const std::vector<std::string>& command, int ranks) {
  v1::JobSpec spec;
  spec.set_display_name("test");
  for (const std::string& word : command) spec.mutable_program()->add_command(word);
  v1::WorkerPool* const master = spec.add_worker_pools();
  master->set_role("master");
  master->set_replica_count(1);
  master->mutable_resources()->set_cpu_milli(kCpuMilli);
  if (ranks > 1) {
    v1::WorkerPool* const workers = spec.add_worker_pools();
    *workers = *master;
    workers->set_role("worker");
    workers->set_replica_count(ranks - 1);
  }
  return spec;
}

v1::JobSpec BeatSpec(const std::string& prefix, const std::vector<std::string>& options,
                     int ranks) {
  std::vector<std::string> command = {TEST_RANK_PATH, "beat", prefix};
  command.insert(command.end(), options.begin(), options.end());
  return SpecOf(command, ranks);
}

absl::StatusOr<v1::Job> AwaitState(Api* api, const std::string& name,
                                   const std::vector<v1::JobState>& states, absl::Duration limit) {
  return AwaitJob(api, name, limit, [&](v1::JobState state) {
    return std::find(states.begin(), states.end(), state) != states.end();
  });
}

absl::StatusOr<v1::Job> AwaitEnd(Api* api, const std::string& name, absl::Duration limit) {
  return AwaitJob(api, name, limit, IsEnd);
}

}  // namespace trainyard::testing
