// libFuzzer on archives that users bring: whatever is in them, nothing appears beside the folder,
// no link leads out of it, and no more is written than was allowed. tests/fuzz/run.py builds and
// runs it.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/archive/archive.h"

namespace {

namespace fs = std::filesystem;

struct Place {
  Place() {
    char name[] = "/dev/shm/tar_fuzz.XXXXXX";
    if (mkdtemp(name) == nullptr) abort();
    path = name;
  }
  ~Place() { fs::remove_all(path); }
  fs::path path;
};

void CheckInside(const fs::path& folder, int64_t bytes_max) {
  int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_symlink()) {
      const fs::path target =
          (entry.path().parent_path() / fs::read_symlink(entry.path())).lexically_normal();
      const std::string relative = target.lexically_relative(folder);
      if (relative.rfind("..", 0) == 0) abort();
    } else if (entry.is_regular_file()) {
      bytes += static_cast<int64_t>(entry.file_size());
      if ((entry.status().permissions() & (fs::perms::set_uid | fs::perms::set_gid)) !=
          fs::perms::none) {
        abort();
      }
    }
  }
  if (bytes > bytes_max) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Place place;
  static const fs::path archive = place.path / "in.tar";
  const fs::path folder = place.path / "out";
  FILE* const file = fopen(archive.c_str(), "wb");
  if (file == nullptr || fwrite(data, 1, size, file) != size) abort();
  fclose(file);
  trainyard::archive::UnpackOptions options;
  options.entries_max = 100;
  options.bytes_max = 1 << 20;
  const auto unpacked = trainyard::archive::UnpackArchive(archive, folder, options);
  if (unpacked.ok()) {
    CheckInside(folder, options.bytes_max);
  } else if (fs::exists(folder) || unpacked.status().message().empty()) {
    abort();  // whole or not at all
  }
  fs::remove_all(folder);
  int beside = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(place.path)) ++beside;
  if (beside != 1) abort();
  return 0;
}
