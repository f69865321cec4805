// Job specs: YAML or JSON text in the shapes of Vertex (workerPoolSpecs, studySpec, trialJobSpec)
// and ML Engine (trainingInput, hyperparameters) in, one resolved v1::JobSpec out, with every fault
// at once. Offline and pure (but LoadSpecText): the client and the server use the same code.
// Thread-safe.
#ifndef TRAINYARD_COMMON_SPEC_SPEC_H_
#define TRAINYARD_COMMON_SPEC_SPEC_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "trainyard/v1/admin.pb.h"
#include "trainyard/v1/error.pb.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::spec {

inline constexpr size_t kSpecBytesMax = 4 << 20;
inline constexpr int kSpecDepthMax = 64;

// Tiers as data; DefaultTiers() seeds the first start. The table holds BASIC, STANDARD_1,
// PREMIUM_1, BASIC_GPU, CUSTOM.
using TierTable = std::vector<v1::ScaleTier>;
TierTable DefaultTiers();

// Where a field of the JobSpec stands in the file it came from.
struct Place {
  std::string field;  // path as the file writes it
  int line = 0;
  int column = 0;
};
// By path in the JobSpec, for example "studySpec.parameters[0].doubleRange.min".
using Places = std::map<std::string, Place>;

struct ParseResult {
  v1::JobSpec spec;    // meaningful when no fault but notes
  std::string job_id;  // as the file names it (jobId), may be empty
  v1::Faults faults;   // faults and notes, in order of line
  std::string file_name;
  Places places;
  bool ok() const;  // nothing but notes
};

// `file_name` is what messages show. Detects the shape by its keys. At most 4 MiB, depth 64.
// Checks all that needs neither the tier table nor what a command line may still add.
ParseResult ParseJobSpec(absl::string_view text, absl::string_view file_name);

// Parse, Resolve and Check in one: what `trainyard validate FILE` answers.
ParseResult ValidateJobSpec(absl::string_view text, absl::string_view file_name,
                            const TierTable& tiers);

// Gives faults of ResolveJobSpec the file, line and column of the field they name.
void PlaceFaults(const ParseResult& parsed, v1::Faults* faults);

// Bytes of a spec file. INVALID_ARGUMENT or NOT_FOUND (reasons SPEC_FILE, SPEC_TOO_LARGE); a wrong
// path is answered with the nearest name in its folder.
absl::StatusOr<std::string> LoadSpecText(const std::string& path);

// A bare studySpec file (study create, trainyard-tune); also with the key `studySpec` above it.
struct StudyParseResult {
  v1::StudySpec spec;
  v1::Faults faults;
  bool ok() const;
};
StudyParseResult ParseStudySpec(absl::string_view text, absl::string_view file_name);

// Turns scale_tier and machine types into worker_pools with resources, fills defaults (scheduling
// times, launcher), and checks what needs the whole spec. Idempotent. Used by the client before
// sending and by the server on receipt. A first pool with replica_count 0 is a template: the tier
// gives pools and counts, the template's resources that are not zero win.
v1::Faults ResolveJobSpec(const TierTable& tiers, v1::JobSpec* spec);

// Checks a spec that came over the wire: INVALID_ARGUMENT with all faults (field paths, no
// positions).
absl::Status CheckJobSpec(const v1::JobSpec& spec);
// The same for a study alone.
absl::Status CheckStudySpec(const v1::StudySpec& spec);

// Points of the grid over `spec`, INT64_MAX when it has more or a DOUBLE parameter.
int64_t GridPoints(const v1::StudySpec& spec);

// "300s", "1.5h", "2d", "10m", "1h30m", "3600" (seconds): NOT "5 mins". BAD_DURATION otherwise.
absl::StatusOr<double> ParseDurationSeconds(absl::string_view text);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_SPEC_H_
