// The user's config file: endpoint, token, token_file, ca_file, project; one "key: value" a line.
//
// Invariants: unknown keys are refused with file, line and the nearest key; the file is written
// with mode 0600 because it may hold a token. Thread-safe.
#ifndef TRAINYARD_CLIENT_SDK_SETTINGS_H_
#define TRAINYARD_CLIENT_SDK_SETTINGS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace trainyard::client {

using Settings = std::map<std::string, std::string>;

const std::vector<std::string>& SettingNames();
// Empty when the file is absent; INVALID_ARGUMENT (UNKNOWN_FIELD, SPEC_SYNTAX) otherwise.
absl::StatusOr<Settings> ReadSettings(const std::string& file);
// Replaces the file; makes its folder.
absl::Status WriteSettings(const std::string& file, const Settings& settings);

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_SETTINGS_H_
