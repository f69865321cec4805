// Reads the bytes of a spec file. See spec.h.
#include <sys/stat.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/spec/spec.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

absl::Status Refuse(absl::StatusCode code, absl::string_view reason, const std::string& path,
                    absl::string_view message, absl::string_view expected, absl::string_view fix) {
  v1::Faults faults;
  v1::Fault* fault = faults.add_faults();
  fault->set_reason(std::string(reason));
  fault->set_file(path);
  fault->set_message(std::string(message));
  fault->set_expected(std::string(expected));
  fault->set_fix(std::string(fix));
  return MakeError(code, faults);
}

std::string FixOfPath(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  if (!names.ok()) {
    return absl::StrCat("the folder ", Shorten(folder), " cannot be read; check the path");
  }
  const std::string typed = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string nearest = NearestName(typed, *names);
  if (nearest.empty()) return "check the path; see what is there with ls";
  return absl::StrCat("did you mean ", slash == std::string::npos ? "" : folder, nearest, "?");
}

}  // namespace

absl::StatusOr<std::string> LoadSpecText(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    return Refuse(absl::StatusCode::kNotFound, "SPEC_FILE", path, "there is no such file",
                  "a YAML or JSON file", FixOfPath(path));
  }
  if (S_ISDIR(info.st_mode)) {
    return Refuse(absl::StatusCode::kInvalidArgument, "SPEC_FILE", path, "this is a folder",
                  "a YAML or JSON file", "name the file in it");
  }
  if (info.st_size > static_cast<off_t>(kSpecBytesMax)) {
    return Refuse(absl::StatusCode::kInvalidArgument, "SPEC_TOO_LARGE", path,
                  absl::StrCat("the file has ", info.st_size, " bytes"),
                  absl::StrCat("at most ", kSpecBytesMax, " bytes"),
                  "check that this is the spec and not its data");
  }
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return Refuse(text.status().code(), "SPEC_FILE", path, std::string(text.status().message()),
                  "a file that may be read", "check its permissions with ls -l");
  }
  return text;
}

}  // namespace trainyard::spec
