// Trees: a folder as data. Building one walks below a directory handle and follows no link;
// checking one needs no disk.
//
// A link may climb only at its beginning ("../../x/y"), and no higher than the tree's root. With
// that rule the place it names lies inside however other links of the tree point: a ".." after a
// name could be taken from wherever that name leads.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/blob/folder_reader.h"
#include "common/errors.h"
#include "common/sha256.h"
#include "common/utf8.h"

namespace trainyard::blob {
namespace {

constexpr int kDepthMax = 128;
constexpr size_t kPathBytesMax = 4096;
constexpr size_t kNameBytesMax = 255;

absl::Status Refuse(absl::string_view path, absl::string_view why, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID",
                   absl::StrCat("\"", PrintableText(path), "\" ", why), fix);
}

// State of one walk.
class Scanner {
 public:
  explicit Scanner(const TreeOptions& options) : options_(options) {}

  absl::Status Walk(FileDescriptor folder, const std::string& prefix, int depth) {
    if (depth > kDepthMax) {
      return Refuse(prefix, absl::StrCat("is deeper than ", kDepthMax, " folders"),
                    "make the folder flatter");
    }
    const int fd = folder.get();
    DIR* const stream = fdopendir(folder.Release());
    if (stream == nullptr) return ErrnoError(errno, "cannot list", prefix);
    std::vector<std::string> names;
    while (const dirent* entry = readdir(stream)) names.emplace_back(entry->d_name);
    absl::Status status;
    for (const std::string& name : names) {
      if (name == "." || name == ".." || Excluded(name, prefix)) continue;
      status = Visit(fd, name, prefix.empty() ? name : absl::StrCat(prefix, "/", name), depth);
      if (!status.ok()) break;
    }
    closedir(stream);
    return status;
  }

  ScannedTree Sorted() && {
    std::sort(found_.begin(), found_.end(),
              [](const auto& a, const auto& b) { return a.first.path() < b.first.path(); });
    ScannedTree out;
    for (auto& [entry, chunks] : found_) {
      *out.tree.add_entries() = std::move(entry);
      out.chunks.push_back(std::move(chunks));
    }
    return out;
  }

 private:
  bool Excluded(const std::string& name, const std::string& prefix) const {
    if (prefix.empty() && !options_.only.empty() &&
        std::find(options_.only.begin(), options_.only.end(), name) == options_.only.end()) {
      return true;
    }
    return std::find(options_.exclude.begin(), options_.exclude.end(), name) !=
           options_.exclude.end();
  }

  absl::Status Visit(int folder, const std::string& name, const std::string& path, int depth) {
    struct stat info {};
    if (fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError(errno, "cannot look at", path);
    }
    if (!IsUtf8(name)) return Unfit(path, "has a name that is not UTF-8", "rename it");
    if (S_ISLNK(info.st_mode)) return VisitLink(folder, name, path);
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
      return Unfit(path, "is no regular file, folder or symbolic link",
                   "remove it, or leave it out");
    }
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    FileDescriptor fd(
        openat(folder, name.c_str(), S_ISDIR(info.st_mode) ? flags | O_DIRECTORY : flags));
    if (!fd.valid()) return ErrnoError(errno, "cannot open", path);
    if (S_ISDIR(info.st_mode)) {
      struct stat mark {};
      const bool is_environment = fstatat(fd.get(), "pyvenv.cfg", &mark, 0) == 0;
      if (is_environment && options_.left_out != nullptr) {
        return Unfit(path, "is a virtual environment", "");
      }
      return Walk(std::move(fd), path, depth + 1);
    }
    return VisitFile(fd.get(), path);
  }

  // Left out where that is asked for, refused otherwise.
  absl::Status Unfit(const std::string& path, absl::string_view why, absl::string_view fix) {
    if (options_.left_out == nullptr) return Refuse(path, why, fix);
    options_.left_out->push_back(absl::StrCat("\"", PrintableText(path), "\" ", why));
    return absl::OkStatus();
  }

  absl::Status VisitFile(int fd, const std::string& path) {
    struct stat info {};
    if (fstat(fd, &info) != 0) return ErrnoError(errno, "cannot look at", path);
    if (!S_ISREG(info.st_mode)) return Refuse(path, "changed while it was read", "try again");
    auto digest = DigestOfFd(fd, path);
    if (!digest.ok()) return digest.status();
    bytes_ += digest->size;
    if (bytes_ > options_.bytes_max) {
      return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                       absl::StrCat("the folder holds more than ", options_.bytes_max, " bytes"),
                       "leave out what the program does not need");
    }
    v1::TreeEntry entry;
    entry.set_path(path);
    entry.set_mode(info.st_mode & 0777);
    entry.set_size(digest->size);
    entry.set_digest(digest->digest);
    return Keep(std::move(entry), std::move(digest->chunks));
  }

  absl::Status VisitLink(int folder, const std::string& name, const std::string& path) {
    char target[PATH_MAX];
    const ssize_t n = readlinkat(folder, name.c_str(), target, sizeof target);
    if (n < 0) return ErrnoError(errno, "cannot read link", path);
    v1::TreeEntry entry;
    entry.set_path(path);
    entry.set_mode(0777);
    entry.set_link_target(std::string(target, static_cast<size_t>(n)));
    const std::string fault = LinkFault(path, entry.link_target());
    if (!fault.empty()) {
      return Unfit(path, absl::StrCat(fault, ": ", PrintableText(entry.link_target())),
                   "make it a relative link inside the folder, or copy the file");
    }
    return Keep(std::move(entry), {});
  }

  absl::Status Keep(v1::TreeEntry entry, std::vector<std::string> chunks) {
    if (static_cast<int64_t>(found_.size()) >= options_.entries_max) {
      return MakeError(absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED",
                       absl::StrCat("the folder has more than ", options_.entries_max, " files"),
                       "leave out what the program does not need");
    }
    found_.emplace_back(std::move(entry), std::move(chunks));
    return absl::OkStatus();
  }

  const TreeOptions& options_;
  std::vector<std::pair<v1::TreeEntry, std::vector<std::string>>> found_;
  int64_t bytes_ = 0;
};

absl::Status CheckEntry(const v1::TreeEntry& entry) {
  const std::string& path = entry.path();
  const auto refuse = [&path](absl::string_view why) {
    return Refuse(path, why, "build the tree again from the folder");
  };
  if (path.size() > kPathBytesMax || !CheckRelativePath(path).ok()) {
    return refuse("is no relative path without empty, \".\" or \"..\" parts");
  }
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.size() > kNameBytesMax) return refuse("has a name longer than 255 bytes");
  }
  if ((entry.mode() & ~uint32_t{0777}) != 0) return refuse("has mode bits that are no permission");
  if (!entry.link_target().empty()) {
    if (!entry.digest().empty() || entry.size() != 0) return refuse("is both a link and a file");
    const std::string fault = LinkFault(path, entry.link_target());
    return fault.empty() ? absl::OkStatus() : refuse(fault);
  }
  if (entry.digest().size() != kDigestBytes) return refuse("has no digest of 32 bytes");
  if (entry.size() < 0) return refuse("has a negative size");
  return absl::OkStatus();
}

}  // namespace

std::string LinkFault(absl::string_view path, absl::string_view target) {
  if (target.empty() || target.size() > kPathBytesMax) return "is a link with an empty target";
  if (target.front() == '/') return "is a link to an absolute path";
  if (target.find('\0') != absl::string_view::npos) return "is a link with a zero byte";
  if (!IsUtf8(target)) return "is a link to a name that is not UTF-8";
  int64_t depth = std::count(path.begin(), path.end(), '/');
  bool climbing = true;
  for (absl::string_view part : absl::StrSplit(target, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      climbing = false;
      continue;
    }
    if (!climbing) return "is a link with \"..\" after a name";
    if (--depth < 0) return "is a link that leaves the folder";
  }
  return "";
}

absl::StatusOr<ScannedTree> ScanFolder(const std::string& folder, const TreeOptions& options) {
  FileDescriptor root(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return ErrnoError(errno, "cannot open folder", folder);
  Scanner scanner(options);
  if (auto status = scanner.Walk(std::move(root), "", 0); !status.ok()) return status;
  return std::move(scanner).Sorted();
}

absl::StatusOr<v1::Tree> TreeOfFolder(const std::string& folder, const TreeOptions& options) {
  auto scanned = ScanFolder(folder, options);
  if (!scanned.ok()) return scanned.status();
  return std::move(scanned->tree);
}

std::string DigestOfTree(const v1::Tree& tree) {
  return DigestOfBytes(tree.SerializeAsString()).digest;
}

absl::Status CheckTree(const v1::Tree& tree) {
  absl::flat_hash_set<absl::string_view> leaves;
  absl::string_view previous;
  for (const v1::TreeEntry& entry : tree.entries()) {
    if (auto status = CheckEntry(entry); !status.ok()) return status;
    if (!previous.empty() && absl::string_view(entry.path()) <= previous) {
      return Refuse(entry.path(), "is out of order or there twice", "build the tree again");
    }
    previous = entry.path();
    leaves.insert(previous);
  }
  for (const v1::TreeEntry& entry : tree.entries()) {
    const absl::string_view path = entry.path();
    for (size_t slash = path.find('/'); slash != absl::string_view::npos;
         slash = path.find('/', slash + 1)) {
      if (leaves.contains(path.substr(0, slash))) {
        return Refuse(path, "lies below a file or link", "build the tree again");
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> OpenBelow(const std::string& folder, absl::string_view path) {
  FileDescriptor at(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at.valid()) return ErrnoError(errno, "cannot open folder", folder);
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  for (size_t i = 0; i < parts.size(); ++i) {
    const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    const bool last = i + 1 == parts.size();
    FileDescriptor next(openat(at.get(), parts[i].c_str(), last ? flags : flags | O_DIRECTORY));
    if (!next.valid()) return ErrnoError(errno, "cannot open", path);
    at = std::move(next);
  }
  return at;
}

}  // namespace trainyard::blob
