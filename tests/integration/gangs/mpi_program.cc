// What the ranks of gangs over several nodes run: a plain MPI program with nothing of ours in it.
// Each rank writes PREFIX.RANK.EPOCH with what it was told and what it found out, then all add up
// their numbers again and again until they are told to end.
//
//   trainyard-test-mpi PREFIX [until=FILE] [fail_rank=R] [no_mpi=1]
//     until=FILE    ends well once FILE is there (rank 0 looks); without it after the first sum
//     fail_rank=R   that rank writes to standard error and ends with 3 after the first sum
//     fail_when=F   and not before the file F is there
//     no_mpi=1      does not use MPI at all, as programs under the direct launcher
#include <fcntl.h>
#include <mpi.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace {

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

bool IsThere(const std::string& path) {
  struct stat info {};
  return !path.empty() && stat(path.c_str(), &info) == 0;
}

int64_t WallMicros() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

void Put(const std::string& path, const std::string& text) {
  const std::string part = path + ".part";
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    perror(path.c_str());
    exit(9);
  }
  close(fd);
  rename(part.c_str(), path.c_str());
}

std::string Network() {
  char link[64] = "";
  const ssize_t size = readlink("/proc/self/ns/net", link, sizeof link - 1);
  return std::string(link, static_cast<size_t>(size > 0 ? size : 0));
}

void Record(const std::string& prefix, const std::string& rank, double sum, int64_t sum_us) {
  std::string text;
  for (const char* name : {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR",
                           "MASTER_PORT", "TF_CONFIG", "CLUSTER_SPEC", "PWD"}) {
    text += std::string(name) + "=" + Variable(name) + "\n";
  }
  text += "pid=" + std::to_string(getpid()) + "\nnetwork=" + Network() +
          "\nsum=" + std::to_string(sum) + "\nsum_us=" + std::to_string(sum_us) + "\n";
  Put(prefix + "." + rank + "." + Variable("TRAINYARD_EPOCH"), text);
}

int RunAlone(const std::string& prefix, std::map<std::string, std::string> options) {
  Record(prefix, Variable("RANK"), 0, 0);
  while (!options["until"].empty() && !IsThere(options["until"])) usleep(10000);
  return 0;
}

int RunMpi(const std::string& prefix, std::map<std::string, std::string> options) {
  int number = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &number);
  const std::string rank = std::to_string(number);
  double mine = number + 1;
  double sum = 0;
  MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  Record(prefix, rank, sum, WallMicros());
  if (options["fail_rank"] == rank) {
    while (!options["fail_when"].empty() && !IsThere(options["fail_when"])) usleep(10000);
    fprintf(stderr, "rank %s cannot go on: the sum is wrong\n", rank.c_str());
    _exit(3);
  }
  int go_on = options["until"].empty() ? 0 : 1;
  while (go_on != 0) {
    if (number == 0) go_on = IsThere(options["until"]) ? 0 : 1;
    MPI_Request request;
    MPI_Ibcast(&go_on, 1, MPI_INT, 0, MPI_COMM_WORLD, &request);
    for (int done = 0; done == 0; usleep(2000)) MPI_Test(&request, &done, MPI_STATUS_IGNORE);
  }
  MPI_Finalize();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: trainyard-test-mpi PREFIX [NAME=VALUE...]\n");
    return 2;
  }
  std::map<std::string, std::string> options;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    if (equals != std::string::npos) options[word.substr(0, equals)] = word.substr(equals + 1);
  }
  if (options["no_mpi"] == "1") return RunAlone(argv[1], options);
  MPI_Init(&argc, &argv);
  return RunMpi(argv[1], options);
}
