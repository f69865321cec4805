// trainyard usage: device and core time by project, user, day or job; trainyard history: the past
// as a trace that trainyard-sim replays.
#include <algorithm>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/queue_flags.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kPageSize = 1000;

std::string Hours(int64_t micros) {
  return absl::StrFormat("%.5f", static_cast<double>(micros) / 3.6e9);
}

v1::GetUsageRequest::By ByOf(const std::string& word) {
  if (word == "user") return v1::GetUsageRequest::USER;
  if (word == "day") return v1::GetUsageRequest::DAY;
  if (word == "job") return v1::GetUsageRequest::JOB;
  return v1::GetUsageRequest::PROJECT;
}

Table UsageTable(const std::vector<const v1::Usage*>& rows) {
  Table table;
  table.headers = {"PROJECT", "USER", "DAY", "JOB", "GPU_HOURS", "CORE_HOURS", "RUNS", "MODELS"};
  table.right = {false, false, false, false, true, true, true};
  for (const v1::Usage* row : rows) {
    std::vector<std::string> models;
    for (const v1::Usage::Devices& devices : row->devices()) {
      models.push_back(absl::StrCat(devices.model().empty() ? "?" : devices.model(), " ",
                                    Hours(devices.device_us())));
    }
    std::string name = row->project();
    for (const std::string& part : {row->user(), row->day(), row->job()}) {
      if (!part.empty()) name = name.empty() ? part : absl::StrCat(name, "/", part);
    }
    table.names.push_back(std::move(name));
    table.rows.push_back({row->project(), row->user(), row->day(), row->job(),
                          Hours(row->device_us()), Hours(row->cpu_us()),
                          absl::StrCat(row->attempts()), absl::StrJoin(models, ", ")});
  }
  return table;
}

// Without the columns that no row has anything in.
Table WithoutEmptyColumns(const Table& table) {
  Table out;
  out.names = table.names;
  out.rows.resize(table.rows.size());
  for (size_t i = 0; i < table.headers.size(); ++i) {
    const bool empty = std::all_of(table.rows.begin(), table.rows.end(),
                                   [i](const auto& row) { return row[i].empty(); });
    if (empty && !table.rows.empty()) continue;
    out.headers.push_back(table.headers[i]);
    out.right.push_back(i < table.right.size() && table.right[i]);
    for (size_t k = 0; k < table.rows.size(); ++k) out.rows[k].push_back(table.rows[k][i]);
  }
  return out;
}

absl::Status Usage(Context* context, const Arguments& arguments) {
  v1::GetUsageRequest request;
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  request.set_parent(arguments.Has("all-projects") ? "projects/-" : *parent);
  request.set_by(ByOf(arguments.Get("by", "project")));
  for (const char* flag : {"from", "until"}) {
    if (!arguments.Has(flag)) continue;
    const absl::StatusOr<absl::Time> time = ReadTime(arguments, flag);
    if (!time.ok()) return time.status();
    auto* const stamp = flag[0] == 'f' ? request.mutable_start_time() : request.mutable_end_time();
    stamp->set_seconds(absl::ToUnixSeconds(*time));
  }
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  if (request.by() == v1::GetUsageRequest::JOB) request.set_page_size(kPageSize);
  std::vector<v1::Usage> all;
  do {
    const absl::StatusOr<v1::GetUsageResponse> page = (*client)->GetUsage(request);
    if (!page.ok()) return page.status();
    all.insert(all.end(), page->rows().begin(), page->rows().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  std::vector<const v1::Usage*> rows;
  for (const v1::Usage& row : all) rows.push_back(&row);
  PrintList(&context->console(), context->format,
            {{rows.begin(), rows.end()},
             context->format == Format::kTable ? WithoutEmptyColumns(UsageTable(rows))
                                               : UsageTable(rows)});
  return absl::OkStatus();
}

// The columns that trainyard-sim replay reads, numbered from the oldest; -o json has the names. A
// run without a GPU counts as one for each eight cores begun. Trials of one job have one study.
Table HistoryTable(const std::vector<const v1::PastRun*>& runs) {
  Table table;
  table.headers = {"job_id", "submit_time", "num_gpus", "duration", "vc", "study"};
  table.right = {false, true, true, true, false, true};
  std::map<std::string, size_t> studies;
  for (const v1::PastRun* run : runs) {
    const std::string id =
        run->trial() == 0 ? run->job() : absl::StrCat(run->job(), "/trials/", run->trial());
    const int gpus = run->gpus() > 0 ? run->gpus() : std::max(1, (run->cores() + 7) / 8);
    const std::string project = run->job().substr(9, run->job().find("/jobs/") - 9);
    const size_t study =
        run->trial() == 0 ? 0 : studies.try_emplace(run->job(), studies.size() + 1).first->second;
    table.rows.push_back({absl::StrCat(table.rows.size() + 1),
                          absl::StrCat(run->submit_us() / 1'000'000), absl::StrCat(gpus),
                          absl::StrCat((run->run_us() + 999'999) / 1'000'000), project,
                          absl::StrCat(study)});
    table.names.push_back(id);
  }
  return table;
}

absl::Status History(Context* context, const Arguments& arguments) {
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::ExportHistoryRequest request;
  request.set_parent(arguments.Has("all-projects") ? "projects/-" : *parent);
  request.set_page_size(kPageSize);
  std::vector<v1::PastRun> runs;
  do {
    const absl::StatusOr<v1::ExportHistoryResponse> page = (*client)->ExportHistory(request);
    if (!page.ok()) return page.status();
    runs.insert(runs.end(), page->runs().begin(), page->runs().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  std::stable_sort(runs.begin(), runs.end(), [](const v1::PastRun& a, const v1::PastRun& b) {
    return a.submit_us() < b.submit_us();
  });
  std::vector<const v1::PastRun*> pointers;
  for (const v1::PastRun& run : runs) pointers.push_back(&run);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, HistoryTable(pointers)});
  return absl::OkStatus();
}

}  // namespace

Command UsageCommand() {
  Command command;
  command.words = "usage";
  command.summary = "Show what was used: GPU and core hours, up to now.";
  command.examples = {"trainyard usage --by user",
                      "trainyard usage --all-projects --by day --from 2026-11-01 -o csv"};
  command.flags = {{.name = "by", .value = "WHAT", .choices = "project|user|day|job"},
                   {.name = "all-projects", .help = "every project that you may read"},
                   {.name = "from", .value = "TIME", .help = "by whole days (UTC)"},
                   {.name = "until", .value = "TIME", .help = "likewise"}};
  command.run = Usage;
  command.prints = true;
  return command;
}

Command HistoryCommand() {
  Command command;
  command.words = "history";
  command.summary = "Show runs that have ended, as a trace to replay.";
  command.examples = {"trainyard history -o csv > past.csv",
                      "trainyard-sim replay --trace past.csv --nodes 4 --gpus-per-node 8 "
                      "--policy las"};
  command.flags = {{.name = "all-projects", .help = "every project that you may read"}};
  command.run = History;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
