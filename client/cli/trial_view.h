// How trials look: parameters as text, the table of trials, the progress of a tuning job. Pure but
// for FetchTrials; one thread.
#ifndef TRAINYARD_CLIENT_CLI_TRIAL_VIEW_H_
#define TRAINYARD_CLIENT_CLI_TRIAL_VIEW_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/output.h"
#include "trainyard/v1/job.pb.h"
#include "trainyard/v1/study.pb.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

// The study a job owns: its own name of it, or the one of the same id.
std::string StudyOf(const v1::Job& job);
// All trials of a study, ordered by id. Errors of the server.
absl::StatusOr<std::vector<v1::Trial>> FetchTrialsOf(client::Client* client,
                                                     const std::string& study,
                                                     bool with_measurements);
absl::StatusOr<std::vector<v1::Trial>> FetchTrials(client::Client* client, const v1::Job& job);

// "0.01", "339", "adam"; numbers as short as they read back the same.
std::string ValueText(const v1::ParameterValue& value);
std::string NumberText(double number);
// "lr=0.01 opt=adam"; numbers with four digits unless `exact`.
std::string ParametersText(const v1::Trial& trial, bool exact = true);
// Final value of a metric, or the last one measured.
std::optional<double> MetricOf(const v1::Trial& trial, const std::string& metric);
// The study's first metric, "" when it has none.
std::string ObjectiveOf(const v1::StudySpec& spec);
// The step of the measurement that the trial is judged by, and how far it went: "16 of 30", "30";
// "" when neither is known.
std::string StepText(const v1::Trial& trial);
// TRIAL_SUCCEEDED reads SUCCEEDED; a trial that was cancelled with its job reads CANCELLED.
std::string StateText(const v1::Trial& trial);
// The best finished trial by the first metric; null when none has it. Ties: the first.
const v1::Trial* BestOf(const std::vector<v1::Trial>& trials, const v1::StudySpec& spec);

// Columns: trial, state, objective, step, one a parameter, time, note (best, stopped early, why
// infeasible). Numbers have six digits for people, all of them when `exact`.
Table TrialTable(const std::vector<v1::Trial>& trials, const v1::StudySpec& spec, bool exact);

// Values as a line of block characters, scaled between their extremes; at most `width` of them, the
// newest. Not-a-number shows as a space.
std::string Sparkline(const std::vector<double>& values, size_t width);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_TRIAL_VIEW_H_
