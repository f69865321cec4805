// Forwards growing log files of an attempt folder to the console, whole lines at a time, with the
// rank before each line when there are several. One thread.
#ifndef TRAINYARD_CLIENT_CLI_LOG_FILES_H_
#define TRAINYARD_CLIENT_CLI_LOG_FILES_H_

#include <string>
#include <vector>

#include "client/cli/console.h"
#include "common/file.h"

namespace trainyard::cli {

class LogFiles {
 public:
  // Ranks 0 .. ranks - 1 of `folder`, and the launcher's own messages.
  LogFiles(Console* console, const std::string& folder, int ranks);
  // Prints what is new; false when there was nothing.
  bool Forward();
  // Prints what has no line end yet.
  void Finish();

 private:
  struct File {
    std::string path;
    std::string label;  // "" or "[rank 1] "
    bool is_stderr = false;
    FileDescriptor fd;
    std::string pending;
  };
  bool Read(File* file);
  void Print(File* file, bool whole);

  Console* console_;
  std::vector<File> files_;
};

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_LOG_FILES_H_
