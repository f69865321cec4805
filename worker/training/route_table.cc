// See route_table.h.
#include "worker/training/route_table.h"

#include <sys/stat.h>

#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::training {
namespace {

using Json = nlohmann::json;

constexpr time_t kKept = 7 * 24 * 3600;  // seconds

bool IsFresh(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && std::time(nullptr) - info.st_mtime < kKept;
}

std::string CacheFolder() {
  const auto text = [](const char* name) {
    const char* const value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::getenv("TRAINYARD_ROUTES") != nullptr) return text("TRAINYARD_ROUTES");
  if (!text("XDG_CACHE_HOME").empty()) return JoinPath(text("XDG_CACHE_HOME"), "trainyard");
  return text("HOME").empty() ? "" : JoinPath(text("HOME"), ".cache/trainyard");
}

std::string FileOf(absl::string_view kind, const std::string& shape) {
  const std::string folder = CacheFolder();
  if (folder.empty()) return "";
  return JoinPath(folder, absl::StrCat(kind, "-", HexOf(Sha256Of(shape)).substr(0, 16), ".json"));
}

// Who cannot remember measures again next time.
void Remember(const std::string& path, const Json& json) {
  if (path.empty() || !MakeFolders(path.substr(0, path.rfind('/'))).ok()) return;
  WriteFileAtomically(path, json.dump() + "\n").IgnoreError();
}

// An object, or nothing.
Json Recall(const std::string& path) {
  if (path.empty() || !IsFresh(path)) return {};
  auto text = ReadFile(path);
  if (!text.ok()) return {};
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json();
}

}  // namespace

int RouteTable::CarriersFor(size_t bytes) const {
  size_t found = 0;
  for (size_t i = 1; i < kBytes.size(); ++i) {
    if (bytes >= kBytes[i]) found = i;
  }
  return carriers[found];
}

std::string RoutesFile(const std::vector<std::string>& hosts, const std::vector<int>& ranks) {
  std::string shape;
  for (size_t i = 0; i < hosts.size(); ++i) absl::StrAppend(&shape, hosts[i], ":", ranks[i], "\n");
  return FileOf("routes", shape);
}

bool ReadRoutes(const std::string& path, int carriers_max, RouteTable* table) {
  const Json json = Recall(path);
  if (!json.contains("carriers") || !json["carriers"].is_array() ||
      json["carriers"].size() != table->carriers.size()) {
    return false;
  }
  RouteTable read;
  for (size_t i = 0; i < read.carriers.size(); ++i) {
    const Json& entry = json["carriers"][i];
    if (!entry.is_number_integer()) return false;
    const int64_t carriers = entry.get<int64_t>();
    if (carriers < 1 || carriers > carriers_max) return false;
    read.carriers[i] = static_cast<int32_t>(carriers);
  }
  *table = read;
  return true;
}

void RememberRoutes(const std::string& path, const RouteTable& table) {
  Remember(path, {{"bytes", RouteTable::kBytes}, {"carriers", table.carriers}});
}

std::string PathsFile(const std::string& host, int ranks) {
  return FileOf("paths", absl::StrCat(host, ":", ranks));
}

std::string ReadPaths(const std::string& path, size_t kinds) {
  const Json json = Recall(path);
  if (!json.contains("paths") || !json["paths"].is_string()) return "";
  const std::string digits = json["paths"].get<std::string>();
  const bool good = digits.size() == kinds && digits.find_first_not_of("012") == std::string::npos;
  return good ? digits : "";
}

void RememberPaths(const std::string& path, const std::string& digits) {
  Remember(path, {{"paths", digits}});
}

}  // namespace trainyard::training
