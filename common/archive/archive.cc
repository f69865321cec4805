// See archive.h. Links are made after all files, so that no file of the archive can meet one of its
// own links on the way.
#include "common/archive/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/blob/folder_reader.h"
#include "common/blob/folder_writer.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/random.h"
#include "common/sha256.h"
#include "common/utf8.h"

namespace trainyard::archive {
namespace {

constexpr size_t kBlockBytes = 64 << 10;
constexpr int64_t kRatioFreeBytes = 1 << 20;
constexpr size_t kPathBytesMax = 4096;
constexpr absl::string_view kRebuild = "build the package again, with plain files inside it";

absl::Status Refuse(absl::string_view message, absl::string_view fix = kRebuild) {
  return MakeError(absl::StatusCode::kInvalidArgument, "PACKAGE_INVALID", message, fix);
}

class Unpacker {
 public:
  Unpacker(std::string path, int64_t packed_bytes, const UnpackOptions& options)
      : path_(std::move(path)),
        packed_bytes_(packed_bytes),
        options_(options),
        reader_(archive_read_new(), &archive_read_free) {}

  absl::StatusOr<Unpacked> Run(const std::string& folder) {
    ::archive* const reader = reader_.get();
    archive_read_support_filter_gzip(reader);
    archive_read_support_format_tar(reader);
    archive_read_support_format_zip(reader);
    if (archive_read_open_filename(reader, path_.c_str(), kBlockBytes) != ARCHIVE_OK) {
      return Broken();
    }
    auto writer = blob::FolderWriter::Open(folder);
    if (!writer.ok()) return writer.status();
    for (;;) {
      archive_entry* entry = nullptr;
      const int code = archive_read_next_header(reader, &entry);
      if (code == ARCHIVE_EOF) break;
      if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return Broken();
      if (auto status = Take(entry, &*writer); !status.ok()) return status;
    }
    if (done_.entries == 0) return Refuse(absl::StrCat(path_, " holds no file"));
    return PutLinks(&*writer);
  }

 private:
  absl::Status Broken() const {
    const char* const why = archive_error_string(reader_.get());
    return Refuse(absl::StrCat(path_, " is no archive that can be read: ",
                               why == nullptr ? "unknown format" : PrintableText(why)),
                  "bring a .tar.gz, .zip or .whl file that unpacks without complaint");
  }
  absl::Status RefuseEntry(absl::string_view name, absl::string_view why) const {
    return Refuse(absl::StrCat(path_, ": entry \"", PrintableText(name), "\" ", why));
  }

  absl::Status Take(archive_entry* entry, blob::FolderWriter* writer) {
    if (++headers_ > options_.entries_max) {
      return Refuse(absl::StrCat(path_, " has more than ", options_.entries_max, " entries"),
                    "leave out what the program does not need");
    }
    const char* raw = archive_entry_pathname_utf8(entry);
    if (raw == nullptr) raw = archive_entry_pathname(entry);
    if (raw == nullptr) return Refuse(absl::StrCat(path_, " has an entry without a name"));
    std::string name = raw;
    if (!IsUtf8(name)) return RefuseEntry(raw, "has a name that is not UTF-8");
    if (archive_entry_is_encrypted(entry)) return RefuseEntry(raw, "is encrypted");
    if (archive_entry_hardlink(entry) != nullptr) return RefuseEntry(raw, "is a hard link");
    const auto type = archive_entry_filetype(entry);
    if (type == AE_IFDIR) return TakeFolder(std::move(name), writer);
    while (absl::StartsWith(name, "./")) name.erase(0, 2);
    if (name.size() > kPathBytesMax || !CheckRelativePath(name).ok()) {
      return RefuseEntry(raw, "has an absolute name, or an empty, \".\" or \"..\" part in it");
    }
    if (!names_.insert(name).second) return RefuseEntry(raw, "is there twice");
    if (auto status = CheckAbove(name, true); !status.ok()) return status;
    if (type == AE_IFLNK) return TakeLink(name, entry);
    if (type != AE_IFREG) return RefuseEntry(raw, "is no file, folder or symbolic link");
    if ((archive_entry_mode(entry) & (S_ISUID | S_ISGID)) != 0) {
      return RefuseEntry(raw, "is setuid or setgid");
    }
    ++done_.entries;
    return writer->PutFile(name, (archive_entry_mode(entry) & 0111) != 0 ? 0755 : 0644,
                           [this](int fd) { return Copy(fd); });
  }

  absl::Status TakeFolder(std::string name, blob::FolderWriter* writer) {
    const std::string raw = name;
    while (absl::StartsWith(name, "./")) name.erase(0, 2);
    while (!name.empty() && name.back() == '/') name.pop_back();
    if ((name.empty() && raw.front() != '/') || name == ".") return absl::OkStatus();
    if (name.size() > kPathBytesMax || !CheckRelativePath(name).ok()) {
      return RefuseEntry(raw, "has an absolute name, or an empty, \".\" or \"..\" part in it");
    }
    if (names_.contains(name)) return RefuseEntry(raw, "is a file and a folder");
    folders_.insert(name);
    if (auto status = CheckAbove(name, true); !status.ok()) return status;
    return writer->PutFolder(name);
  }

  // Everything above `name` must be a folder, and `name` none (when it is a file or link).
  absl::Status CheckAbove(const std::string& name, bool note) {
    for (size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
      const std::string above = name.substr(0, slash);
      if (names_.contains(above)) return RefuseEntry(name, "lies below a file or link");
      if (note) folders_.insert(above);
    }
    if (names_.contains(name) && folders_.contains(name)) {
      return RefuseEntry(name, "is a file and a folder");
    }
    return absl::OkStatus();
  }

  absl::Status TakeLink(const std::string& name, archive_entry* entry) {
    const char* target = archive_entry_symlink_utf8(entry);
    if (target == nullptr) target = archive_entry_symlink(entry);
    const std::string fault = blob::LinkFault(name, target == nullptr ? "" : target);
    if (!fault.empty()) return RefuseEntry(name, fault);
    ++done_.entries;
    links_.emplace_back(name, target);
    return absl::OkStatus();
  }

  absl::Status Copy(int fd) {
    char buffer[kBlockBytes];
    for (;;) {
      const la_ssize_t n = archive_read_data(reader_.get(), buffer, sizeof buffer);
      if (n == 0) return absl::OkStatus();
      if (n < 0) return Broken();
      done_.bytes += n;
      if (done_.bytes > options_.bytes_max) {
        return Refuse(absl::StrCat(path_, " unpacks to more than ", options_.bytes_max, " bytes"),
                      "leave out what the program does not need; bring data as data");
      }
      if (done_.bytes > kRatioFreeBytes && done_.bytes / options_.ratio_max > packed_bytes_) {
        return Refuse(absl::StrCat(path_, " unpacks to more than ", options_.ratio_max,
                                   " times its own size"));
      }
      auto status = WriteAll(fd, absl::string_view(buffer, static_cast<size_t>(n)));
      if (!status.ok()) return status;
    }
  }

  absl::StatusOr<Unpacked> PutLinks(blob::FolderWriter* writer) {
    for (const auto& [name, target] : links_) {
      if (auto status = writer->PutLink(name, target); !status.ok()) return status;
    }
    return done_;
  }

  const std::string path_;
  const int64_t packed_bytes_;
  const UnpackOptions options_;
  const std::unique_ptr<::archive, int (*)(::archive*)> reader_;
  absl::flat_hash_set<std::string> names_;    // files and links
  absl::flat_hash_set<std::string> folders_;  // named, or above something
  std::vector<std::pair<std::string, std::string>> links_;
  Unpacked done_;
  int64_t headers_ = 0;
};

}  // namespace

absl::StatusOr<Unpacked> UnpackArchive(const std::string& archive, const std::string& folder,
                                       const UnpackOptions& options) {
  struct stat info {};
  if (stat(archive.c_str(), &info) != 0) {
    if (errno != ENOENT) return ErrnoError(errno, "cannot look at", archive);
    return MakeError(absl::StatusCode::kNotFound, "PACKAGE_NOT_FOUND",
                     absl::StrCat("there is no package ", archive), "check the path");
  }
  if (!S_ISREG(info.st_mode)) return Refuse(absl::StrCat(archive, " is no file"));
  if (Exists(folder)) {
    return absl::AlreadyExistsError(absl::StrCat(folder, " is there already"));
  }
  const std::string partial = absl::StrCat(folder, ".partial-", HexOf(SecretBytes(8)));
  auto done = Unpacker(archive, info.st_size, options).Run(partial);
  absl::Status status = done.status();
  if (status.ok() && rename(partial.c_str(), folder.c_str()) != 0) {
    status = ErrnoError(errno, "cannot rename to", folder);
  }
  if (status.ok()) return done;
  RemoveTree(partial).IgnoreError();
  return status;
}

}  // namespace trainyard::archive
