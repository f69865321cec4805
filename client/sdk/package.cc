// See package.h.
#include "client/sdk/package.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/sdk/open_store.h"
#include "common/blob/blob.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::client {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kEntriesMax = 20000;
constexpr int64_t kBytesMax = int64_t{1} << 30;
constexpr size_t kModulesListedMax = 20;

absl::Status PackageError(const char* reason, absl::string_view message, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message, fix, "packages");
}

// What to do about a path that is not there: the nearest name in its folder, when there is one.
std::string NearestPath(const std::string& path) {
  const fs::path typed =
      fs::path(path).has_filename() ? fs::path(path) : fs::path(path).parent_path();
  const std::string folder = typed.has_parent_path() ? typed.parent_path().string() : ".";
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder);
  const std::string nearest =
      names.ok() ? NearestName(typed.filename().string(), *names) : std::string();
  if (nearest.empty()) {
    return "check the path, or run the command from the folder above the package";
  }
  return absl::StrCat("did you mean ",
                      typed.has_parent_path() ? JoinPath(folder, nearest) : nearest, "?");
}

absl::StatusOr<fs::path> Canonical(const std::string& path) {
  std::error_code error;
  fs::path real = fs::canonical(path, error);
  if (error) {
    const std::string why = error.message();
    return PackageError("PACKAGE_NOT_FOUND",
                        absl::StrCat("there is no \"", path, "\" (", why, "; looked from ",
                                     fs::current_path(error).string(), ")"),
                        NearestPath(path));
  }
  return real;
}

bool IsFolder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}
bool IsFile(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

// What belongs to a Python project beside its packages.
bool IsProjectFile(const std::string& name) {
  for (const char* end : {".py", ".cfg", ".toml", ".in", ".txt", ".md", ".rst", ".c", ".cc", ".cpp",
                          ".h", ".hpp", ".pyx", ".pxd"}) {
    if (absl::EndsWith(name, end)) return true;
  }
  for (const char* begin : {"README", "LICENSE", "NOTICE", "VERSION", "CHANGE"}) {
    if (absl::StartsWith(name, begin)) return true;
  }
  return false;
}

// What a project is installed by; "" when it is none. Many a pyproject.toml holds only settings of
// tools.
std::string BuildFile(const fs::path& root) {
  if (IsFile(root / "setup.py")) return "setup.py";
  const absl::StatusOr<std::string> text = ReadFile((root / "pyproject.toml").string());
  const bool builds = text.ok() && (absl::StrContains("\n" + *text, "\n[build-system]") ||
                                    absl::StrContains("\n" + *text, "\n[project]"));
  return builds ? "pyproject.toml" : "";
}

absl::StatusOr<std::vector<std::string>> ProjectNames(const fs::path& root,
                                                      const std::string& package) {
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(root.string());
  if (!names.ok()) return names.status();
  std::vector<std::string> out;
  for (const std::string& name : *names) {
    const fs::path path = root / name;
    if (name == package || (IsFolder(path) && IsFile(path / "__init__.py")) ||
        (IsFile(path) && IsProjectFile(name))) {
      out.push_back(name);
    }
  }
  return out;
}

// Modules of a tree that "python3 -m" could run, sorted: "pkg.task".
void ListModules(const fs::path& folder, const std::string& prefix, int depth,
                 std::set<std::string>* modules) {
  if (depth > 8 || modules->size() > 1000) return;
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder.string());
  if (!names.ok()) return;
  for (const std::string& name : *names) {
    const fs::path path = folder / name;
    if (absl::EndsWith(name, ".py") && name != "__init__.py" && name != "setup.py") {
      const std::string stem = name.substr(0, name.size() - 3);
      if (stem != "__main__") modules->insert(prefix + stem);
      if (stem == "__main__" && !prefix.empty()) {
        modules->insert(prefix.substr(0, prefix.size() - 1));
      }
    } else if (IsFolder(path) && !absl::StartsWith(name, ".") && name != "__pycache__") {
      ListModules(path, absl::StrCat(prefix, name, "."), depth + 1, modules);
    }
  }
}

std::set<std::string> ModulesOf(const PackagePlan& plan) {
  std::set<std::string> modules;
  if (plan.only.empty()) ListModules(plan.folder, "", 0, &modules);
  for (const std::string& name : plan.only) {
    const fs::path path = fs::path(plan.folder) / name;
    if (IsFolder(path)) {
      ListModules(path, name + ".", 1, &modules);
    } else if (absl::EndsWith(name, ".py") && name != "setup.py") {
      modules.insert(name.substr(0, name.size() - 3));
    }
  }
  return modules;
}

bool HasModule(const PackagePlan& plan, const std::string& module) {
  const std::vector<std::string> parts = absl::StrSplit(module, '.');
  if (!plan.only.empty() &&
      std::find(plan.only.begin(), plan.only.end(), parts[0]) == plan.only.end() &&
      std::find(plan.only.begin(), plan.only.end(), parts[0] + ".py") == plan.only.end()) {
    return false;
  }
  const fs::path base = fs::path(plan.folder) / absl::StrJoin(parts, "/");
  return IsFile(base.string() + ".py") || IsFile(base / "__main__.py");
}

// Whether the first part of the module's name is the tree's.
bool HasTop(const PackagePlan& plan, const std::string& module) {
  const std::string top = module.substr(0, module.find('.'));
  return std::any_of(plan.only.begin(), plan.only.end(),
                     [&](const std::string& name) { return name == top || name == top + ".py"; });
}

blob::TreeOptions OptionsOf(const PackagePlan& plan) {
  blob::TreeOptions options;
  options.exclude = {".git",        ".hg",           ".svn",  "__pycache__",
                     ".mypy_cache", ".pytest_cache", ".venv", ".ipynb_checkpoints"};
  options.only = plan.only;
  options.entries_max = kEntriesMax;
  options.bytes_max = kBytesMax;
  return options;
}

// What this machine refuses to read, as a fault of the package; errors of the store stay.
absl::Status Unreadable(const absl::Status& status) {
  const bool ours = !FaultsOf(status).faults(0).fix().empty();
  if (ours || !(absl::IsPermissionDenied(status) || absl::IsNotFound(status))) return status;
  return PackageError("PACKAGE_INVALID",
                      absl::StrCat("a file of the package cannot be read: ", status.message()),
                      "make it readable (chmod u+r), or keep it in another folder: all that stands "
                      "beside a script goes along");
}

absl::StatusOr<v1::PackageRef> UploadOne(blob::Client* store, const PackagePlan& plan,
                                         Uploaded* stats) {
  v1::PackageRef package;
  package.set_kind(plan.kind);
  package.set_uri(plan.uri);
  if (!plan.file.empty()) {
    const absl::StatusOr<std::string> digest = store->UploadFile(plan.file);
    if (!digest.ok()) return Unreadable(digest.status());
    package.set_digest(*digest);
    package.set_file_name(fs::path(plan.file).filename().string());
    return package;
  }
  blob::TreeOptions options = OptionsOf(plan);
  options.left_out = &stats->left_out;
  const absl::StatusOr<blob::Client::UploadStats> sent = store->UploadFolder(plan.folder, options);
  if (!sent.ok()) return Unreadable(sent.status());
  package.set_digest(sent->digest);
  package.set_file_name(plan.build_file);
  stats->bytes_sent += sent->bytes_sent;
  stats->bytes_total += sent->bytes_total;
  return package;
}

// Both kinds of archive tell themselves by two bytes.
std::string FirstBytes(const std::string& file) {
  char bytes[2] = {};
  std::ifstream in(file, std::ios::binary);
  in.read(bytes, sizeof bytes);
  return std::string(bytes, static_cast<size_t>(in.gcount()));
}

}  // namespace

absl::StatusOr<PackagePlan> PlanPackagePath(const std::string& path) {
  const absl::StatusOr<fs::path> real = Canonical(path);
  if (!real.ok()) return real.status();
  if (!IsFolder(*real)) {
    return PackageError("PACKAGE_INVALID", absl::StrCat("\"", path, "\" is no folder"),
                        "give the folder that holds the Python package; archives go to --packages");
  }
  PackagePlan plan;
  plan.uri = path;
  plan.folder = real->parent_path().string();
  const std::string name = real->filename().string();
  plan.only = {name};
  plan.build_file = BuildFile(real->parent_path());
  if (!plan.build_file.empty()) {
    absl::StatusOr<std::vector<std::string>> names = ProjectNames(real->parent_path(), name);
    if (!names.ok()) return names.status();
    plan.only = *std::move(names);
  }
  return plan;
}

absl::StatusOr<PackagePlan> PlanPackageFile(const std::string& path) {
  const absl::StatusOr<fs::path> real = Canonical(path);
  if (!real.ok()) return real.status();
  PackagePlan plan;
  plan.uri = path;
  plan.file = real->string();
  const bool sdist = absl::EndsWith(plan.file, ".tar.gz") || absl::EndsWith(plan.file, ".zip");
  if (!IsFile(*real) || (!sdist && !absl::EndsWith(plan.file, ".whl"))) {
    return PackageError("PACKAGE_INVALID",
                        absl::StrCat("\"", path, "\" is no source archive or wheel"),
                        "give *.tar.gz, *.zip or *.whl; a folder goes to --package-path");
  }
  const bool gzip = absl::EndsWith(plan.file, ".gz");
  if (FirstBytes(plan.file) != (gzip ? "\x1f\x8b" : "PK")) {
    return PackageError(
        "PACKAGE_INVALID",
        absl::StrCat("\"", path, "\" is not what its name says: it does not begin as ",
                     gzip ? "a compressed archive" : "a zip archive"),
        "build it again: python3 -m build, or: pip wheel --no-deps .");
  }
  plan.kind = sdist ? v1::PackageRef::SDIST : v1::PackageRef::WHEEL;
  return plan;
}

absl::StatusOr<PackagePlan> PlanFolder(const std::string& folder, const std::string& state_folder) {
  const absl::StatusOr<fs::path> real = Canonical(folder);
  if (!real.ok()) return real.status();
  PackagePlan plan;
  plan.uri = folder;
  plan.folder = real->string();
  std::error_code error;
  const fs::path state = fs::weakly_canonical(state_folder, error);
  const fs::path inside = state.lexically_relative(*real);
  if (error || inside.empty() || *inside.begin() == "..") return plan;
  const absl::StatusOr<std::vector<std::string>> names = ListFolder(plan.folder);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (name != inside.begin()->string()) plan.only.push_back(name);
  }
  return plan;
}

absl::Status CheckModule(const std::string& module, const std::vector<PackagePlan>& plans) {
  if (module.empty() || plans.empty()) return absl::OkStatus();
  std::set<std::string> modules;
  for (const PackagePlan& plan : plans) {
    if (!plan.file.empty() || HasModule(plan, module)) return absl::OkStatus();
    // A setup.py may call its packages otherwise than their folders.
    if (!plan.build_file.empty() && !HasTop(plan, module)) return absl::OkStatus();
    modules.merge(ModulesOf(plan));
  }
  std::vector<std::string> names(modules.begin(), modules.end());
  const std::string nearest = NearestName(module, names);
  const size_t count = names.size();
  names.resize(std::min(count, kModulesListedMax));
  const std::string there =
      names.empty() ? "no module at all"
                    : absl::StrCat(absl::StrJoin(names, ", "), count > names.size() ? ", ..." : "");
  return PackageError("MODULE_NOT_FOUND",
                      absl::StrCat("module \"", module, "\" is not in the package ", plans[0].uri,
                                   "; there is ", there),
                      nearest.empty() ? "give one of those as --module-name"
                                      : absl::StrCat("did you mean --module-name ", nearest, "?"));
}

absl::StatusOr<Uploaded> UploadPackages(Client* client, const std::string& parent,
                                        const std::vector<PackagePlan>& plans) {
  Uploaded uploaded;
  if (plans.empty()) return uploaded;
  const auto store = OpenStore(client, parent, StoreUse::kUpload);
  if (!store.ok()) return store.status();
  for (const PackagePlan& plan : plans) {
    absl::StatusOr<v1::PackageRef> package = UploadOne(store->get(), plan, &uploaded);
    if (!package.ok()) return package.status();
    uploaded.packages.push_back(*std::move(package));
  }
  return uploaded;
}

}  // namespace trainyard::client
