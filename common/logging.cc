// See logging.h.
#include "common/logging.h"

#include <glog/logging.h>

#include <string>

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, log_level, "info", "Lowest level that is logged: info, warning or error");
ABSL_FLAG(std::string, log_directory, "", "Folder for log files; empty: standard error");

namespace trainyard {

void StartLogging(const char* program) {
  const std::string level = absl::GetFlag(FLAGS_log_level);
  FLAGS_minloglevel = level == "error"     ? google::GLOG_ERROR
                      : level == "warning" ? google::GLOG_WARNING
                                           : google::GLOG_INFO;
  const std::string folder = absl::GetFlag(FLAGS_log_directory);
  FLAGS_logtostderr = folder.empty();
  if (!folder.empty()) FLAGS_log_dir = folder;
  FLAGS_logbufsecs = 0;
  google::InitGoogleLogging(program);
}

}  // namespace trainyard
