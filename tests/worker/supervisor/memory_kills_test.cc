// Whom the out-of-memory killer took, by the kernel's log, by the counter of a memory cgroup, and
// by the machine's counter; and everything that is no evidence.
#include "worker/supervisor/memory_kills.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

namespace trainyard::worker {
namespace {

constexpr pid_t kRank = 4321;
constexpr char kHere[] = "pid:[4026531836]";
constexpr char kContainer[] = "pid:[4026532999]";

// A kernel in a folder.
class MemoryKillsTest : public testing::Test {
 protected:
  MemoryKillsTest() {
    char name[] = "/tmp/trainyard-memory-kills-test-XXXXXX";
    folder_ = mkdtemp(name);
    std::filesystem::create_directories(folder_ + "/proc/self/ns");
    std::filesystem::create_directories(folder_ + "/proc/" + std::to_string(kRank));
    Machine(7);
  }
  ~MemoryKillsTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& path, const std::string& text) {
    const std::filesystem::path whole = folder_ + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  void Log(const std::string& text) { std::ofstream(folder_ + "/log", std::ios::app) << text; }
  void Machine(int kills) {
    Write("/proc/vmstat", "nr_free_pages 1\noom_kill " + std::to_string(kills) + "\nlast 2\n");
  }
  void Rank(const std::string& groups, long pages) {
    const std::string own = "/proc/" + std::to_string(kRank);
    Write(own + "/cgroup", groups);
    Write(own + "/statm", "999999 " + std::to_string(pages) + " 1 1 0 1 0\n");
  }
  void Children(pid_t pid, const std::string& children) {
    const std::string own = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid);
    Write(own + "/children", children);
  }
  void Name(pid_t pid, const std::string& name) {
    Write("/proc/" + std::to_string(pid) + "/comm", name + "\n");
  }
  // Those of the whole machine's memory.
  static long Pages(double part) {
    return static_cast<long>(part * static_cast<double>(sysconf(_SC_PHYS_PAGES)));
  }
  std::unique_ptr<MemoryKills> Begin(const char* space, bool expect_named) {
    std::filesystem::create_symlink(space, folder_ + "/proc/self/ns/pid");
    MemoryKills::Places places;
    places.log = folder_ + "/log";
    places.proc = folder_ + "/proc";
    places.cgroups = folder_ + "/cgroup";
    auto kills = std::make_unique<MemoryKills>(places);
    EXPECT_EQ(kills->Begin(), expect_named);
    return kills;
  }

  std::string folder_;
};

TEST(VictimTest, IsReadFromTheKernelsOwnLinesAlone) {
  EXPECT_EQ(VictimOf("3,9,2,-;Out of memory: Killed process 17 (python3) total-vm:9kB"), 17);
  EXPECT_EQ(VictimOf("3,9,2,-;Memory cgroup out of memory: Killed process 17 (a b) x"), 17);
  EXPECT_EQ(VictimOf("3,9,2,-;Killed process 17 (python3) total-vm:9kB"), 17);
  // Somebody wrote it into the log from outside the kernel.
  EXPECT_EQ(VictimOf("12,9,2,-;Out of memory: Killed process 17 (python3)"), -1);
  EXPECT_EQ(VictimOf("6,9,2,-;python3 invoked oom-killer: Killed process 17 (python3)"), -1);
  EXPECT_EQ(VictimOf("6,9,2,-;Out of memory: Killed process"), -1);
  EXPECT_EQ(VictimOf("6,9,2,-;usb 1-1: new device"), -1);
  EXPECT_EQ(VictimOf("Out of memory: Killed process 17 (python3)"), -1);
  EXPECT_EQ(VictimOf(""), -1);
}

TEST_F(MemoryKillsTest, TheLogNamesTheVictimAndNobodyElseIsOne) {
  Log("3,1,1,-;Out of memory: Killed process 4321 (before) total-vm:9kB\n");
  const auto kills = Begin(kHere, true);
  EXPECT_FALSE(kills->Took(kRank)) << "that was before it began";
  Machine(8);
  Log("3,2,2,-;Out of memory: Killed process 99 (other) total-vm:9kB\n");
  EXPECT_FALSE(kills->Took(kRank)) << "another process was taken";
  Log("6,3,3,-;Tasks state\n SUBSYSTEM=x\n3,4,4,-;Memory cgroup out of memory: Killed proc");
  EXPECT_FALSE(kills->Took(kRank));
  Log("ess 4321 (python3) total-vm:9kB\n");
  EXPECT_TRUE(kills->Took(kRank));
  EXPECT_TRUE(kills->Took(99));
}

// A container numbers its processes anew: the log's numbers are others'.
TEST_F(MemoryKillsTest, TheLogIsNotBelievedInAContainer) {
  Log("");
  Rank("0::/\n", 100);
  const auto kills = Begin(kContainer, false);
  kills->Look(kRank);
  Machine(8);
  Log("3,2,2,-;Out of memory: Killed process 4321 (other) total-vm:9kB\n");
  EXPECT_FALSE(kills->Took(kRank));
}

TEST_F(MemoryKillsTest, TheCounterOfItsOwnGroupRoseSinceTheLastLook) {
  Rank("4:memory:/team/one\n0::/\n", 100);
  Write("/cgroup/memory/team/one/memory.oom_control", "oom_kill_disable 0\noom_kill 3\n");
  const auto kills = Begin(kHere, false);  // there is no log
  kills->Look(kRank);
  Machine(8);
  EXPECT_FALSE(kills->Took(kRank)) << "the machine took somebody of another group";
  Write("/cgroup/memory/team/one/memory.oom_control", "oom_kill_disable 0\noom_kill 4\n");
  EXPECT_TRUE(kills->Took(kRank));
  kills->Look(kRank);
  EXPECT_FALSE(kills->Took(kRank)) << "that one was long before it ended";
}

TEST_F(MemoryKillsTest, SecondVersionOfGroupsAndOneAboveThatCounts) {
  Rank("0::/team/one/leaf\n", 100);
  Write("/cgroup/team/one/leaf/cgroup.procs", "");
  Write("/cgroup/team/one/memory.events.local", "low 0\noom 1\noom_kill 0\noom_group_kill 0\n");
  Write("/cgroup/team/one/memory.events", "low 0\noom 1\noom_kill 9\n");
  const auto kills = Begin(kHere, false);
  kills->Look(kRank);
  EXPECT_FALSE(kills->Took(kRank));
  Write("/cgroup/team/one/memory.events.local", "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
  EXPECT_TRUE(kills->Took(kRank));
}

TEST_F(MemoryKillsTest, TheMachinesCounterCountsAgainstALargeProcessAlone) {
  Rank("0::/\n", Pages(0.01));
  const auto kills = Begin(kHere, false);
  kills->Look(kRank);
  Machine(8);
  EXPECT_FALSE(kills->Took(kRank)) << "a small one is not what the kernel looks for";
  Rank("0::/\n", Pages(0.5));
  kills->Look(kRank);
  EXPECT_FALSE(kills->Took(kRank)) << "none was taken since";
  Machine(9);
  EXPECT_TRUE(kills->Took(kRank));
}

TEST_F(MemoryKillsTest, TheLogNamesAProcessBelowTheRank) {
  Log("");
  Children(kRank, "50 51 ");
  Children(51, "52");
  Name(52, "loader) 7");
  const auto kills = Begin(kHere, true);
  EXPECT_EQ(kills->TookBelow(kRank), "");
  Log("3,1,1,-;Out of memory: Killed process 52 (loader) total-vm:9kB\n");
  EXPECT_EQ(kills->TookBelow(kRank), "") << "nobody saw that it was below the rank";
  kills->Look(kRank);
  Children(51, "");
  kills->Look(kRank);
  EXPECT_EQ(kills->TookBelow(kRank), "its process 52 (loader) 7)");
  EXPECT_EQ(kills->TookBelow(99), "") << "it was below another";
  EXPECT_FALSE(kills->Took(kRank));
}

TEST_F(MemoryKillsTest, TheLogNamesAProcessThatIsNotBelowTheRank) {
  Log("");
  Children(kRank, "50 ");
  const auto kills = Begin(kHere, true);
  kills->Look(kRank);
  Log("3,1,1,-;Out of memory: Killed process 52 (loader) total-vm:9kB\n");
  EXPECT_EQ(kills->TookBelow(kRank), "");
}

TEST_F(MemoryKillsTest, TheCounterRoseWhileSomethingWasBelowTheRank) {
  Rank("4:memory:/team/one\n", 100);
  const std::string counter = "/cgroup/memory/team/one/memory.oom_control";
  Write(counter, "oom_kill 3\n");
  const auto kills = Begin(kContainer, false);
  kills->Look(kRank);
  Write(counter, "oom_kill 4\n");
  EXPECT_EQ(kills->TookBelow(kRank), "") << "the rank is alone: somebody else of its group";
  Children(kRank, "50 ");
  kills->Look(kRank);
  EXPECT_EQ(kills->TookBelow(kRank), "one of its processes") << "a moment ago";
  Write(counter, "oom_kill 5\n");
  EXPECT_EQ(kills->TookBelow(kRank), "one of its processes");
}

TEST_F(MemoryKillsTest, NoCounterOfAGroupIsNoEvidenceOfAProcessBelow) {
  Rank("0::/\n", Pages(0.5));
  Children(kRank, "50 ");
  const auto kills = Begin(kContainer, false);
  kills->Look(kRank);
  Machine(8);
  EXPECT_EQ(kills->TookBelow(kRank), "");
}

// Its files are gone with it: what the last look saw stands.
TEST_F(MemoryKillsTest, NothingIsKnownOfAProcessThatWasNotSeenAlive) {
  const auto kills = Begin(kHere, false);
  kills->Look(kRank);
  Machine(8);
  EXPECT_FALSE(kills->Took(kRank));
}

}  // namespace
}  // namespace trainyard::worker
