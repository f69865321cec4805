// The top of a job file: which shape it is, its common keys, and the answers of ParseJobSpec,
// ParseStudySpec and ValidateJobSpec. See spec.h.
#include "common/spec/parse.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/errors.h"
#include "common/names.h"
#include "common/spec/check.h"
#include "common/spec/limits.h"
#include "common/spec/resolve.h"
#include "common/spec/spec.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

enum class Shape { kUnknown, kCustomJobSpec, kCustomJob, kTuningJob, kMlEngine };

// Keys that tell the shape.
const std::vector<std::pair<std::string, Shape>>& Signs() {
  static const auto* const signs = new std::vector<std::pair<std::string, Shape>>{
      {"trainingInput", Shape::kMlEngine},  {"studySpec", Shape::kTuningJob},
      {"trialJobSpec", Shape::kTuningJob},  {"maxTrialCount", Shape::kTuningJob},
      {"jobSpec", Shape::kCustomJob},       {"workerPoolSpecs", Shape::kCustomJobSpec},
      {"trainyard", Shape::kCustomJobSpec}, {"displayName", Shape::kCustomJobSpec},
      {"jobId", Shape::kMlEngine},
  };
  return *signs;
}

// The first sign that stands in `root`, else the first that a key is near to.
Shape DetectShape(const Fields& root) {
  std::vector<std::string> names;
  for (const auto& [name, shape] : Signs()) {
    if (root.Has(name)) return shape;
    names.push_back(name);
  }
  for (const Node::Entry& entry : root.node().entries) {
    const std::string nearest = NearestName(CamelOf(entry.key), names);
    for (const auto& [name, shape] : Signs()) {
      if (name == nearest) return shape;
    }
  }
  return Shape::kUnknown;
}

// Keys of a TrainingInput or of a Vertex pool one level too high.
void HintLevel(Fields* root) {
  for (absl::string_view name : {"scaleTier", "pythonModule", "packageUris", "hyperparameters",
                                 "masterType", "runtimeVersion", "jobDir"}) {
    root->Misplaced(name, absl::StrCat("the key \"", name, "\" stands one level too high"),
                    absl::StrCat("put it below trainingInput:"));
  }
  for (absl::string_view name :
       {"containerSpec", "pythonPackageSpec", "machineSpec", "replicaCount"}) {
    root->Misplaced(name, absl::StrCat("the key \"", name, "\" stands one level too high"),
                    "put it below workerPoolSpecs: in a list item");
  }
}

void ReadCommon(Fields* root, JobDraft* draft) {
  root->Text("displayName", draft->spec.mutable_display_name());
  root->Bind("displayName", "displayName");
  root->TextMap("labels", draft->spec.mutable_labels());
  root->Bind("labels", "labels");
  root->Ignore({"encryptionSpec"}, "the store is on the team's own disks");
  root->Ignore({"name", "state", "createTime", "startTime", "endTime", "updateTime", "etag",
                "error", "errorMessage", "webAccessUris", "trainingOutput", "trials", "jobPosition",
                "satisfiesPzs", "satisfiesPzi"},
               "a server writes it, nobody reads it back");
}

void ReadJobId(Fields* root, JobDraft* draft) {
  root->Bind("jobId", "job_id");
  if (!root->Text("jobId", &draft->job_id) || CheckId("jobId", draft->job_id).ok()) return;
  root->Say("jobId", "BAD_NAME",
            absl::StrCat("\"", Shorten(draft->job_id), "\" is not allowed as a job id"),
            "a letter, then letters, digits, '_' or '-', at most 128 characters",
            absl::StrCat("for example ", SuggestId(draft->job_id)));
}

void ReadTuningJob(Fields* root, JobDraft* draft) {
  v1::JobSpec* spec = &draft->spec;
  if (std::optional<Fields> study = root->Map("studySpec")) {
    ReadStudy(&*study, "studySpec", spec->mutable_study_spec());
  } else {
    root->Say("", "MISSING_FIELD", "the tuning job has no study", "studySpec",
              "add studySpec with metrics and parameters");
  }
  const auto count = [&](absl::string_view name, int64_t min, void (v1::JobSpec::*set)(int64_t)) {
    int64_t value = 0;
    if (root->Integer(name, min, 1'000'000, &value)) (spec->*set)(value);
    root->Bind(name, name);
  };
  count("maxTrialCount", 1, &v1::JobSpec::set_max_trial_count);
  count("parallelTrialCount", 1, &v1::JobSpec::set_parallel_trial_count);
  count("maxFailedTrialCount", 0, &v1::JobSpec::set_max_failed_trial_count);
  if (std::optional<Fields> job = root->Map("trialJobSpec")) {
    job->BindSelf("program");
    ReadCustomJobSpec(&*job, draft);
    if (std::optional<Fields> own = job->Map("trainyard")) ReadTrainyard(&*own, draft);
    job->Finish();
  }
}

// Whether a section trainyard anywhere in the job has a command.
bool HasCommand(const Node& node, int depth) {
  for (const Node::Entry& entry : node.entries) {
    if (entry.key == "trainyard") {
      for (const Node::Entry& inner : entry.value->entries) {
        if (inner.key == "command") return true;
      }
    }
    const std::string camel = CamelOf(entry.key);
    const bool job = camel == "jobSpec" || camel == "trialJobSpec" || camel == "trainingInput";
    if (depth == 0 && job && HasCommand(*entry.value, 1)) return true;
  }
  return false;
}

void ReadInner(Fields* root, absl::string_view name, JobDraft* draft) {
  std::optional<Fields> inner = root->Map(name);
  if (!inner.has_value()) return;
  if (name == "trainingInput") {
    ReadTrainingInput(&*inner, draft);
  } else {
    inner->BindSelf("program");
    ReadCustomJobSpec(&*inner, draft);
  }
  if (std::optional<Fields> own = inner->Map("trainyard")) ReadTrainyard(&*own, draft);
  inner->Finish();
}

// Resources of the section trainyard over those of the pools; without pools, as a template.
void OverlayResources(const v1::Resources& over, v1::JobSpec* spec) {
  if (over.ByteSizeLong() == 0) return;
  if (spec->worker_pools().empty()) {
    *spec->add_worker_pools()->mutable_resources() = over;
    return;
  }
  for (v1::WorkerPool& pool : *spec->mutable_worker_pools()) {
    Overlay(over, pool.mutable_resources());
  }
}

// In order of line, at most kFaultsMax.
void Sort(v1::Faults* faults) {
  std::stable_sort(faults->mutable_faults()->begin(), faults->mutable_faults()->end(),
                   [](const v1::Fault& a, const v1::Fault& b) {
                     return std::pair(a.line(), a.column()) < std::pair(b.line(), b.column());
                   });
  if (faults->faults_size() <= kFaultsMax) return;
  v1::Fault last = faults->faults(kFaultsMax);
  faults->mutable_faults()->DeleteSubrange(kFaultsMax, faults->faults_size() - kFaultsMax);
  last.set_reason("SPEC_TOO_LARGE");
  last.clear_field();
  last.set_message(
      absl::StrCat("there are more than ", kFaultsMax, " faults; the rest is not shown"));
  last.set_expected("a job spec");
  last.set_fix("check that this file is the spec, or mend those above first");
  last.set_is_note(false);
  *faults->add_faults() = last;
}

std::string ParentOf(const std::string& path) {
  const size_t end = path.find_last_of(".[");
  return end == std::string::npos ? "" : path.substr(0, end);
}

std::string LeafOf(const std::string& path) { return path.substr(path.rfind('.') + 1); }

// Whether a check's fault about `canonical`, placed at `fault`, only follows from `old`: at the
// same field, or about a map in which `old` may well be the reason for what is missing.
bool Follows(const v1::Fault& fault, const std::string& canonical, bool exact,
             const v1::Fault& old) {
  if (old.is_note() || fault.is_note()) return false;
  if (old.field() == fault.field()) return true;
  // What is missing at the top has its own name, not that of the map it is missing in.
  const bool at_top = !exact && fault.field() == canonical && ParentOf(canonical).empty();
  if (ParentOf(old.field()) != (at_top ? "" : fault.field())) return false;
  return exact || old.reason() == "UNKNOWN_FIELD" ||
         CamelOf(LeafOf(old.field())) == LeafOf(canonical);
}

// Places and appends what the checks found, without what follows from faults that are there.
void AddChecked(const ParseResult& parsed, v1::Faults found, v1::Faults* faults) {
  const std::vector<v1::Fault> before(faults->faults().begin(), faults->faults().end());
  std::vector<std::string> canonical;
  for (const v1::Fault& fault : found.faults()) canonical.push_back(fault.field());
  PlaceFaults(parsed, &found);
  for (int i = 0; i < found.faults_size(); ++i) {
    const v1::Fault& fault = found.faults(i);
    const bool exact = parsed.places.count(canonical[i]) > 0;
    const bool follows = std::any_of(before.begin(), before.end(), [&](const v1::Fault& old) {
      return Follows(fault, canonical[i], exact, old);
    });
    if (!follows) *faults->add_faults() = fault;
  }
}

void TakeNotes(const v1::Faults& faults, v1::JobSpec* spec) {
  for (const v1::Fault& fault : faults.faults()) {
    if (fault.is_note()) AddNote(fault.message(), spec);
  }
}

bool OnlyNotes(const v1::Faults& faults) {
  return std::all_of(faults.faults().begin(), faults.faults().end(),
                     [](const v1::Fault& fault) { return fault.is_note(); });
}

struct Parsed {
  ParseResult result;
  bool known_shape = false;
};

Parsed Parse(absl::string_view text, absl::string_view file_name) {
  Parsed parsed;
  ParseResult& result = parsed.result;
  result.file_name = std::string(file_name);
  Context context(file_name);
  const NodePtr node = ParseYaml(text, file_name, context.faults());
  if (node != nullptr) {
    JobDraft draft;
    Fields root(&context, node, "");
    ReadRoot(&root, &draft);
    OverlayResources(draft.resources, &draft.spec);
    result.spec = std::move(draft.spec);
    result.job_id = std::move(draft.job_id);
    parsed.known_shape = draft.known_shape;
  }
  result.faults = *context.faults();
  result.places = *context.places();
  return parsed;
}

}  // namespace

void ReadRoot(Fields* root, JobDraft* draft) {
  root->BindSelf("");
  draft->command_elsewhere = HasCommand(root->node(), 0);
  const Shape shape = DetectShape(*root);
  draft->known_shape = shape != Shape::kUnknown;
  ReadCommon(root, draft);
  switch (shape) {
    case Shape::kMlEngine:
      ReadJobId(root, draft);
      root->Refuse("predictionInput", "batch prediction", "submit a training job");
      ReadInner(root, "trainingInput", draft);
      break;
    case Shape::kTuningJob:
      ReadTuningJob(root, draft);
      break;
    case Shape::kCustomJob:
      ReadInner(root, "jobSpec", draft);
      break;
    case Shape::kCustomJobSpec:
      ReadCustomJobSpec(root, draft);
      break;
    case Shape::kUnknown:
      for (const auto& [name, sign] : Signs()) root->Value(name);
      break;
  }
  if (std::optional<Fields> own = root->Map("trainyard")) {
    own->BindSelf("program");
    ReadTrainyard(&*own, draft);
  }
  HintLevel(root);
  root->Finish();
}

bool ParseResult::ok() const { return OnlyNotes(faults); }
bool StudyParseResult::ok() const { return OnlyNotes(faults); }

void PlaceFaults(const ParseResult& parsed, v1::Faults* faults) {
  for (v1::Fault& fault : *faults->mutable_faults()) {
    if (fault.line() > 0) continue;
    std::string path = fault.field();
    auto it = parsed.places.find(path);
    while (it == parsed.places.end() && !path.empty()) {
      path = ParentOf(path);
      it = parsed.places.find(path);
    }
    if (it == parsed.places.end()) continue;
    fault.set_file(parsed.file_name);
    // What is missing at the top keeps its own name.
    if (!path.empty()) fault.set_field(it->second.field);
    fault.set_line(it->second.line);
    fault.set_column(it->second.column);
  }
}

ParseResult ParseJobSpec(absl::string_view text, absl::string_view file_name) {
  Parsed parsed = Parse(text, file_name);
  ParseResult& result = parsed.result;
  if (parsed.known_shape) {
    v1::Faults found;
    Checker checker(&found);
    CheckValues(result.spec, &checker);
    AddChecked(result, std::move(found), &result.faults);
  }
  Sort(&result.faults);
  TakeNotes(result.faults, &result.spec);
  return std::move(parsed.result);
}

ParseResult ValidateJobSpec(absl::string_view text, absl::string_view file_name,
                            const TierTable& tiers) {
  Parsed parsed = Parse(text, file_name);
  ParseResult& result = parsed.result;
  if (parsed.known_shape) {
    v1::Faults found;
    Checker checker(&found);
    CheckValues(result.spec, &checker);
    TakeNotes(result.faults, &result.spec);
    FillJobSpec(tiers, &result.spec, &found);
    const bool told = std::any_of(found.faults().begin(), found.faults().end(),
                                  [](const auto& f) { return f.field() == "launch.minReplicas"; });
    if (!told) CheckElastic(result.spec, &checker);
    CheckComplete(result.spec, &checker);
    AddChecked(result, std::move(found), &result.faults);
  }
  Sort(&result.faults);
  return std::move(parsed.result);
}

StudyParseResult ParseStudySpec(absl::string_view text, absl::string_view file_name) {
  StudyParseResult result;
  Context context(file_name);
  if (const NodePtr node = ParseYaml(text, file_name, context.faults()); node != nullptr) {
    Fields root(&context, node, "");
    if (std::optional<Fields> inner = root.Map("studySpec")) {
      ReadStudy(&*inner, "", &result.spec);
      root.Finish();
    } else {
      ReadStudy(&root, "", &result.spec);
    }
    ParseResult places;
    places.file_name = std::string(file_name);
    places.places = *context.places();
    v1::Faults found;
    Checker checker(&found);
    CheckStudy(result.spec, "", &checker);
    AddChecked(places, std::move(found), context.faults());
  }
  result.faults = *context.faults();
  Sort(&result.faults);
  return result;
}

}  // namespace trainyard::spec
