// Small file and clock helpers of the supervisor: standard library and system calls only, no
// exceptions, errors as errno. Single-threaded use.
#ifndef TRAINYARD_WORKER_SUPERVISOR_FILES_H_
#define TRAINYARD_WORKER_SUPERVISOR_FILES_H_

#include <cstdint>
#include <string>

namespace trainyard::worker {

int64_t WallMicros();
// CLOCK_BOOTTIME: goes on while the machine sleeps, so that leases end in real time.
int64_t MonotonicMillis();

// Whole file, at most `bytes_max` bytes of it. False (errno) when it cannot be read.
bool ReadWhole(const std::string& path, size_t bytes_max, std::string* to);
// Last `bytes_max` bytes; "" when it cannot be read.
std::string ReadTail(const std::string& path, size_t bytes_max);
// Temporary file (PATH.new), fsync, rename. The bytes are durable when true; after a power cut they
// may still bear the temporary name, so a reader looks there too. False (errno) on any failure.
bool WriteDurably(const std::string& path, const std::string& bytes);
bool WriteFully(int fd, const std::string& bytes);

// An append-only file of lines; each line is one write, so that readers see whole lines.
class LineFile {
 public:
  LineFile() = default;
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;
  bool Open(const std::string& path);
  bool Append(const std::string& lines);  // each ended by '\n'

 private:
  int fd_ = -1;
};

// "BOOT_ID PID START_TIME" of process `pid`: what tells it from a later process of the same number.
// "" when there is no such process.
std::string ProcessIdentity(int pid);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_SUPERVISOR_FILES_H_
