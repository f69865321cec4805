// See trace.h.
#include "sim/replay/trace.h"

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::replay {
namespace {

constexpr int kFaultsMax = 20;
constexpr int32_t kGpusMax = 1 << 20;
constexpr int64_t kSecondsMax = 100'000'000'000;
constexpr int64_t kGpuSecondsMax = 4'000'000'000'000;  // fits into microseconds

class Reader {
 public:
  explicit Reader(absl::string_view file_name) : file_(file_name) {}

  void Header(absl::string_view line) {
    int column = 0;
    for (absl::string_view name : absl::StrSplit(line, ',')) columns_[std::string(name)] = column++;
    for (absl::string_view name : {"job_id", "submit_time", "num_gpus", "duration"}) {
      if (!columns_.contains(std::string(name))) {
        Fault(1, absl::StrCat("no column \"", name, "\""),
              "begin the file with job_id,submit_time,num_gpus,duration[,vc][,study]");
      }
    }
  }

  void Line(int number, absl::string_view line) {
    const std::vector<absl::string_view> cells = absl::StrSplit(line, ',');
    TraceJob job;
    int64_t gpus = 0;
    const bool good = Number(number, cells, "job_id", INT64_MIN, &job.id) &&
                      Number(number, cells, "submit_time", 0, &job.submit) &&
                      Number(number, cells, "num_gpus", 1, &gpus) &&
                      Number(number, cells, "duration", 0, &job.duration);
    if (!good) return;
    if (gpus > kGpusMax) return Fault(number, "num_gpus is too large", "at most 1048576");
    job.gpus = static_cast<int32_t>(gpus);
    if (job.submit > kSecondsMax || job.duration > kSecondsMax ||
        job.duration > kGpuSecondsMax / gpus) {
      return Fault(number, "the job is too long", "at most 4e12 GPU-seconds and 1e11 seconds");
    }
    job.duration = std::max<int64_t>(job.duration, 1);
    const auto vc = columns_.find("vc");
    if (vc != columns_.end() && static_cast<size_t>(vc->second) < cells.size()) {
      job.tenant = std::string(cells[static_cast<size_t>(vc->second)]);
    }
    const auto study = columns_.find("study");
    if (study != columns_.end() && !Number(number, cells, "study", 0, &job.study)) return;
    jobs_.push_back(std::move(job));
  }

  bool has_columns() const { return faults_.faults().empty(); }

  absl::StatusOr<std::vector<TraceJob>> Finish() {
    if (jobs_.empty() && faults_.faults().empty()) Fault(1, "the trace holds no job", "add lines");
    if (!faults_.faults().empty()) return MakeError(absl::StatusCode::kInvalidArgument, faults_);
    std::stable_sort(jobs_.begin(), jobs_.end(),
                     [](const TraceJob& a, const TraceJob& b) { return a.submit < b.submit; });
    return std::move(jobs_);
  }

 private:
  void Fault(int line, std::string message, absl::string_view fix) {
    if (faults_.faults_size() >= kFaultsMax) return;
    v1::Fault* fault = faults_.add_faults();
    fault->set_reason("BAD_VALUE");
    fault->set_file(file_);
    fault->set_line(line);
    fault->set_column(1);
    fault->set_message(std::move(message));
    fault->set_fix(std::string(fix));
  }

  bool Number(int line, const std::vector<absl::string_view>& cells, const std::string& name,
              int64_t min, int64_t* value) {
    const auto column = static_cast<size_t>(columns_.at(name));
    if (column < cells.size() && absl::SimpleAtoi(cells[column], value) && *value >= min) {
      return true;
    }
    Fault(line, absl::StrCat(name, " is \"", column < cells.size() ? cells[column] : "", "\""),
          min > INT64_MIN ? absl::StrCat("write a whole number, at least ", min)
                          : "write a whole number");
    return false;
  }

  const std::string file_;
  std::map<std::string, int> columns_;
  std::vector<TraceJob> jobs_;
  v1::Faults faults_;
};

}  // namespace

absl::StatusOr<std::vector<TraceJob>> ParseTrace(absl::string_view text,
                                                 absl::string_view file_name) {
  Reader reader(file_name);
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripSuffix(line, "\r");
    if (number == 1) {
      reader.Header(line);
      if (!reader.has_columns()) break;
    } else if (!line.empty()) {
      reader.Line(number, line);
    }
  }
  return reader.Finish();
}

absl::StatusOr<std::vector<TraceJob>> ReadTrace(const std::string& path) {
  auto text = ReadFile(path);
  if (!text.ok()) {
    return MakeError(absl::StatusCode::kNotFound, "SPEC_FILE", text.status().message(),
                     "name a CSV file that exists");
  }
  return ParseTrace(*text, path);
}

}  // namespace trainyard::replay
