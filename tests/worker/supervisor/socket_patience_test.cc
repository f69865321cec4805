// Sockets of another process get a limit for data that nobody acknowledges.
#include "worker/supervisor/socket_patience.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace trainyard::worker {
namespace {

class SocketPatienceTest : public ::testing::Test {
 protected:
  // Two ends of a TCP connection, one of a Unix socket; a child that holds them too.
  void SetUp() override {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(listen(listener, 1), 0);
    ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    probing_ = socket(AF_INET, SOCK_STREAM, 0);
    ASSERT_EQ(connect(probing_, reinterpret_cast<sockaddr*>(&address), size), 0);
    plain_ = accept(listener, nullptr, nullptr);
    close(listener);
    child_ = fork();
    if (child_ == 0) {
      pause();
      _exit(0);
    }
    ASSERT_GT(child_, 0);
  }
  void TearDown() override {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
    close(probing_);
    close(plain_);
  }
  void Probe() {
    const int on = 1;
    ASSERT_EQ(setsockopt(probing_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), 0);
  }
  static int Limit(int fd) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &size), 0);
    return value;
  }

  int probing_ = -1;
  int plain_ = -1;
  pid_t child_ = -1;
};

TEST_F(SocketPatienceTest, ProbingConnectionsOfAnotherProcessGetTheLimit) {
  Probe();
  SocketPatience patience(1500);
  ASSERT_EQ(patience.Look(child_), 1);
  EXPECT_EQ(Limit(probing_), 1500);
  EXPECT_EQ(Limit(plain_), 0) << "it does not probe its peer: it is not mpirun's own";
}

TEST_F(SocketPatienceTest, EachOnceAndLaterOnesToo) {
  SocketPatience patience(1500);
  EXPECT_EQ(patience.Look(child_), 0);
  Probe();
  EXPECT_EQ(patience.Look(child_), 1);
  EXPECT_EQ(patience.Look(child_), 0);
}

TEST_F(SocketPatienceTest, AProcessThatIsGoneHasNone) {
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  EXPECT_EQ(SocketPatience(1500).Look(child_), 0);
}

}  // namespace
}  // namespace trainyard::worker
