// See test_archive.h.
#include "tests/common/archive/test_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

namespace trainyard::archive {

bool WriteTestArchive(const std::string& path, TestFormat format,
                      const std::vector<TestEntry>& entries) {
  const std::unique_ptr<::archive, int (*)(::archive*)> writer(archive_write_new(),
                                                               &archive_write_free);
  if (format == TestFormat::kZip) {
    archive_write_set_format_zip(writer.get());
  } else {
    archive_write_set_format_pax_restricted(writer.get());
    if (format == TestFormat::kTarGz) archive_write_add_filter_gzip(writer.get());
  }
  if (archive_write_open_filename(writer.get(), path.c_str()) != ARCHIVE_OK) return false;
  for (const TestEntry& from : entries) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                         &archive_entry_free);
    archive_entry_copy_pathname(entry.get(), from.name.c_str());
    archive_entry_set_filetype(entry.get(), from.type);
    archive_entry_set_perm(entry.get(), from.mode);
    if (!from.link.empty()) archive_entry_copy_symlink(entry.get(), from.link.c_str());
    if (!from.hardlink.empty()) archive_entry_copy_hardlink(entry.get(), from.hardlink.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(from.content.size()));
    if (archive_write_header(writer.get(), entry.get()) < ARCHIVE_WARN) return false;
    if (from.content.empty()) continue;
    if (archive_write_data(writer.get(), from.content.data(), from.content.size()) < 0) {
      return false;
    }
  }
  return archive_write_close(writer.get()) == ARCHIVE_OK;
}

}  // namespace trainyard::archive
