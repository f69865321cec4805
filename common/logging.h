// The one place that sets glog's values, from our own flags --log_level and --log_directory.
#ifndef TRAINYARD_COMMON_LOGGING_H_
#define TRAINYARD_COMMON_LOGGING_H_

namespace trainyard {

// Call once in main, after absl::ParseCommandLine. Logs to standard error unless --log_directory is
// given.
void StartLogging(const char* program);

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_LOGGING_H_
