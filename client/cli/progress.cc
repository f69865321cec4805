// See progress.h.
#include "client/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/cli/trial_view.h"
#include "client/cli/waiting.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

constexpr absl::Duration kRefresh = absl::Milliseconds(400);
constexpr int kBarCells = 24;
constexpr size_t kSparkCells = 40;
constexpr int kActiveShownMax = 8;
constexpr int64_t kTrialsWithCurvesMax = 100;

bool HasEnded(const v1::Trial& trial) {
  return trial.state() == v1::TRIAL_SUCCEEDED || trial.state() == v1::INFEASIBLE;
}

int64_t TotalOf(const v1::Job& job, const std::vector<v1::Trial>& trials) {
  return std::max<int64_t>(job.spec().max_trial_count(), static_cast<int64_t>(trials.size()));
}

std::string Bar(int64_t done, int64_t total, bool color) {
  const int64_t cells = total > 0 ? std::min<int64_t>(kBarCells, done * kBarCells / total) : 0;
  std::string full;
  for (int64_t i = 0; i < cells; ++i) full += "█";
  std::string rest;
  for (int64_t i = cells; i < kBarCells; ++i) rest += "░";
  return absl::StrCat(Styled(full, Style::kGreen, color), Styled(rest, Style::kDim, color));
}

// The best value after each ended trial, in the order of their ends.
std::vector<double> BestSoFar(const std::vector<v1::Trial>& trials, const v1::StudySpec& spec) {
  std::vector<const v1::Trial*> ended;
  for (const v1::Trial& trial : trials) {
    if (trial.state() == v1::TRIAL_SUCCEEDED) ended.push_back(&trial);
  }
  std::stable_sort(ended.begin(), ended.end(), [](const v1::Trial* a, const v1::Trial* b) {
    return TimeOf(a->end_time()) < TimeOf(b->end_time());
  });
  const bool minimize =
      spec.metrics_size() > 0 && spec.metrics(0).goal() == v1::StudySpec::MINIMIZE;
  std::vector<double> best;
  for (const v1::Trial* trial : ended) {
    const std::optional<double> value = MetricOf(*trial, ObjectiveOf(spec));
    if (!value.has_value() || std::isnan(*value)) continue;
    const double before = best.empty() ? *value : best.back();
    best.push_back(minimize ? std::min(before, *value) : std::max(before, *value));
  }
  return best;
}

std::string Clip(std::string line, int columns) {
  // Styled lines are short by construction; plain ones are cut to the width.
  if (line.size() > static_cast<size_t>(columns) && line.find('\x1b') == std::string::npos) {
    size_t end = static_cast<size_t>(columns);
    while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    line.resize(end);
  }
  return line + "\n";
}

std::string BestLine(const std::vector<v1::Trial>& trials, const v1::StudySpec& spec) {
  const v1::Trial* best = BestOf(trials, spec);
  if (best == nullptr) return "best      none yet";
  return absl::StrFormat("best      %.6g  trial %d  %s",
                         MetricOf(*best, ObjectiveOf(spec)).value_or(0), best->id(),
                         ParametersText(*best, /*exact=*/false));
}

// Erases what the last frame drew and shows the next.
class Display {
 public:
  explicit Display(Console* console) : console_(console) {}
  void Show(const std::string& frame) {
    std::string out;
    if (lines_ > 0) absl::StrAppend(&out, "\x1b[", lines_, "A\x1b[J");
    absl::StrAppend(&out, frame);
    console_->Err(out);
    lines_ = std::count(frame.begin(), frame.end(), '\n');
  }

 private:
  Console* console_;
  int64_t lines_ = 0;
};

// Prints each ended trial once, and the state when it changes.
class Lines {
 public:
  explicit Lines(Console* console) : console_(console) {}
  void Show(const v1::Job& job, const std::vector<v1::Trial>& trials) {
    const v1::StudySpec& spec = job.spec().study_spec();
    const v1::Trial* best = BestOf(trials, spec);
    for (const v1::Trial& trial : trials) {
      if (!HasEnded(trial) || !told_.insert(trial.id()).second) continue;
      console_->ErrLine(absl::StrCat("[", told_.size(), "/", TotalOf(job, trials), "] ",
                                     TrialLine(trial, spec, &trial == best)));
    }
    if (job.state() != state_) {
      state_ = job.state();
      console_->ErrLine(absl::StrCat(ShortName(job.name()), ": ", v1::JobState_Name(state_)));
    }
  }

 private:
  Console* console_;
  std::set<int32_t> told_;
  v1::JobState state_ = v1::JOB_STATE_UNSPECIFIED;
};

}  // namespace

std::string TrialLine(const v1::Trial& trial, const v1::StudySpec& spec, bool best) {
  std::string line = absl::StrCat("trial ", trial.id(), " ", StateText(trial));
  const std::optional<double> value = MetricOf(trial, ObjectiveOf(spec));
  if (value.has_value()) absl::StrAppendFormat(&line, " %s=%.6g", ObjectiveOf(spec), *value);
  if (best) absl::StrAppend(&line, " (best so far)");
  if (trial.stopped_early()) absl::StrAppend(&line, " (stopped early)");
  absl::StrAppend(&line, " ", ParametersText(trial, /*exact=*/false));
  if (!trial.infeasible_reason().empty()) {
    absl::StrAppend(&line, ": ",
                    trial.infeasible_reason().substr(0, trial.infeasible_reason().find('\n')));
  }
  return line;
}

std::string ProgressFrame(const v1::Job& job, const std::vector<v1::Trial>& trials,
                          absl::Duration elapsed, int columns, bool color) {
  const v1::StudySpec& spec = job.spec().study_spec();
  const int64_t done = std::count_if(trials.begin(), trials.end(), HasEnded);
  const int64_t early = std::count_if(trials.begin(), trials.end(),
                                      [](const v1::Trial& t) { return t.stopped_early(); });
  const int64_t bad = std::count_if(trials.begin(), trials.end(),
                                    [](const v1::Trial& t) { return t.state() == v1::INFEASIBLE; });
  std::string out = Clip(absl::StrCat(ShortName(job.name()), "  ", v1::JobState_Name(job.state()),
                                      "  ", ShortDuration(elapsed)),
                         columns);
  absl::StrAppend(&out, "trials    ", Bar(done, TotalOf(job, trials), color), " ", done, "/",
                  TotalOf(job, trials), early > 0 ? absl::StrCat("  stopped early ", early) : "",
                  bad > 0 ? absl::StrCat("  infeasible ", bad) : "", "\n");
  absl::StrAppend(&out, Clip(BestLine(trials, spec), columns));
  const std::vector<double> curve = BestSoFar(trials, spec);
  if (curve.size() > 1) {
    absl::StrAppend(&out, Clip(absl::StrCat("          ", Sparkline(curve, kSparkCells)), columns));
  }
  int shown = 0;
  for (const v1::Trial& trial : trials) {
    if (HasEnded(trial) || trial.state() == v1::REQUESTED || ++shown > kActiveShownMax) continue;
    const std::optional<double> value = MetricOf(trial, ObjectiveOf(spec));
    absl::StrAppend(
        &out,
        Clip(absl::StrFormat("  %-8s %-9s step %-5d %-10s %s", absl::StrCat("trial ", trial.id()),
                             StateText(trial), trial.last_step(),
                             value.has_value() ? absl::StrFormat("%.4g", *value) : std::string("-"),
                             ParametersText(trial, /*exact=*/false)),
             columns));
  }
  if (job.state() == v1::QUEUED && !job.waiting_reason().empty()) {
    absl::StrAppend(&out, Clip(absl::StrCat("waiting   ", job.waiting_reason()), columns));
  }
  return out;
}

absl::Status ShowProgress(Context* context, const v1::Job& submitted, bool patient) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  Console& console = context->console();
  const std::string id = ShortName(submitted.name());
  const DetachOnInterrupt detach(absl::StrCat("\n", id, " goes on; see: trainyard trials ", id,
                                              "; stop it: trainyard jobs cancel ", id, "\n"));
  v1::GetJobRequest request;
  request.set_name(submitted.name());
  const absl::Time start = absl::Now();
  const bool live = console.err_is_terminal && console.err_color;
  Display display(&console);
  Lines lines(&console);
  // The live display shows the reason itself.
  const auto say = [&](absl::string_view line) {
    if (!live && !context->quiet) console.ErrLine(line);
  };
  WaitingTeller teller(*client, patient, say);
  while (true) {
    const absl::StatusOr<v1::Job> job = (*client)->GetJob(request);
    if (!job.ok()) return job.status();
    // Running trials show their last value, which only whole curves have.
    const absl::StatusOr<std::vector<v1::Trial>> trials = FetchTrialsOf(
        *client, StudyOf(*job), live && job->spec().max_trial_count() <= kTrialsWithCurvesMax);
    if (!trials.ok()) return trials.status();
    if (live) {
      display.Show(
          ProgressFrame(*job, *trials, absl::Now() - start, console.columns, console.err_color));
    } else {
      lines.Show(*job, *trials);
    }
    if (client::IsTerminal(job->state())) {
      if (job->state() == v1::SUCCEEDED) TellBest(context, *client, *job);
      return VerdictOf(*job);
    }
    if (absl::Status status = teller.Look(*job); !status.ok()) return status;
    absl::SleepFor(kRefresh);
  }
}

}  // namespace trainyard::cli
