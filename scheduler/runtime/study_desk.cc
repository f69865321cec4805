// See study_desk.h.
#include "scheduler/runtime/study_desk.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "scheduler/core/core.h"

namespace trainyard::runtime {
namespace {

constexpr int kSuggestionsMax = 256;    // in one job
constexpr int kModelledMax = 16;        // of those that take milliseconds each
constexpr int kPage = 1000;             // trials of an earlier study at a time
constexpr int64_t kLookUs = 5'000'000;  // between looks at studies that may end by time

tuning::TrialRecord RecordOf(journal::v1::TrialRow row, int64_t begin_us) {
  tuning::TrialRecord record;
  record.id = row.id();
  record.state = row.state();
  record.parameters.assign(std::make_move_iterator(row.mutable_parameters()->begin()),
                           std::make_move_iterator(row.mutable_parameters()->end()));
  record.measurements.assign(std::make_move_iterator(row.mutable_measurements()->begin()),
                             std::make_move_iterator(row.mutable_measurements()->end()));
  if (row.has_final_measurement()) record.final_measurement = row.final_measurement();
  record.stopped_early = row.stopped_early();
  record.held = row.held() && !core::HasEnded(row);
  record.resumed_step = row.resumed_step();
  record.end_seconds = static_cast<double>(std::max(row.end_us(), begin_us) - begin_us) / 1e6;
  return record;
}

// How many suggestions one job makes: others, and what running trials report, wait that long.
int MostAtOnce(const v1::StudySpec& spec) {
  const bool has_model = spec.algorithm() == v1::StudySpec::ALGORITHM_UNSPECIFIED ||
                         spec.algorithm() == v1::StudySpec::GP;
  return has_model ? kModelledMax : kSuggestionsMax;
}

// The studies that the study learns from, as they were when it was made. One that is gone teaches
// nothing.
std::vector<tuning::EarlierStudy> EarlierOf(const journal::v1::StudyRow& study, const View& view) {
  std::vector<tuning::EarlierStudy> earlier;
  for (const uint64_t uid : study.earlier()) {
    const core::StudyPtr row = view.Study(uid);
    if (row == nullptr) continue;
    tuning::EarlierStudy one;
    one.spec = row->spec();
    int32_t last = 0;
    for (auto page = view.Trials(uid, last, kPage); !page.empty();
         page = view.Trials(uid, last, kPage)) {
      for (const core::TrialPtr& trial : page) {
        last = trial->id();
        if (core::HasEnded(*trial) && trial->revision() <= study.earlier_revision()) {
          one.trials.push_back(RecordOf(*trial, row->create_us()));
        }
      }
    }
    earlier.push_back(std::move(one));
  }
  return earlier;
}

core::ApplySuggestions SuggestionsOf(const StudyJob& job, tuning::SuggestResult result) {
  core::ApplySuggestions command;
  command.study_uid = job.study->uid();
  command.first_trial = job.first_trial;
  int32_t id = job.first_trial;
  for (tuning::Suggestion& suggestion : result.suggestions) {
    journal::v1::TrialsSuggested::Suggestion row;
    row.set_trial(id++);
    for (v1::ParameterValue& value : suggestion.parameters) {
      *row.add_parameters() = std::move(value);
    }
    row.set_seed(suggestion.seed);
    row.set_origin(suggestion.origin);
    row.set_same_as(suggestion.same_as);
    command.suggestions.push_back(std::move(row));
  }
  // An optimiser that offers nothing must not be asked for ever.
  command.exhausted = result.exhausted || command.suggestions.empty();
  return command;
}

core::ApplyStops StopsOf(const StudyJob& job, tuning::Optimizer* optimizer) {
  core::ApplyStops command;
  command.study_uid = job.study->uid();
  for (tuning::StopAdvice& advice : optimizer->AdviseStops()) {
    auto& list = advice.may_resume ? command.holds : command.stops;
    list.emplace_back(advice.trial, std::move(advice.reason));
  }
  command.resumes = optimizer->AdviseResumes();
  const v1::TrialCounts& counts = job.study->counts();
  const int64_t most = job.study->max_trials();
  const bool no_more = job.study->exhausted() || (most > 0 && job.first_trial > most);
  command.stop_held = no_more && command.resumes.empty() && counts.held() > 0 &&
                      counts.active() + counts.stopping() == 0 &&
                      counts.requested() == counts.held();
  return command;
}

}  // namespace

StudyAnswer Think(const StudyJob& job, const View& view) {
  StudyAnswer answer;
  answer.study_uid = job.study->uid();
  if (job.brain->optimizer == nullptr) {
    auto made =
        tuning::MakeOptimizer(job.study->spec(), job.study->seed(), EarlierOf(*job.study, view));
    if (!made.ok()) {
      answer.status = made.status();
      answer.commands.push_back(core::ApplyStudyStop{
          answer.study_uid, absl::StrCat("no optimiser: ", made.status().message())});
      return answer;
    }
    job.brain->optimizer = *std::move(made);
  }
  tuning::Optimizer& optimizer = *job.brain->optimizer;
  for (const core::KeptTrial& trial : job.changed) {
    optimizer.Observe(RecordOf(trial.Copy(), job.study->create_us()));
  }
  core::ApplyStops stops = StopsOf(job, &optimizer);
  // What goes on takes the place of new trials; those who ask for trials themselves have none.
  const int count = job.count - static_cast<int>(stops.resumes.size());
  if (!stops.empty()) answer.commands.push_back(std::move(stops));
  if (count > 0) {
    auto result = optimizer.Suggest(job.first_trial, count);
    if (!result.ok()) {
      answer.status = result.status();
      answer.commands.push_back(core::ApplyStudyStop{
          answer.study_uid, absl::StrCat("no suggestion: ", result.status().message())});
      return answer;
    }
    answer.commands.push_back(SuggestionsOf(job, *std::move(result)));
  }
  tuning::StudyStop end = optimizer.AdviseStudy(job.elapsed_seconds);
  if (end.stop) {
    answer.commands.push_back(core::ApplyStudyStop{answer.study_uid, std::move(end.reason)});
  }
  return answer;
}

void StudyDesk::Update(const core::State& state, const core::Touched& touched) {
  for (const uint64_t uid : touched.studies) {
    stirred_ = true;
    if (state.live_studies.contains(uid)) {
      desks_.try_emplace(uid);
    } else if (const auto desk = desks_.find(uid);
               desk != desks_.end() && !desk->second.busy && desk->second.waiting.empty()) {
      desks_.erase(desk);
    }
  }
  // Whether a job is held back, or paused, says whether its study may begin trials.
  for (const uint64_t uid : touched.jobs) {
    const auto job = state.jobs.find(uid);
    stirred_ |= job != state.jobs.end() && state.live_studies.contains(job->second->study_uid());
  }
  for (const auto& [uid, id] : touched.trials) {
    stirred_ = true;
    if (state.live_studies.contains(uid)) desks_[uid].changed.insert(id);
  }
}

void StudyDesk::Refill(const core::State& state) {
  for (const uint64_t uid : state.live_studies) desks_.try_emplace(uid);
  for (const auto& [key, trial] : state.trials) {
    if (state.live_studies.contains(key.first)) desks_[key.first].changed.insert(key.second);
  }
  stirred_ = true;
}

void StudyDesk::Ask(uint64_t study_uid, int count, Asked asked) {
  desks_[study_uid].waiting.emplace_back(count, std::move(asked));
  stirred_ = true;
}

std::vector<StudyDesk::Asked> StudyDesk::Finish(uint64_t study_uid) {
  stirred_ = true;
  const auto desk = desks_.find(study_uid);
  if (desk == desks_.end()) return {};
  desk->second.busy = false;
  return std::exchange(desk->second.served, {});
}

std::vector<StudyDesk::Asked> StudyDesk::Hopeless(const core::State& state) {
  std::vector<Asked> hopeless;
  if (!stirred_) return hopeless;
  for (auto& [uid, desk] : desks_) {
    if (desk.waiting.empty() || state.live_studies.contains(uid)) continue;
    for (auto& [count, asked] : std::exchange(desk.waiting, {})) {
      hopeless.push_back(std::move(asked));
    }
  }
  return hopeless;
}

void StudyDesk::LookAtTimed(int64_t now_us) {
  if (timed_.empty() || now_us < next_look_us_) return;
  next_look_us_ = now_us + kLookUs;
  for (const uint64_t uid : timed_) {
    if (const auto desk = desks_.find(uid); desk != desks_.end()) desk->second.look = true;
  }
  stirred_ = true;
}

std::vector<StudyJob> StudyDesk::Collect(const core::State& state, int64_t now_us) {
  std::vector<StudyJob> jobs;
  LookAtTimed(now_us);
  if (!stirred_) return jobs;
  stirred_ = false;
  std::map<uint64_t, int> needs;
  for (const core::SuggestionNeed& need : core::NeededSuggestions(state)) {
    needs[need.study_uid] = need.count;
    desks_.try_emplace(need.study_uid);
  }
  for (auto it = desks_.begin(); it != desks_.end();) {
    auto& [uid, desk] = *it;
    const auto study = state.studies.find(uid);
    const bool live = state.live_studies.contains(uid) && study != state.studies.end();
    if (!desk.busy && !live && desk.waiting.empty()) {
      timed_.erase(uid);
      it = desks_.erase(it);
      continue;
    }
    int count = needs[uid];
    const int most = live ? MostAtOnce(study->second->spec()) : 0;
    while (!desk.busy && live && !desk.waiting.empty() && count < most) {
      count += desk.waiting.front().first;
      desk.served.push_back(std::move(desk.waiting.front().second));
      desk.waiting.pop_front();
    }
    const bool due = count > 0 || !desk.changed.empty() || desk.look || !desk.served.empty();
    if (!desk.busy && live && due) {
      desk.look = false;
      if (study->second->spec().has_study_stopping()) timed_.insert(uid);
      StudyJob job;
      job.study = study->second;
      job.brain = desk.brain;
      for (const int32_t id : std::exchange(desk.changed, {})) {
        const auto trial = state.trials.find({uid, id});
        if (trial != state.trials.end()) job.changed.push_back(trial->second);
      }
      job.first_trial = study->second->next_trial();
      job.count = std::min(count, most);
      job.elapsed_seconds = static_cast<double>(now_us - study->second->create_us()) / 1e6;
      desk.busy = true;
      jobs.push_back(std::move(job));
    }
    ++it;
  }
  return jobs;
}

}  // namespace trainyard::runtime
