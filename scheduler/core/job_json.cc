// See job_json.h.
#include "scheduler/core/job_json.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace trainyard::core {
namespace {

std::string Quote(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", std::string(1, c));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

class Object {
 public:
  void Add(absl::string_view key, absl::string_view text) {
    if (!text.empty()) Raw(key, Quote(text));
  }
  void Raw(absl::string_view key, absl::string_view value) {
    absl::StrAppend(&body_, body_.empty() ? "" : ",", Quote(key), ":", value);
  }
  std::string Close() const { return absl::StrCat("{", body_, "}"); }

 private:
  std::string body_;
};

template <class Strings, class Get>
std::string List(const Strings& items, Get&& get) {
  std::string out;
  for (const auto& item : items) absl::StrAppend(&out, out.empty() ? "" : ",", Quote(get(item)));
  return absl::StrCat("[", out, "]");
}

}  // namespace

std::string JobJson(absl::string_view job_id, const v1::JobSpec& spec) {
  const v1::Program& program = spec.program();
  Object job;
  job.Add("job_id", job_id);
  job.Add("scale_tier", spec.scale_tier());
  job.Add("region", spec.region());
  job.Add("runtime_version", spec.runtime_version());
  job.Add("python_version", spec.python_version());
  job.Add("job_dir", spec.job_dir());
  job.Add("python_module", program.python_module());
  job.Raw("package_uris",
          List(program.packages(), [](const v1::PackageRef& package) { return package.uri(); }));
  job.Raw("args", List(program.args(), [](const std::string& arg) { return arg; }));
  return job.Close();
}

}  // namespace trainyard::core
