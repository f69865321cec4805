// See create_flags.h.
#include "client/cli/create_flags.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/cli/queue_flags.h"
#include "common/errors.h"
#include "common/names.h"

namespace trainyard::cli {

std::vector<Flag> CreateFlags() {
  std::vector<Flag> flags = {
      {.name = "config",
       .value = "FILE",
       .help = "YAML or JSON of the job; flags win",
       .complete = Complete::kFile},
      {.name = "display-name",
       .value = "NAME",
       .help = "for people; gives the id when JOB is absent"},
      {.name = "package-path",
       .value = "FOLDER",
       .help = "the Python package, with or without a setup.py beside it",
       .complete = Complete::kFolder},
      {.name = "python-package-uris",
       .value = "FILE,...",
       .help = "source archives and wheels to install",
       .complete = Complete::kFile,
       .repeated = true},
      {.name = "labels", .value = "K=V,...", .help = "kept with the job", .repeated = true},
      {.name = "job-dir", .value = "URI", .help = "passed to the program as --job-dir"},
      {.name = "stream", .help = "follow until the job ends; exit code 8 when it fails"},
      {.name = "validate-only", .help = "check with the scheduler, submit nothing"},
      {.name = "region", .value = "R", .help = "kept with the job"},
      {.name = "service-account", .value = "NAME", .quiet = true},
      {.name = "network", .value = "NAME", .quiet = true},
      {.name = "kms-key", .value = "NAME", .quiet = true},
      {.name = "enable-web-access", .quiet = true},
      {.name = "enable-dashboard-access", .quiet = true},
      {.name = "persistent-resource-id", .value = "ID", .quiet = true},
  };
  for (const Flag& flag : QueueFlags()) flags.push_back(flag);
  return flags;
}

bool ReadCreateFlags(Context* context, const Arguments& arguments, Submission* submission,
                     FaultList* faults) {
  const bool config_ok = !arguments.Has("config") ||
                         faults->Add(ReadConfig(context, arguments.Get("config"), submission));
  v1::JobSpec& spec = submission->spec;
  if (arguments.Has("display-name")) spec.set_display_name(arguments.Get("display-name"));
  if (arguments.Has("region")) spec.set_region(arguments.Get("region"));
  if (arguments.Has("job-dir")) spec.set_job_dir(arguments.Get("job-dir"));
  faults->Add(ReadQueueFlags(arguments, &spec));
  for (const auto& [flag, field] :
       {std::pair("job-dir", "jobDir"), std::pair("labels", "labels"),
        std::pair("display-name", "displayName"), std::pair("max-trial-count", "maxTrialCount"),
        std::pair("parallel-trial-count", "parallelTrialCount"),
        std::pair("max-failed-trial-count", "maxFailedTrialCount"),
        std::pair("algorithm", "studySpec.algorithm")}) {
    if (arguments.Has(flag)) submission->flags[field] = absl::StrCat("--", flag);
  }
  NameQueueFlags(arguments, &submission->flags);
  const auto labels = arguments.Pairs("labels");
  if (faults->Add(labels)) {
    for (const auto& [key, value] : *labels) (*spec.mutable_labels())[key] = value;
  }
  if (!arguments.words().empty()) {
    submission->job_id = arguments.Word(0);
  } else if (submission->job_id.empty() && !spec.display_name().empty()) {
    submission->job_id = IdFromName(spec.display_name());
    submission->may_rename = true;
  }
  const bool typed = !arguments.words().empty();
  if (!submission->job_id.empty() && (config_ok || typed)) {
    faults->Add(CheckJobId(submission->job_id));
  }
  return config_ok;
}

}  // namespace trainyard::cli
