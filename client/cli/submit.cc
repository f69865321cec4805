// See submit.h.
#include "client/cli/submit.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "client/cli/fault_list.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/cli/shared_output.h"
#include "client/cli/study_file.h"
#include "client/sdk/client.h"
#include "client/sdk/endpoint.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/random.h"
#include "common/sha256.h"

namespace trainyard::cli {
namespace {

constexpr int kRenamesMax = 3;
constexpr size_t kIdBytesMax = 100;

absl::StatusOr<std::string> ReadStandardInput(Context* context) {
  std::string text;
  std::string line;
  while (context->console().ReadLine(&line)) {
    absl::StrAppend(&text, line, "\n");
    if (text.size() > spec::kSpecBytesMax) break;  // ParseJobSpec refuses it
  }
  return text;
}

void PrintNotes(const v1::Faults& faults, Console* console) {
  for (const v1::Fault& fault : faults.faults()) {
    if (!fault.is_note()) continue;
    v1::Faults one;
    *one.add_faults() = fault;
    console->ErrLine(FormatFaults(one));
  }
}

// One note for all of them; the first few by name.
void SayLeftOut(std::vector<std::string> left_out, Console* console) {
  constexpr size_t kNamed = 3;
  if (left_out.empty()) return;
  std::sort(left_out.begin(), left_out.end());
  const size_t more = left_out.size() > kNamed ? left_out.size() - kNamed : 0;
  left_out.resize(left_out.size() - more);
  console->Note(absl::StrCat("not sent with the program: ", absl::StrJoin(left_out, "; "),
                             more > 0 ? absl::StrCat("; and ", more, " more") : ""));
}

std::vector<std::string> BuiltInTiers() {
  std::vector<std::string> names;
  for (const v1::ScaleTier& tier : spec::DefaultTiers()) names.push_back(tier.name());
  return names;
}

// The scheduler's tiers when the spec names one that is not built in; the built-in ones when it
// cannot be asked, so that a misspelt tier is found offline.
spec::TierTable TiersFor(Context* context, const std::string& tier) {
  const std::vector<std::string> built_in = BuiltInTiers();
  const bool known = tier.empty() || absl::c_linear_search(built_in, tier);
  const absl::StatusOr<client::Client*> client =
      known ? absl::StatusOr<client::Client*>(nullptr) : context->Connect();
  if (known || !client.ok()) return spec::DefaultTiers();
  const absl::StatusOr<v1::ListTiersResponse> tiers = (*client)->ListTiers({});
  if (!tiers.ok()) return spec::DefaultTiers();
  return {tiers->tiers().begin(), tiers->tiers().end()};
}

// All faults of a text that does not parse: also those that need the whole spec. An unknown tier
// counts only when it looks like a built-in one; the scheduler may have others.
v1::Faults AllFaults(const std::string& text, const spec::ParseResult& parsed) {
  v1::Faults all = spec::ValidateJobSpec(text, parsed.file_name, spec::DefaultTiers()).faults;
  const bool misspelt = !NearestName(parsed.spec.scale_tier(), BuiltInTiers()).empty();
  v1::Faults out;
  for (const v1::Fault& fault : all.faults()) {
    const bool tier = fault.reason() == "BAD_ENUM" && absl::EndsWith(fault.field(), "scaleTier");
    if (!tier || misspelt) *out.add_faults() = fault;
  }
  return out;
}

// `status` with its faults at `field`, and at its place in the config when it came from there.
absl::Status Placed(const spec::ParseResult& config, const absl::Status& status,
                    absl::string_view field) {
  if (status.ok()) return status;
  v1::Faults faults = FaultsOf(status);
  for (v1::Fault& fault : *faults.mutable_faults()) fault.set_field(std::string(field));
  spec::PlaceFaults(config, &faults);
  for (v1::Fault& fault : *faults.mutable_faults()) {
    // Not from the config: then it was said by a flag.
    if (fault.line() == 0 && fault.field() == "program.pythonModule") {
      fault.set_field("--module-name");
    }
  }
  return MakeError(status.code(), faults);
}

// The flag that said the field of a fault, or a field around it; else its place in the config.
void NameFault(const Submission& submission, v1::Fault* fault) {
  if (fault->line() > 0) return;
  const std::string field(absl::StripPrefix(fault->field(), "spec."));
  for (std::string path = field; !path.empty();) {
    if (const auto flag = submission.flags.find(path); flag != submission.flags.end()) {
      fault->set_field(flag->second);  // the flag won over the file
      return;
    }
    const size_t end = path.find_last_of(".[");
    path.resize(end == std::string::npos ? 0 : end);
  }
  // What is wrong with the request is nowhere in the file, but a name may be.
  const bool of_request = field == "request_id" || field == "parent" || field == "job_id";
  if (of_request && (field != "job_id" || submission.job_id != submission.config.job_id)) return;
  v1::Faults one;
  *one.add_faults() = *fault;
  one.mutable_faults(0)->set_field(field);
  spec::PlaceFaults(submission.config, &one);
  if (one.faults(0).line() > 0) *fault = one.faults(0);
}

// Whether the folder has the module's package in it ("trainer" of trainer.task) and is none itself.
bool HoldsModule(const std::string& folder, const std::string& module) {
  const size_t dot = module.find('.');
  if (dot == std::string::npos) return false;
  const std::filesystem::path root(folder);
  std::error_code ignored;
  return std::filesystem::is_directory(root / module.substr(0, dot), ignored) &&
         !std::filesystem::exists(root / "__init__.py", ignored) &&
         !std::filesystem::exists(root / "setup.py", ignored) &&
         !std::filesystem::exists(root / "pyproject.toml", ignored);
}

// The job as it is sent, without its packages.
absl::StatusOr<v1::SubmitJobRequest> RequestOf(Context* context, const Submission& submission) {
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  v1::SubmitJobRequest request;
  request.set_parent(*parent);
  request.set_job_id(submission.job_id);
  *request.mutable_spec() = submission.spec;
  request.set_request_id(context->request_id);
  return request;
}

}  // namespace

std::string IdFromName(const std::string& name) {
  std::string id;
  for (char c : name.substr(0, kIdBytesMax)) {
    const bool good = absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
    id += good ? c : '_';
  }
  if (id.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(id[0]))) id = "job_" + id;
  return id;
}

std::string FreshId(const std::string& name) {
  return absl::StrCat(IdFromName(name), "_", HexOf(SecretBytes(3)));
}

absl::Status ReadConfig(Context* context, const std::string& file, Submission* submission) {
  const absl::StatusOr<std::string> text =
      file == "-" ? ReadStandardInput(context) : spec::LoadSpecText(file);
  if (!text.ok()) return text.status();
  submission->config = spec::ParseJobSpec(*text, file == "-" ? "standard input" : file);
  if (!submission->config.ok() && IsStudyAlone(*text, submission->config.file_name)) {
    return StudyAlone(submission->config.file_name);
  }
  submission->spec = submission->config.spec;
  submission->job_id = submission->config.job_id;
  if (!submission->config.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, AllFaults(*text, submission->config));
  }
  PrintNotes(submission->config.faults, &context->console());
  return absl::OkStatus();
}

absl::Status NamedFaults(const Submission& submission, const absl::Status& status) {
  if (status.ok()) return status;
  v1::Faults faults = FaultsOf(status);
  for (v1::Fault& fault : *faults.mutable_faults()) NameFault(submission, &fault);
  return MakeError(status.code(), faults);
}

absl::Status CheckSpec(Context* context, const Submission& submission, bool program_told) {
  v1::JobSpec copy = submission.spec;
  const v1::Faults found =
      spec::ResolveJobSpec(TiersFor(context, submission.spec.scale_tier()), &copy);
  v1::Faults faults;
  for (const v1::Fault& fault : found.faults()) {
    if (program_told && fault.field() == "program") continue;
    NameFault(submission, &(*faults.add_faults() = fault));
  }
  return MakeError(absl::StatusCode::kInvalidArgument, faults);
}

void SayNotes(Context* context, const Submission& submission) {
  v1::JobSpec copy = submission.spec;
  copy.clear_notes();  // those of the config are said already
  spec::ResolveJobSpec(TiersFor(context, submission.spec.scale_tier()), &copy);
  for (const std::string& note : copy.notes()) context->console().Note(note);
  SaySharedOutput(context, copy);
  if (copy.job_dir().empty() || absl::StrContains(copy.job_dir(), "://")) return;
  context->console().Note(absl::StrCat(
      "the job dir ", copy.job_dir(),
      " names no bucket: the program gets a folder of its node, which is kept with the "
      "job (fetch it: trainyard pull JOB DIR); gs://BUCKET/PATH puts it into the store"));
}

absl::Status CheckJobId(const std::string& id) {
  const absl::Status status = CheckId("job", id);
  if (status.ok()) return status;
  v1::Faults faults = FaultsOf(status);
  v1::Fault* fault = faults.mutable_faults(0);
  fault->set_field("JOB");
  fault->set_fix(absl::StrCat(fault->fix(), "; for example ", IdFromName(id)));
  return MakeError(status.code(), faults);
}

absl::Status PlanPackages(const std::string& package_path,
                          const std::vector<std::string>& package_files, Submission* submission) {
  v1::Program* program = submission->spec.mutable_program();
  FaultList faults;
  const auto take = [&](absl::StatusOr<client::PackagePlan> plan, absl::string_view field) {
    if (faults.Add(Placed(submission->config, plan.status(), field))) {
      submission->packages.push_back(*std::move(plan));
    }
  };
  const std::string path = package_path.empty() ? program->package_path() : package_path;
  if (!path.empty() && HoldsModule(path, program->python_module())) {
    // The folder around the package is named, as Vertex's local-package-path does.
    take(client::PlanFolder(path, client::StateFolder(client::ProcessEnvironment())),
         "--package-path");
  } else if (!path.empty()) {
    take(client::PlanPackagePath(path), "--package-path");
  }
  // Package names in the spec that are no objects of a store are files and folders here.
  std::error_code ignored;
  google::protobuf::RepeatedPtrField<v1::PackageRef> kept;
  for (v1::PackageRef& package : *program->mutable_packages()) {
    const bool is_here = package.digest().empty() && package.uri().find("://") == std::string::npos;
    if (!is_here) {
      *kept.Add() = std::move(package);
    } else if (std::filesystem::is_directory(package.uri(), ignored)) {
      take(client::PlanPackagePath(package.uri()), "program.packages");
    } else {
      take(client::PlanPackageFile(package.uri()), "program.packages");
    }
  }
  program->mutable_packages()->Swap(&kept);
  for (const std::string& file : package_files) take(client::PlanPackageFile(file), "--packages");
  // The module may be in a package of the store, or in one that was not found.
  if (program->packages_size() == 0 && faults.ok()) {
    faults.Add(Placed(submission->config,
                      client::CheckModule(program->python_module(), submission->packages),
                      "program.pythonModule"));
  }
  return faults.Take();
}

v1::Job WholeJob(Context* context, const v1::Job& job) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  v1::GetJobRequest request;
  request.set_name(job.name());
  if (!client.ok()) return job;
  absl::StatusOr<v1::Job> whole = (*client)->GetJob(request);
  return whole.ok() ? *std::move(whole) : job;
}

absl::StatusOr<v1::Job> Send(Context* context, Submission submission) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<v1::SubmitJobRequest> request = RequestOf(context, submission);
  if (!request.ok()) return request.status();
  absl::StatusOr<client::Uploaded> uploaded =
      client::UploadPackages(*client, request->parent(), submission.packages);
  if (!uploaded.ok()) return uploaded.status();
  SayLeftOut(uploaded->left_out, &context->console());
  for (v1::PackageRef& package : uploaded->packages) {
    *request->mutable_spec()->mutable_program()->add_packages() = std::move(package);
  }
  const bool may_rename = submission.may_rename && context->request_id.empty();
  for (int i = 0;; ++i) {
    absl::StatusOr<v1::Job> job = (*client)->SubmitJob(*request);
    if (job.ok()) return job;
    if (!absl::IsAlreadyExists(job.status()) || !may_rename || i == kRenamesMax) {
      return NamedFaults(submission, job.status());
    }
    request->set_job_id(FreshId(submission.job_id));
  }
}

absl::Status ValidateOnly(Context* context, Submission submission) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<v1::SubmitJobRequest> request = RequestOf(context, submission);
  if (!request.ok()) return request.status();
  request->set_validate_only(true);
  const absl::StatusOr<v1::Job> job = (*client)->SubmitJob(*request);
  if (!job.ok()) return NamedFaults(submission, job.status());
  SayNotes(context, submission);
  const std::string id = ShortName(job->name());
  Table table;
  table.headers = {"JOB", "ANSWER"};
  table.rows = {{id, "valid"}};
  PrintOne(&context->console(), context->format, *job, job->name(),
           context->quiet ? "" : absl::StrCat(id, ": valid; nothing was submitted\n"), table);
  return absl::OkStatus();
}

void Announce(Context* context, const v1::Job& job, bool follows) {
  if (follows && context->format_given) return;  // the job is printed when it has ended
  const std::string id = ShortName(job.name());
  Console& console = context->console();
  PrintOne(&console, context->format, context->format_given ? WholeJob(context, job) : job,
           job.name(),
           context->quiet
               ? absl::StrCat(id, "\n")
               : absl::StrCat("jobId: ", id, "\nstate: ", v1::JobState_Name(job.state()), "\n"),
           JobTable({&job}, absl::Now()));
  console.Flush();
  if (context->quiet || context->format_given) return;
  if (follows) return console.ErrLine("Ctrl-C leaves it running");
  console.ErrLine(absl::StrCat("follow:  trainyard jobs logs -f ", id));
  if (IsTuning(job)) {
    console.ErrLine(absl::StrCat("trials:  trainyard trials ", id));
    console.ErrLine(absl::StrCat("best:    trainyard best ", id));
  } else {
    console.ErrLine(absl::StrCat("state:   trainyard jobs describe ", id));
  }
  console.ErrLine(absl::StrCat("stop:    trainyard jobs cancel ", id));
}

}  // namespace trainyard::cli
