// See settings.h.
#include "client/sdk/settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::client {
namespace {

absl::Status SettingError(const std::string& file, const YAML::Mark& mark,
                          const std::string& reason, const std::string& message,
                          const std::string& fix) {
  v1::Faults faults;
  v1::Fault* fault = faults.add_faults();
  fault->set_reason(reason);
  fault->set_file(file);
  fault->set_line(mark.line + 1);
  fault->set_column(mark.column + 1);
  fault->set_message(message);
  fault->set_fix(fix);
  return MakeError(absl::StatusCode::kInvalidArgument, faults);
}

absl::StatusOr<Settings> SettingsOf(const YAML::Node& root, const std::string& file) {
  Settings settings;
  if (root.IsNull()) return settings;
  if (!root.IsMap()) {
    return SettingError(file, root.Mark(), "WRONG_TYPE", "the file is no map of settings",
                        "write one \"key: value\" a line, for example endpoint: HOST:PORT");
  }
  for (const auto& entry : root) {
    const std::string key = entry.first.Scalar();
    const std::vector<std::string>& names = SettingNames();
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      const std::string nearest = NearestName(key, names);
      return SettingError(
          file, entry.first.Mark(), "UNKNOWN_FIELD", absl::StrCat("unknown setting \"", key, "\""),
          nearest.empty() ? "known are endpoint, token, token_file, ca_file, project"
                          : absl::StrCat("did you mean \"", nearest, "\"?"));
    }
    if (!entry.second.IsScalar()) {
      return SettingError(file, entry.second.Mark(), "WRONG_TYPE",
                          absl::StrCat("setting \"", key, "\" is no text"), "write a plain value");
    }
    settings[key] = entry.second.Scalar();
  }
  return settings;
}

}  // namespace

const std::vector<std::string>& SettingNames() {
  static const auto* const names =
      new std::vector<std::string>{"endpoint", "token", "token_file", "ca_file", "project"};
  return *names;
}

absl::StatusOr<Settings> ReadSettings(const std::string& file) {
  if (!Exists(file)) return Settings();
  const absl::StatusOr<std::string> text = ReadFile(file);
  if (!text.ok()) return text.status();
  try {
    return SettingsOf(YAML::Load(*text), file);
  } catch (const YAML::Exception& error) {
    return SettingError(file, error.mark, "SPEC_SYNTAX", error.msg,
                        "write one \"key: value\" a line");
  }
}

absl::Status WriteSettings(const std::string& file, const Settings& settings) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  for (const auto& [key, value] : settings) out << YAML::Key << key << YAML::Value << value;
  out << YAML::EndMap;
  const std::string folder = file.substr(0, file.rfind('/'));
  if (absl::Status status = MakeFolders(folder, 0700); !status.ok()) return status;
  return WriteFileDurably(file, absl::StrCat(out.c_str(), "\n"), 0600);
}

}  // namespace trainyard::client
