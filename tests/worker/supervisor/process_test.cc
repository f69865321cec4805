// Starting and ending processes, the line server, mpirun's arguments, small files.
#include "worker/supervisor/process.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "worker/supervisor/files.h"
#include "worker/supervisor/launcher.h"
#include "worker/supervisor/line_server.h"
#include "worker/supervisor/mpirun_launcher.h"

namespace trainyard::worker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    char name[] = "/tmp/trainyard-process-test-XXXXXX";
    folder_ = mkdtemp(name);
    back_ = std::filesystem::current_path();
    std::filesystem::current_path(folder_);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
  ~ProcessTest() override {
    std::filesystem::current_path(back_);
    std::filesystem::remove_all(folder_);
  }

  ProcessSpec Shell(const std::string& script) {
    ProcessSpec spec;
    spec.path = "/bin/sh";
    spec.argv = {"sh", "-c", script};
    spec.env = {{"PATH", "/usr/bin:/bin"}};
    spec.output_path = "out";
    spec.error_path = "err";
    return spec;
  }
  static std::string Text(const std::string& path) {
    std::string text;
    return ReadWhole(path, 1 << 20, &text) ? text : "(absent)";
  }

  std::string folder_;
  std::filesystem::path back_;
};

// Also without a descriptor to wait on, as when the process has none left.
TEST_F(ProcessTest, TheEndIsSeenWithAndWithoutADescriptor) {
  for (const bool with : {true, false}) {
    const StartedProcess started = StartProcess(Shell("sleep 0.2"));
    ASSERT_GT(started.pid, 0);
    const int pidfd = with ? static_cast<int>(syscall(SYS_pidfd_open, started.pid, 0)) : -1;
    EXPECT_FALSE(AwaitEnd(started.pid, pidfd, 1));
    EXPECT_TRUE(AwaitEnd(started.pid, pidfd, 30000));
    int status = 0;
    EXPECT_EQ(waitpid(started.pid, &status, 0), started.pid) << "it was not reaped";
    EXPECT_TRUE(AwaitEnd(started.pid, pidfd, 0)) << "a child that is gone has ended";
    if (pidfd >= 0) close(pidfd);
  }
}

TEST_F(ProcessTest, AProgramGetsItsArgumentsEnvironmentFolderAndStreams) {
  mkdir("work", 0700);
  ProcessSpec spec = Shell("echo \"$0|$1|$X|$(pwd)\"; cat; echo e >&2");
  spec.argv.push_back("zero");
  spec.argv.push_back("a  b");
  spec.env["X"] = "y z";
  spec.folder = folder_ + "/work";
  const StartedProcess started = StartProcess(spec);
  ASSERT_GT(started.pid, 0);
  int status = -1;
  ASSERT_EQ(waitpid(started.pid, &status, 0), started.pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Text("out"), "zero|a  b|y z|" + folder_ + "/work\n");
  EXPECT_EQ(Text("err"), "e\n");
}

TEST_F(ProcessTest, OutputIsAppended) {
  for (int i = 0; i < 2; ++i) {
    const StartedProcess started = StartProcess(Shell("echo again"));
    waitpid(started.pid, nullptr, 0);
  }
  EXPECT_EQ(Text("out"), "again\nagain\n");
}

TEST_F(ProcessTest, EachFailedStepIsTold) {
  ProcessSpec spec = Shell("true");
  spec.path = folder_ + "/absent";
  StartedProcess started = StartProcess(spec);
  EXPECT_EQ(started.pid, -1);
  EXPECT_EQ(started.step, "exec");
  EXPECT_EQ(started.error, ENOENT);

  spec = Shell("true");
  spec.folder = folder_ + "/absent";
  EXPECT_EQ(StartProcess(spec).step, "chdir");

  spec = Shell("true");
  spec.output_path = "absent/out";
  EXPECT_EQ(StartProcess(spec).step, "open");

  std::ofstream("script.py") << "print(1)\n";
  chmod("script.py", 0755);
  spec = Shell("true");
  spec.path = folder_ + "/script.py";
  EXPECT_EQ(StartProcess(spec).error, ENOEXEC);
  chmod("script.py", 0644);
  EXPECT_EQ(StartProcess(spec).error, EACCES);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a failed start leaves no child";
}

TEST_F(ProcessTest, ProgramsAreFoundAlongPath) {
  const Environment env = {{"PATH", "/nonexistent:/usr/bin:/bin"}};
  EXPECT_EQ(FindProgram("env", env), "/usr/bin/env");
  EXPECT_EQ(FindProgram("./own", env), "./own");
  EXPECT_EQ(FindProgram("/x/y", env), "/x/y");
  EXPECT_EQ(FindProgram("no-such-program", env), "");
  // Never the current folder, whatever PATH says.
  std::ofstream("mine") << "#!/bin/sh\n";
  chmod("mine", 0755);
  EXPECT_EQ(FindProgram("mine", {{"PATH", "::.:"}}), "");
}

TEST_F(ProcessTest, KillingFindsWhatWasLeftBehind) {
  // A daemon that forked away twice and left the group and the session.
  const StartedProcess started =
      StartProcess(Shell("setsid sh -c 'sleep 1000 & sleep 1000' & sleep 1000 & echo done"));
  ASSERT_GT(started.pid, 0);
  ASSERT_EQ(waitpid(started.pid, nullptr, 0), started.pid);
  EXPECT_GE(Descendants().size(), 2u);
  EXPECT_GE(KillDescendants(10000), 2);
  EXPECT_THAT(Descendants(), testing::IsEmpty());
}

TEST_F(ProcessTest, AnIdentityTellsProcessesApart) {
  const std::string own = ProcessIdentity(getpid());
  EXPECT_THAT(own, HasSubstr(" " + std::to_string(getpid()) + " "));
  EXPECT_EQ(own, ProcessIdentity(getpid()));
  EXPECT_NE(own, ProcessIdentity(getppid()));
  EXPECT_EQ(ProcessIdentity(0x3ffffff), "");
}

TEST_F(ProcessTest, FilesAreReplacedWholeAndTailsAreTheEnd) {
  ASSERT_TRUE(WriteDurably("exit.json", "first"));
  ASSERT_TRUE(WriteDurably("exit.json", "second"));
  EXPECT_EQ(Text("exit.json"), "second");
  EXPECT_FALSE(std::filesystem::exists("exit.json.new"));
  EXPECT_EQ(ReadTail("exit.json", 3), "ond");
  EXPECT_EQ(ReadTail("exit.json", 100), "second");
  EXPECT_EQ(ReadTail("absent", 3), "");
  EXPECT_FALSE(WriteDurably("absent/x", "y"));
  for (const size_t bytes : {size_t{5}, size_t{100000}}) {
    PreparedFile file;
    file.Prepare("exit.json");
    EXPECT_EQ(Text("exit.json"), "second") << "nothing is there before it is written";
    ASSERT_TRUE(file.Write("exit.json", std::string(bytes, 'x')));
    std::string text = Text("exit.json");
    text.resize(text.find_last_not_of(' ') + 1);
    EXPECT_EQ(text, std::string(bytes, 'x'));
    EXPECT_NE(access("exit.json.new", F_OK), 0);
    ASSERT_TRUE(WriteDurably("exit.json", "second"));
    while (waitpid(-1, nullptr, 0) > 0) {
    }
  }
  PreparedFile unprepared;
  EXPECT_TRUE(unprepared.Write("exit.json", "as before"));
  EXPECT_EQ(Text("exit.json"), "as before");
}

// A client of a LineServer in the same thread.
class Client {
 public:
  explicit Client(const std::string& name) : fd_(socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, name.data(), name.size());
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(fd_); }
  void Send(const std::string& text) {
    ASSERT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  std::string Receive() {
    char buffer[4096];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : n == 0 ? "(closed)" : "(none)";
  }
  bool connected() const { return connected_; }

 private:
  int fd_;
  bool connected_ = false;
};

void ServeOnce(LineServer* server) {
  for (int round = 0; round < 3; ++round) {
    std::vector<pollfd> fds;
    server->AddTo(&fds);
    if (poll(fds.data(), fds.size(), 0) > 0) server->Serve(fds);
  }
}

TEST_F(ProcessTest, LinesAreAnsweredInOrderOverSeveralConnections) {
  LineServer server;
  ASSERT_TRUE(server.Listen("s", -1, [](const Connection& from, const std::string& line) {
    return line + " from " + std::to_string(from.peer == getpid());
  }));
  Client one("s");
  Client two("s");
  one.Send("a\nb\nhal");
  two.Send("x\n");
  ServeOnce(&server);
  EXPECT_EQ(one.Receive(), "a from 1\nb from 1\n");
  EXPECT_EQ(two.Receive(), "x from 1\n");
  one.Send("f\n");
  ServeOnce(&server);
  EXPECT_EQ(one.Receive(), "half from 1\n");
}

TEST_F(ProcessTest, ALineThatNeverEndsIsRefusedAndClosed) {
  LineServer server;
  ASSERT_TRUE(server.Listen("s", -1, [](const Connection&, const std::string&) { return "ok"; }));
  Client client("s");
  for (int i = 0; i < 5; ++i) {
    client.Send(std::string(16000, 'x'));
    ServeOnce(&server);
  }
  EXPECT_THAT(client.Receive(), HasSubstr("65536"));
  EXPECT_EQ(client.Receive(), "(closed)");
}

TEST_F(ProcessTest, ASocketIsPrivateAndReplacesAnOldOne) {
  std::ofstream("s") << "old";
  LineServer server;
  ASSERT_TRUE(server.Listen("s", -1, [](const Connection&, const std::string&) { return "ok"; }));
  struct stat info {};
  ASSERT_EQ(stat("s", &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  Client client("s");
  EXPECT_TRUE(client.connected());
  LineServer other;
  EXPECT_FALSE(other.Listen(std::string(200, 'n'), -1, nullptr));
}

TEST_F(ProcessTest, DrainTakesWhatWasSentByOnesWhoLeft) {
  LineServer server;
  std::vector<std::string> lines;
  ASSERT_TRUE(server.Listen("s", -1, [&](const Connection&, const std::string& line) {
    lines.push_back(line);
    return std::string("ok");
  }));
  {
    Client client("s");
    client.Send("last words\n");
  }
  server.Drain();
  EXPECT_THAT(lines, ElementsAre("last words"));
}

TEST_F(ProcessTest, MpirunKeepsToItselfAndNamesTheShim) {
  LaunchSpec spec;
  spec.argv = {"python3", "-m", "x y"};
  spec.ranks.resize(4);
  spec.rank_shim = "/opt/trainyard-rank";
  const std::vector<std::string> argv =
      MpirunArguments(spec, "/usr/bin/python3", "/tmp/s", "", true);
  const auto after = [&argv](const std::string& word) {
    const auto at = std::find(argv.begin(), argv.end(), word);
    return at == argv.end() || at + 1 == argv.end() ? std::string("(absent)") : *(at + 1);
  };
  EXPECT_EQ(argv[0], "mpirun");
  EXPECT_EQ(after("-np"), "4");
  EXPECT_EQ(after("--host"), "localhost:4");
  EXPECT_EQ(after("oob_tcp_if_include"), "lo");
  EXPECT_EQ(after("orte_tmpdir_base"), "/tmp/s");
  EXPECT_THAT(argv, Contains("--allow-run-as-root"));
  const std::vector<std::string> tail(argv.end() - 5, argv.end());
  EXPECT_THAT(tail, ElementsAre("/opt/trainyard-rank", "--", "/usr/bin/python3", "-m", "x y"));
  EXPECT_THAT(MpirunArguments(spec, "p", "/tmp/s", "", false),
              testing::Not(Contains("--allow-run-as-root")));
}

LaunchSpec GangOfTwoNodes(int32_t open_mpi) {
  LaunchSpec spec;
  spec.argv = {"python3"};
  spec.ranks.resize(2);
  spec.world_size = 3;
  spec.open_mpi = open_mpi;
  spec.rank_shim = "/opt/bin/trainyard-rank";
  spec.network_interface = "eth7";
  spec.port_range = "20000-20099";
  spec.gang = {{"a", "10.0.0.1", {0, 2}}, {"b", "10.0.0.2", {1}}};
  return spec;
}

std::string ValueOf(const std::vector<std::string>& argv, const std::string& flag,
                    const std::string& name) {
  for (size_t i = 0; i + 2 < argv.size(); ++i) {
    if (argv[i] == flag && argv[i + 1] == name) return argv[i + 2];
  }
  return "(absent)";
}

TEST_F(ProcessTest, AGangOverNodesHasEachRankOnItsNode) {
  const std::vector<std::string> argv =
      MpirunArguments(GangOfTwoNodes(4), "p", "/tmp/s", "/tmp/s/launch-agent", true);
  const auto host = std::find(argv.begin(), argv.end(), "--host");
  ASSERT_NE(host, argv.end());
  EXPECT_EQ(*(host + 1), "localhost,10.0.0.2,localhost");
  EXPECT_EQ(ValueOf(argv, "--host", *(host + 1)), "--map-by");
  EXPECT_EQ(ValueOf(argv, "--mca", "plm"), "rsh");
  EXPECT_EQ(ValueOf(argv, "--mca", "plm_rsh_agent"), "/tmp/s/launch-agent");
  EXPECT_EQ(ValueOf(argv, "--mca", "plm_rsh_no_tree_spawn"), "1");
  EXPECT_EQ(ValueOf(argv, "--mca", "oob_tcp_if_include"), "eth7");
  EXPECT_EQ(ValueOf(argv, "--mca", "oob_tcp_dynamic_ipv4_ports"), "20000-20099");
  EXPECT_EQ(ValueOf(argv, "--mca", "btl_tcp_port_min_v4"), "20000");
  EXPECT_EQ(ValueOf(argv, "--mca", "btl_tcp_port_range_v4"), "100");
  EXPECT_EQ(argv.back(), "trainyard-rank") << "each node has its own path and program";
}

TEST_F(ProcessTest, OpenMpi5HasOtherNamesForTheLauncher) {
  const std::vector<std::string> argv =
      MpirunArguments(GangOfTwoNodes(5), "p", "/tmp/s", "/tmp/s/launch-agent", false);
  EXPECT_EQ(ValueOf(argv, "--prtemca", "plm"), "ssh");
  EXPECT_EQ(ValueOf(argv, "--prtemca", "plm_ssh_agent"), "/tmp/s/launch-agent");
  EXPECT_EQ(ValueOf(argv, "--prtemca", "prte_if_include"), "eth7");
  EXPECT_EQ(ValueOf(argv, "--prtemca", "prte_tmpdir_base"), "/tmp/s");
  EXPECT_EQ(ValueOf(argv, "--prtemca", "prte_dynamic_ipv4_ports"), "20000-20099");
  EXPECT_EQ(ValueOf(argv, "--mca", "btl_tcp_if_include"), "eth7");
  EXPECT_EQ(ValueOf(argv, "--mca", "plm"), "(absent)");
  LaunchSpec one = GangOfTwoNodes(5);
  one.gang.clear();
  EXPECT_EQ(ValueOf(MpirunArguments(one, "p", "/tmp/s", "", false), "--prtemca", "plm"),
            "(absent)");
}

}  // namespace
}  // namespace trainyard::worker
