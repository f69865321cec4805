// Preloaded into the scheduler, as a dying disk does: fsync and fdatasync fail with EIO,
//  - all of them, once the file that TRAINYARD_TEST_FAIL_SYNC names is there;
//  - the one of number TRAINYARD_TEST_FAIL_NTH, from 1, alone, of those of files whose name, with a $
//    behind it, has TRAINYARD_TEST_FAIL_FILE in it: which it was is then said in the file
//    TRAINYARD_TEST_FAILED.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int all_fail(void) {
  const char* path = getenv("TRAINYARD_TEST_FAIL_SYNC");
  return path != NULL && access(path, F_OK) == 0;
}

static int one_fails(int fd) {
  static long passed = 0;
  const char* nth = getenv("TRAINYARD_TEST_FAIL_NTH");
  if (nth == NULL) return 0;
  char link[64];
  char name[PATH_MAX + 2];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, name, PATH_MAX);
  if (size <= 0) return 0;
  name[size] = '$';
  name[size + 1] = '\0';
  if (strstr(name, getenv("TRAINYARD_TEST_FAIL_FILE")) == NULL) return 0;
  if (__atomic_add_fetch(&passed, 1, __ATOMIC_RELAXED) != atol(nth)) return 0;
  const int said = open(getenv("TRAINYARD_TEST_FAILED"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (said >= 0 && write(said, name, (size_t)size) == size) close(said);
  return 1;
}

static int fails(int fd) {
  if (!all_fail() && !one_fails(fd)) return 0;
  errno = EIO;
  return 1;
}

int fsync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
