// The pieces of the parser: one function for each shape. All faults go to the context of the
// fields. Not thread-safe; internal to common/spec.
#ifndef TRAINYARD_COMMON_SPEC_PARSE_H_
#define TRAINYARD_COMMON_SPEC_PARSE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/spec/reader.h"
#include "trainyard/v1/spec.pb.h"

namespace trainyard::spec {

// What is gathered while one job file is read.
struct JobDraft {
  v1::JobSpec spec;
  std::string job_id;
  v1::Resources resources;         // of the section trainyard, over every pool
  bool command_elsewhere = false;  // trainyard.command stands in for image or module
  bool known_shape = true;
};

// Reads the whole file into `draft`.
void ReadRoot(Fields* root, JobDraft* draft);
// {workerPoolSpecs, scheduling, ...}
void ReadCustomJobSpec(Fields* fields, JobDraft* draft);
// {scaleTier, masterType, pythonModule, args, hyperparameters, ...}
void ReadTrainingInput(Fields* fields, JobDraft* draft);
// {metrics, parameters, algorithm, ...}; `path` is its place in the JobSpec, "studySpec" or "".
void ReadStudy(Fields* fields, const std::string& path, v1::StudySpec* study);
// {goal, params, maxTrials, ...}
void ReadHyperparameters(Fields* fields, JobDraft* draft);
// Our own section.
void ReadTrainyard(Fields* fields, JobDraft* draft);
// Its keys about studies, also allowed as studySpec.trainyard.
void ReadStudyAdditions(Fields* fields, const std::string& path, v1::StudySpec* study);

// acceleratorType and acceleratorCount (or type and count) into `resources`.
void ReadAccelerator(Fields* fields, absl::string_view type, absl::string_view count,
                     v1::Resources* resources);
// Adds a package by its name; a fault at `field` of `fields` for one that is no package.
void AddPackage(Fields* fields, absl::string_view field, const std::string& uri,
                v1::Program* program);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_PARSE_H_
