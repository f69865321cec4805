// Preloaded into the scheduler, for power cuts: each file whose name has TRAINYARD_TEST_LOSES in it
// is copied into the folder TRAINYARD_TEST_DURABLE whenever it was synced. What the copy does not
// have, a disk that loses its power may not have either.
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

// A later copy of a file is never older than an earlier one.
static void copy(const char* from) {
  const char* const folder = getenv("TRAINYARD_TEST_DURABLE");
  char draft[PATH_MAX];
  char to[PATH_MAX];
  const char* const base = strrchr(from, '/') + 1;
  if (snprintf(draft, sizeof draft, "%s/.draft", folder) >= PATH_MAX) abort();
  if (snprintf(to, sizeof to, "%s/%s", folder, base) >= PATH_MAX) abort();
  const int in = open(from, O_RDONLY | O_CLOEXEC);
  if (in < 0) return;  // it has no name any more
  const int out = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  struct stat info;
  if (out < 0 || fstat(in, &info) != 0) abort();
  for (off_t at = 0; at < info.st_size;) {
    if (sendfile(out, in, &at, (size_t)(info.st_size - at)) <= 0) break;
  }
  close(in);
  close(out);
  if (rename(draft, to) != 0) abort();
}

static int synced(int result, int fd) {
  const char* const loses = getenv("TRAINYARD_TEST_LOSES");
  if (result != 0 || loses == NULL) return result;
  char link[64];
  char name[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, name, sizeof name - 1);
  if (size <= 0) return result;
  name[size] = '\0';
  if (strstr(name, loses) == NULL) return result;
  pthread_mutex_lock(&one_at_a_time);
  copy(name);
  pthread_mutex_unlock(&one_at_a_time);
  return result;
}

int fsync(int fd) { return synced((int)syscall(SYS_fsync, fd), fd); }

int fdatasync(int fd) { return synced((int)syscall(SYS_fdatasync, fd), fd); }
