// Preloaded into the scheduler: once the file TRAINYARD_TEST_FAIL_SYNC names is there, every fsync
// and fdatasync fails with EIO, as a dying disk's do.
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fails(void) {
  const char* path = getenv("TRAINYARD_TEST_FAIL_SYNC");
  return path != NULL && access(path, F_OK) == 0;
}

int fsync(int fd) {
  if (fails()) {
    errno = EIO;
    return -1;
  }
  return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  if (fails()) {
    errno = EIO;
    return -1;
  }
  return (int)syscall(SYS_fdatasync, fd);
}
