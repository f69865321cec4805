// What the ranks of these tests run: a small program with no library of ours in it. Each rank
// keeps a record PREFIX.RANK.EPOCH.PID with "COUNTER LONGEST_GAP_MS", rewritten every 10 ms, so
// that a test sees who runs, that it never stood still, and that nothing was started twice.
//
//   trainyard-test-rank beat PREFIX [until=FILE] [exit=N] [save_ms=N] [fail_rank=R] [ms=N]
//     until=FILE   ends with `exit` once FILE is there          ms=N   ends after N ms
//     own=FILE     the same for FILE.EPOCH, which is this attempt's alone
//     save_ms=N    after SIGTERM goes on for N ms, then writes PREFIX.saved.RANK and ends with 0;
//                  without it SIGTERM ends the program as usual
//     fail_rank=R  that rank writes to standard error and ends with 3 at once
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace {

volatile sig_atomic_t g_terminated = 0;

int64_t Millis() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "0" : value;
}

bool IsThere(const std::string& path) {
  struct stat info {};
  return !path.empty() && stat(path.c_str(), &info) == 0;
}

bool Put(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const bool done = fd >= 0 && write(fd, text.data(), text.size()) == (ssize_t)text.size();
  if (fd >= 0) close(fd);
  return done;
}

struct Beat {
  explicit Beat(const std::string& prefix) : last(Millis()), start(last) {
    const std::string path = prefix + "." + Variable("RANK") + "." + Variable("TRAINYARD_EPOCH") +
                             "." + std::to_string(getpid());
    fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      perror(path.c_str());
      exit(9);
    }
  }
  void Once() {
    const int64_t now = Millis();
    gap = std::max(gap, now - last);
    last = now;
    char text[64];
    const int size = snprintf(text, sizeof text, "%12ld %12ld\n", ++counter, (long)gap);
    if (pwrite(fd, text, (size_t)size, 0) != size) exit(9);
    usleep(10000);
  }
  int fd = -1;
  int64_t last;
  int64_t start;
  int64_t gap = 0;
  long counter = 0;
};

int Save(const std::string& prefix, int64_t millis, Beat* beat) {
  const int64_t end = Millis() + millis;
  while (Millis() < end) beat->Once();
  return Put(prefix + ".saved." + Variable("RANK"), "saved\n") ? 0 : 9;
}

int BeatOn(const std::string& prefix, std::map<std::string, std::string> options) {
  if (options.count("fail_rank") > 0 && options["fail_rank"] == Variable("RANK")) {
    fprintf(stderr, "rank %s cannot go on: the sum is wrong\n", Variable("RANK").c_str());
    return 3;
  }
  if (options.count("save_ms") > 0) signal(SIGTERM, [](int) { g_terminated = 1; });
  Beat beat(prefix);
  const int64_t end =
      options.count("ms") > 0 ? beat.start + atol(options["ms"].c_str()) : INT64_MAX;
  const std::string own =
      options.count("own") > 0 ? options["own"] + "." + Variable("TRAINYARD_EPOCH") : "";
  while (!IsThere(options["until"]) && !IsThere(own) && Millis() < end) {
    beat.Once();
    if (g_terminated != 0) return Save(prefix, atol(options["save_ms"].c_str()), &beat);
  }
  const char* const model = getenv("AIP_MODEL_DIR");
  if (model != nullptr && Variable("RANK") == "0") {
    Put(std::string(model) + "model.txt", prefix + " " + Variable("TRAINYARD_EPOCH") + "\n");
  }
  return atoi(options["exit"].c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || std::string(argv[1]) != "beat") {
    fprintf(stderr, "usage: trainyard-test-rank beat PREFIX [NAME=VALUE...]\n");
    return 2;
  }
  std::map<std::string, std::string> options;
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    if (equals != std::string::npos) options[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return BeatOn(argv[2], options);
}
