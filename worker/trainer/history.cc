// See history.h.
#include "worker/trainer/history.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/file.h"

namespace trainyard::trainer {
namespace {

constexpr char kFile[] = "history.jsonl";

// JSON knows no NaN.
std::string Number(double value) {
  return std::isfinite(value) ? absl::StrFormat("%.17g", value) : "null";
}

// -1: no line of an epoch.
int64_t EpochOf(absl::string_view line) {
  using Json = nlohmann::json;
  const Json json = Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  const Json epoch = json.is_object() ? json.value("epoch", Json()) : Json();
  return epoch.is_number_integer() ? epoch.get<int64_t>() : -1;
}

}  // namespace

absl::Status AppendHistory(const std::string& folder, const EpochRecord& record) {
  const std::string path = JoinPath(folder, kFile);
  std::FILE* const file = std::fopen(path.c_str(), "ae");
  if (file == nullptr) return ErrnoError(errno, "cannot write", path);
  absl::FPrintF(file, "{\"epoch\":%d,\"train_loss\":%s,\"loss\":%s,\"accuracy\":%s}\n",
                record.epoch, Number(record.train_loss), Number(record.loss),
                Number(record.accuracy));
  return std::fclose(file) == 0 ? absl::OkStatus() : ErrnoError(errno, "cannot write", path);
}

absl::Status TrimHistory(const std::string& folder, int64_t epoch) {
  const std::string path = JoinPath(folder, kFile);
  if (!Exists(path)) return absl::OkStatus();
  auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const int64_t found = EpochOf(line);
    if (found < 1 || found > epoch) continue;
    kept.append(line.data(), line.size());
    kept.push_back('\n');
  }
  return kept == *text ? absl::OkStatus() : WriteFileAtomically(path, kept);
}

}  // namespace trainyard::trainer
