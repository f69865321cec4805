// Small file and clock helpers of the supervisor: standard library and system calls only, no
// exceptions, errors as errno. Single-threaded use.
#ifndef TRAINYARD_WORKER_SUPERVISOR_FILES_H_
#define TRAINYARD_WORKER_SUPERVISOR_FILES_H_

#include <cstdint>
#include <string>

namespace trainyard::worker {

int64_t WallMicros();
int64_t MonotonicMillis();  // stands still while the machine sleeps
int64_t BootMillis();       // goes on meanwhile

// Whole file, at most `bytes_max` bytes of it. False (errno) when it cannot be read.
bool ReadWhole(const std::string& path, size_t bytes_max, std::string* to);
// Last `bytes_max` bytes; "" when it cannot be read.
std::string ReadTail(const std::string& path, size_t bytes_max);
// Temporary file (PATH.new), fsync, rename. The bytes are durable when true; after a power cut they
// may still bear the temporary name, so a reader looks there too. False (errno) on any failure.
bool WriteDurably(const std::string& path, const std::string& bytes);
bool WriteFully(int fd, const std::string& bytes);

// WriteDurably in two steps. The file system needs some 15 ms to make a new file durable, because
// the file's place has to be; into a file that lies there already the bytes go at once.
class PreparedFile {
 public:
  PreparedFile() = default;
  ~PreparedFile();
  PreparedFile(const PreparedFile&) = delete;
  PreparedFile& operator=(const PreparedFile&) = delete;

  // Makes PATH.new, blank, and has a child process make it durable; the caller goes on meanwhile
  // and reaps it some time. Without success Write() takes the long way.
  void Prepare(const std::string& path);
  // As WriteDurably(path, bytes); what is behind the bytes is blank.
  bool Write(const std::string& path, const std::string& bytes);

 private:
  int fd_ = -1;
};

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
