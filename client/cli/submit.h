// The way of every job from a spec to the scheduler, shared by `run` and the three create commands:
// read the config, find and check packages, upload, submit, say what comes next, follow.
//
// Invariants: everything that can be known offline is checked before the first byte leaves; faults
// come all at once. One thread.
#ifndef TRAINYARD_CLIENT_CLI_SUBMIT_H_
#define TRAINYARD_CLIENT_CLI_SUBMIT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/sdk/package.h"
#include "common/spec/spec.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::cli {

// A job on its way.
struct Submission {
  v1::JobSpec spec;
  std::string job_id;       // empty: the scheduler makes one up
  bool may_rename = false;  // job_id was derived: when taken, a free one is tried
  std::vector<client::PackagePlan> packages;
  spec::ParseResult config;  // where the fields stood, when there was a config file
  // Fields of the spec that a flag said, and which one: "scaleTier" -> "--scale-tier".
  std::map<std::string, std::string> flags;
};

// Parses `file` ("-": standard input) into `submission`, as far as it can be read; prints its
// notes. SPEC_FILE or all faults of the spec.
absl::Status ReadConfig(Context* context, const std::string& file, Submission* submission);

// Checks the whole spec as the scheduler will, with the place of each fault in the config file.
// Asks the scheduler for its tiers only when the spec names one that is not built in.
// `program_told`: that nothing says what to run was said already, in better words.
absl::Status CheckSpec(Context* context, const Submission& submission, bool program_told = false);

// `status` with the flag that said each field, or with its place in the config file.
absl::Status NamedFaults(const Submission& submission, const absl::Status& status);

// What the resolved spec is told about itself, a note each on stderr: machine types that give
// nothing, tiers without parameter servers.
void SayNotes(Context* context, const Submission& submission);

// A job id as it was typed, with an example of a good one.
absl::Status CheckJobId(const std::string& id);

// Turns the spec's own package path, the given one (which wins) and the given files into plans, and
// checks that the module is there.
absl::Status PlanPackages(const std::string& package_path,
                          const std::vector<std::string>& package_files, Submission* submission);

// The job with its spec, which the answer to a submit does not repeat; `job` itself where it cannot
// be had.
v1::Job WholeJob(Context* context, const v1::Job& job);

// Uploads and submits. The job as the scheduler answered.
absl::StatusOr<v1::Job> Send(Context* context, Submission submission);

// Has the scheduler check the job, sends no package and submits nothing; says so on stdout.
absl::Status ValidateOnly(Context* context, Submission submission);

// The job on stdout in the format asked for; on stderr the next commands unless the job is followed
// now.
void Announce(Context* context, const v1::Job& job, bool follows);

// "digits 8x8!" -> "digits_8x8_": a valid id made of a name.
std::string IdFromName(const std::string& name);
// The same with six random digits behind it, "train_0a1b2c".
std::string FreshId(const std::string& name);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_SUBMIT_H_
