// JSON as YAML text: block style, strings quoted only where YAML would read something else.
// Thread-safe.
#ifndef TRAINYARD_CLIENT_CLI_YAML_H_
#define TRAINYARD_CLIENT_CLI_YAML_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace trainyard::cli {

// Ends with a line end.
std::string YamlOf(const nlohmann::ordered_json& json);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_YAML_H_
