// Job specs: YAML or JSON text in the shapes of Vertex (workerPoolSpecs, studySpec, trialJobSpec) and ML Engine
// (trainingInput, hyperparameters) in, one resolved v1::JobSpec out, with every fault at once. Offline and pure: the
// client and the server use the same code. Thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_SPEC_H_
#define TRAINYARD_COMMON_SPEC_SPEC_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/admin.pb.h"
#include "trainyard/v1/error.pb.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::spec {

// Tiers as data; DefaultTiers() seeds the first start. The table holds BASIC, STANDARD_1, PREMIUM_1, BASIC_GPU, CUSTOM.
using TierTable = std::vector<v1::ScaleTier>;
TierTable DefaultTiers();

struct ParseResult {
  v1::JobSpec spec;     // meaningful when no fault but notes
  std::string job_id;   // as the file names it (jobId), may be empty
  v1::Faults faults;    // faults and notes, in order of line
  bool ok() const;      // nothing but notes
};

// `file_name` is what messages show. Detects the shape by its keys. At most 4 MiB, depth 64.
ParseResult ParseJobSpec(absl::string_view text, absl::string_view file_name);

// A bare studySpec file (study create, trainyard-tune).
struct StudyParseResult {
  v1::StudySpec spec;
  v1::Faults faults;
  bool ok() const;
};
StudyParseResult ParseStudySpec(absl::string_view text, absl::string_view file_name);

// Turns scale_tier and machine types into worker_pools with resources, fills defaults (scheduling times, launcher),
// and checks what needs the whole spec. Idempotent. Used by the client before sending and by the server on receipt.
v1::Faults ResolveJobSpec(const TierTable& tiers, v1::JobSpec* spec);

// Checks a spec that came over the wire: INVALID_ARGUMENT with all faults (field paths, no positions).
absl::Status CheckJobSpec(const v1::JobSpec& spec);

// "300s", "1.5h", "2d", "10m", "3600": NOT "5 mins".
absl::StatusOr<double> ParseDurationSeconds(absl::string_view text);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_SPEC_H_
