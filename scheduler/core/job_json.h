// The job as JSON for the program (CLOUD_ML_JOB, CLUSTER_SPEC.job), with the key names programs of
// the managed services know. Pure.
#ifndef TRAINYARD_SCHEDULER_CORE_JOB_JSON_H_
#define TRAINYARD_SCHEDULER_CORE_JOB_JSON_H_

#include <string>

#include "absl/strings/string_view.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::core {

std::string JobJson(absl::string_view job_id, const v1::JobSpec& spec);

}  // namespace trainyard::core

#endif  // TRAINYARD_SCHEDULER_CORE_JOB_JSON_H_
