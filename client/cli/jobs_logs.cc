// trainyard jobs logs (also: logs, jobs stream-logs): what the ranks printed, and what they print
// now. With -o jsonl a line each, with -o json one array; the text as text.
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/follow_job.h"
#include "client/cli/job_parts.h"
#include "client/cli/job_view.h"
#include "client/cli/output.h"
#include "client/cli/yaml.h"
#include "client/sdk/client.h"
#include "client/sdk/follow.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kRankMax = 1 << 20;

// The message as JSON, but with the text as text: bytes that are no UTF-8 are replaced.
nlohmann::ordered_json LineJson(const v1::LogLine& line) {
  nlohmann::ordered_json json;
  json["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", TimeOf(line.time()), absl::UTCTimeZone());
  if (line.trial() != 0) json["trial"] = line.trial();
  json["rank"] = line.rank();
  json["isStderr"] = line.is_stderr();
  // Through a dump that replaces, so that what follows is valid UTF-8.
  json["text"] = nlohmann::ordered_json::parse(
      nlohmann::ordered_json(line.text())
          .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  json["node"] = line.node();
  json["cursor"] = line.cursor();
  return json;
}

std::string Shown(Format format, const v1::LogLine& line, const LineLabels& labels) {
  switch (format) {
    case Format::kJson:
      return LineJson(line).dump();
    case Format::kJsonLines:
      return LineJson(line).dump() + "\n";
    case Format::kYaml:
      return YamlOf(nlohmann::ordered_json::array({LineJson(line)}));
    case Format::kCsv: {
      Table row;
      row.headers = {
          absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", TimeOf(line.time()), absl::UTCTimeZone()),
          absl::StrCat(line.trial()), absl::StrCat(line.rank()),
          line.is_stderr() ? "stderr" : "stdout", line.text()};
      return FormatCsv(row);
    }
    case Format::kName:
    case Format::kTable:
      return FormatLogLine(line, labels) + "\n";
  }
  return "";
}

absl::StatusOr<v1::TailLogsRequest> RequestOf(const Arguments& arguments) {
  v1::TailLogsRequest request;
  const absl::StatusOr<int64_t> trial = arguments.Int("trial", 0, 1, INT32_MAX);
  const absl::StatusOr<int64_t> rank = arguments.Int("rank", -1, 0, kRankMax);
  const absl::StatusOr<int64_t> tail = arguments.Int("tail", 0, 1, INT32_MAX);
  for (const auto* number : {&trial, &rank, &tail}) {
    if (!number->ok()) return number->status();
  }
  request.set_trial(static_cast<int32_t>(*trial));
  request.set_rank(static_cast<int32_t>(*rank));
  request.set_all_ranks(*rank < 0);
  request.set_tail_lines(static_cast<int32_t>(*tail));
  request.set_cursor(arguments.Get("cursor"));
  request.set_follow(arguments.Has("follow"));
  return request;
}

// Lines in the format asked for; what stands around them makes json one array.
class LinePrinter {
 public:
  LinePrinter(Console* console, Format format, const LineLabels& labels)
      : console_(console), format_(format), labels_(labels) {
    if (format == Format::kCsv) console->Out("time,trial,rank,stream,text\r\n");
    if (format == Format::kJson) console->Out("[");
  }
  void Print(const v1::LogLine& line) {
    if (format_ == Format::kJson) console_->Out(count_ > 0 ? ",\n" : "\n");
    ++count_;
    console_->Out(Shown(format_, line, labels_));
  }
  void Finish() {
    if (format_ == Format::kJson) console_->Out(count_ > 0 ? "\n]\n" : "]\n");
    if (format_ == Format::kYaml && count_ == 0) console_->Out("[]\n");
    console_->Flush();
  }
  int64_t count() const { return count_; }

 private:
  Console* console_;
  Format format_;
  LineLabels labels_;
  int64_t count_ = 0;
};

// On stderr, why there is nothing to see.
void SayEmpty(Context* context, client::Client* client, const v1::Job& job) {
  if (context->quiet) return;
  const std::string id = ShortName(job.name());
  v1::ExplainJobRequest request;
  request.set_name(job.name());
  const absl::StatusOr<v1::ExplainJobResponse> why = client->ExplainJob(request);
  const std::string reason = why.ok() && !why->message().empty()
                                 ? absl::StrCat(": it ", why->message())
                                 : absl::StrCat(": it is ", v1::JobState_Name(job.state()));
  const bool ended = client::IsTerminal(job.state());
  context->console().ErrLine(
      absl::StrCat(ended ? "Nothing was printed" : "Nothing is printed yet", ended ? "" : reason,
                   ended ? "" : absl::StrCat("; follow it: trainyard jobs logs -f ", id)));
}

absl::Status Logs(Context* context, const Arguments& arguments, bool follow) {
  absl::StatusOr<v1::TailLogsRequest> request = RequestOf(arguments);
  if (!request.ok()) return request.status();
  const absl::StatusOr<std::string> name = context->JobNameOf(arguments.Word(0));
  if (!name.ok()) return name.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  request->set_name(*name);
  request->set_follow(request->follow() || follow);
  v1::GetJobRequest get;
  get.set_name(*name);
  const absl::StatusOr<v1::Job> job = (*client)->GetJob(get);
  if (!job.ok()) return job.status();
  absl::Status status = CheckTrial(*client, *job, request->trial());
  if (status.ok()) status = CheckRank(*job, request->rank());
  if (!status.ok()) return status;
  Console& console = context->console();
  LinePrinter printer(&console, context->format, LabelsFor(*job));
  const auto print = [&](const v1::LogLine& line) { printer.Print(line); };
  const auto flush = [&] { console.Flush(); };
  if (request->follow()) {
    status = FollowLog(context, *request, {.patient = true, .say_success = true, .whole = true},
                       print, flush);
  } else {
    const auto go_on = [&](const v1::LogLine& line) {
      printer.Print(line);
      return true;
    };
    status = client::FollowLogs(*client, *request, go_on, flush);
  }
  printer.Finish();
  if (status.ok() && printer.count() == 0 && !request->follow()) {
    SayEmpty(context, *client, *job);
  }
  return status;
}

Command Make(const char* words, absl::Status (*run)(Context*, const Arguments&)) {
  Command command;
  command.words = words;
  command.summary = "Print a job's log; -f follows it until the job ends.";
  command.examples = {"trainyard jobs logs -f iris_1",
                      "trainyard jobs logs digits --trial 3 --rank 0",
                      "trainyard jobs logs iris_1 --tail 20 -o jsonl"};
  command.positionals = {{.name = "JOB", .complete = Complete::kJob}};
  command.flags = {
      {.name = "follow", .help = "go on until the job ends", .letter = 'f'},
      {.name = "trial", .value = "N", .help = "of this trial alone"},
      {.name = "rank", .value = "N", .help = "of this rank alone"},
      {.name = "tail", .value = "N", .help = "begin so many lines before the end"},
      {.name = "cursor", .value = "TEXT", .help = "go on after this line (-o jsonl shows cursors)"},
      {.name = "task-name", .value = "T", .quiet = true},
      {.name = "polling-interval", .value = "S", .quiet = true},
      {.name = "allow-multiline-logs", .quiet = true},
      {.name = "region", .value = "R", .quiet = true}};
  command.notes = {
      "With -f, stderr says what a waiting job waits for and how the job ended; exit code 8 when "
      "it "
      "failed."};
  command.run = run;
  command.prints = true;
  return command;
}

}  // namespace

Command JobsLogsCommand() {
  return Make("jobs logs", [](Context* context, const Arguments& arguments) {
    return Logs(context, arguments, /*follow=*/false);
  });
}

Command LogsCommand() {
  Command command = Make("logs", [](Context* context, const Arguments& arguments) {
    return Logs(context, arguments, /*follow=*/false);
  });
  command.summary = "The same as jobs logs.";
  command.examples = {"trainyard logs -f iris_1"};
  return command;
}

Command JobsStreamLogsCommand() {
  Command command = Make("jobs stream-logs", [](Context* context, const Arguments& arguments) {
    return Logs(context, arguments, /*follow=*/true);
  });
  command.summary = "The same as jobs logs -f.";
  command.examples = {"trainyard jobs stream-logs iris_1"};
  command.aliases = {"custom-jobs stream-logs", "hp-tuning-jobs stream-logs"};
  command.hidden = true;
  return command;
}

}  // namespace trainyard::cli
