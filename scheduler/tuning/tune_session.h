// One study behind JSON lines: ask, tell, complete, should_stop, best. One reply line a request
// line; a request that is wrong is answered by an error and changes nothing. Pure but for its own
// state: no clock, no file. Thread-compatible.
#ifndef TRAINYARD_SCHEDULER_TUNING_TUNE_SESSION_H_
#define TRAINYARD_SCHEDULER_TUNING_TUNE_SESSION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/tuning/tuning.h"

namespace trainyard::tuning {

class TuneSession {
 public:
  static absl::StatusOr<std::unique_ptr<TuneSession>> Make(
      const v1::StudySpec& spec, uint64_t seed, const std::vector<EarlierStudy>& earlier = {});
  ~TuneSession();

  // The reply to one request, without a line end. `elapsed_seconds`: since the study began.
  std::string Handle(absl::string_view line, double elapsed_seconds);

 private:
  struct Request;  // a parsed line
  using Reply = absl::StatusOr<std::string>;

  TuneSession(const v1::StudySpec& spec, std::unique_ptr<Optimizer> optimizer);
  Reply Answer(const Request& request, double elapsed_seconds);
  Reply Ask(const Request& request, double elapsed_seconds);
  Reply Tell(const Request& request);
  Reply Complete(const Request& request, double elapsed_seconds);
  Reply ShouldStop(const Request& request);
  Reply Best(const Request& request);
  absl::StatusOr<TrialRecord*> FindOpen(int64_t id, absl::string_view verb);
  absl::StatusOr<v1::Measurement> ReadMeasurement(const Request& request) const;
  bool StopAdvised(int32_t id);

  const v1::StudySpec spec_;
  std::unique_ptr<Optimizer> optimizer_;
  std::map<int32_t, TrialRecord> trials_;
  std::set<int32_t> stop_advised_;
};

}  // namespace trainyard::tuning

#endif  // TRAINYARD_SCHEDULER_TUNING_TUNE_SESSION_H_
