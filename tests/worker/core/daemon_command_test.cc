// What mpirun wants to have run on another node: taken apart, refused unless known, put together
// anew. The words of Open MPI 4 are those that its 4.1.4 gave.
#include "worker/core/daemon_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace trainyard::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

const Words kFour = {" /opt/elsewhere/orted",
                     "--daemonize",
                     "-mca",
                     "ess",
                     "\"env\"",
                     "-mca",
                     "ess_base_jobid",
                     "\"793247744\"",
                     "-mca",
                     "ess_base_vpid",
                     "1",
                     "-mca",
                     "ess_base_num_procs",
                     "\"2\"",
                     "-mca",
                     "orte_node_regex",
                     "\"vm,[2:10].211.1.2@0(2)\"",
                     "-mca",
                     "orte_hnp_uri",
                     "\"793247744.0;tcp://10.211.1.1:42161\"",
                     "--mca",
                     "plm_rsh_agent",
                     "\"/tmp/x/launch-agent\"",
                     "--mca",
                     "plm_rsh_no_tree_spawn",
                     "\"1\"",
                     "--mca",
                     "oob_tcp_if_include",
                     "\"eth1\"",
                     "--mca",
                     "odls_base_sigkill_timeout",
                     "\"0\"",
                     "--mca",
                     "orte_tmpdir_base",
                     "\"/tmp/of-the-head\"",
                     "-mca",
                     "plm",
                     "\"rsh\"",
                     "-mca",
                     "pmix",
                     "\"^s1,s2,cray,isolated\""};
const Words kFive = {"prted",
                     "--daemonize",
                     "--allow-run-as-root",
                     "--prtemca",
                     "ess",
                     "\"env\"",
                     "--prtemca",
                     "ess_base_nspace",
                     "\"prterun-vm-123@0\"",
                     "--prtemca",
                     "ess_base_vpid",
                     "\"1\"",
                     "--prtemca",
                     "ess_base_num_procs",
                     "\"2\"",
                     "--prtemca",
                     "prte_hnp_uri",
                     "\"prterun-vm-123@0.0;tcp://10.211.1.1:42161:24\"",
                     "--prtemca",
                     "plm_ssh_agent",
                     "\"/tmp/x/launch-agent\"",
                     "--prtemca",
                     "prte_if_include",
                     "\"eth1\""};

DaemonLimits Limits(int32_t open_mpi = 4) {
  DaemonLimits limits;
  limits.open_mpi = open_mpi;
  limits.program = open_mpi == 4 ? "/usr/bin/orted" : "/usr/bin/prted";
  limits.head_address = "10.211.1.1";
  limits.members = 2;
  limits.interface = "lan2";
  limits.session_folder = "/tmp/trainyard-mpi-1";
  return limits;
}

Words Split(const Words& words) {
  Words argv;
  std::string error;
  EXPECT_TRUE(SplitDaemonWords(words, &argv, &error)) << error;
  return argv;
}

std::string After(const Words& argv, const std::string& word) {
  const auto at = std::find(argv.begin(), argv.end(), word);
  return at == argv.end() || at + 1 == argv.end() ? "(absent)" : *(at + 1);
}

// The refusal of the words, "" when they are taken.
std::string Refusal(const Words& words, const DaemonLimits& limits = Limits()) {
  Words asked;
  Words argv;
  std::string error;
  if (!SplitDaemonWords(words, &asked, &error)) return error;
  return BuildDaemonArguments(asked, limits, &argv, &error) ? "" : error;
}

Words Replaced(Words words, const std::string& from, const std::string& to) {
  std::replace(words.begin(), words.end(), from, to);
  return words;
}

TEST(DaemonCommandTest, WordsLoseTheirQuotes) {
  EXPECT_THAT(Split({" a  b", "\"c;d\"", "\"e f\"x"}), ElementsAre("a", "b", "c;d", "e f", "x"));
}

TEST(DaemonCommandTest, OpenMpi4RunsOurDaemonWithOurFolderAndInterface) {
  Words argv;
  std::string error;
  ASSERT_TRUE(BuildDaemonArguments(Split(kFour), Limits(), &argv, &error)) << error;
  EXPECT_EQ(argv[0], "/usr/bin/orted");
  EXPECT_EQ(After(argv, "ess_base_jobid"), "793247744");
  EXPECT_EQ(After(argv, "ess_base_vpid"), "1");
  EXPECT_EQ(After(argv, "orte_hnp_uri"), "793247744.0;tcp://10.211.1.1:42161");
  EXPECT_EQ(After(argv, "orte_node_regex"), "vm,[2:10].211.1.2@0(2)");
  EXPECT_EQ(After(argv, "oob_tcp_if_include"), "lan2");
  EXPECT_EQ(After(argv, "orte_tmpdir_base"), "/tmp/trainyard-mpi-1");
  EXPECT_EQ(After(argv, "plm_rsh_agent"), "(absent)");
  EXPECT_EQ(std::count(argv.begin(), argv.end(), "--daemonize"), 0);
}

TEST(DaemonCommandTest, OpenMpi5HasOtherNames) {
  Words argv;
  std::string error;
  DaemonLimits limits = Limits(5);
  limits.port_range = "20000-20099";
  limits.as_root = true;
  ASSERT_TRUE(BuildDaemonArguments(Split(kFive), limits, &argv, &error)) << error;
  EXPECT_EQ(argv[0], "/usr/bin/prted");
  EXPECT_EQ(argv[1], "--allow-run-as-root");
  EXPECT_EQ(argv[2], "--prtemca");
  EXPECT_EQ(After(argv, "ess_base_nspace"), "prterun-vm-123@0");
  EXPECT_EQ(After(argv, "prte_hnp_uri"), "prterun-vm-123@0.0;tcp://10.211.1.1:42161:24");
  EXPECT_EQ(After(argv, "prte_if_include"), "lan2");
  EXPECT_EQ(After(argv, "prte_dynamic_ipv4_ports"), "20000-20099");
  EXPECT_EQ(After(argv, "prte_tmpdir_base"), "/tmp/trainyard-mpi-1");
}

TEST(DaemonCommandTest, TheOtherVersionIsNamed) {
  EXPECT_THAT(Refusal(kFive), HasSubstr("not the daemon of Open MPI 4"));
  EXPECT_THAT(Refusal(kFour, Limits(5)), HasSubstr("not the daemon of Open MPI 5"));
}

TEST(DaemonCommandTest, WhatNeedsAShellIsRefused) {
  for (const char* word : {"PATH=$PATH", "a;b", "`id`", "\"$(id)\"", "x|y", "a>b", "'q'", "~/x",
                           "\"a\\b\"", "\"a\nb\"", "*"}) {
    Words words = kFour;
    words.push_back(word);
    EXPECT_THAT(Refusal(words), HasSubstr("needs a shell")) << word;
  }
  EXPECT_THAT(Refusal({"\"orted"}), HasSubstr("open quote"));
  EXPECT_THAT(Refusal({" "}), HasSubstr("empty"));
  EXPECT_THAT(Refusal(Words(300, "x")), HasSubstr("too many"));
}

TEST(DaemonCommandTest, UnknownArgumentsAreRefusedByName) {
  EXPECT_THAT(Refusal({"/bin/sh", "-c", "id"}), HasSubstr("/bin/sh"));
  for (const Words& more : std::vector<Words>{{"--xterm", "1"},
                                              {"-mca", "plm_base_verbose", "5"},
                                              {"-mca", "orte_fork_agent", "/bin/evil"},
                                              {"-mca", "mca_base_component_path", "/tmp/evil"},
                                              {"-mca", "pmix"}}) {
    Words words = kFour;
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_NE(Refusal(words), "") << more.back();
  }
  Words twice = kFour;
  for (const char* word : {"-mca", "ess_base_vpid", "0"}) twice.push_back(word);
  EXPECT_THAT(Refusal(twice), HasSubstr("two values"));
}

TEST(DaemonCommandTest, ItsPlaceAndTheHeadsAddressAreChecked) {
  EXPECT_EQ(Refusal(kFour), "");
  EXPECT_THAT(Refusal(Replaced(kFour, "1", "2")), HasSubstr("number 2 of 2"));
  EXPECT_THAT(Refusal(Replaced(kFour, "1", "x")), HasSubstr("number x"));
  EXPECT_THAT(Refusal(Replaced(kFour, "\"2\"", "\"9\"")), HasSubstr("of 9"));
  EXPECT_THAT(Refusal(Replaced(kFour, "ess_base_jobid", "pmix")), HasSubstr("two values"));
  const std::string uri = "\"793247744.0;tcp://10.211.1.1:42161\"";
  EXPECT_THAT(Refusal(Replaced(kFour, uri, "\"793247744.0;tcp://10.9.9.9:42161\"")),
              HasSubstr("report to 10.9.9.9"));
  Words argv;
  std::string error;
  const Words local =
      Split(Replaced(kFour, uri, "\"793247744.0;tcp://127.0.0.1,10.211.1.1:42161\""));
  ASSERT_TRUE(BuildDaemonArguments(local, Limits(), &argv, &error)) << error;
  EXPECT_EQ(After(argv, "orte_hnp_uri"), "793247744.0;tcp://10.211.1.1:42161");
  for (const char* bad :
       {"\"x\"", "\"1.0;udp://10.211.1.1:1\"", "\"1.0;tcp://10.211.1.1\"",
        "\"1.0;tcp://127.0.0.1:5\"", "\"1.0;tcp://10.211.1.1:0\"", "\"1.0;tcp://10.211.1.1:99999\"",
        "\"1.0;tcp://10.211.1:5\"", "\"1 0;tcp://10.211.1.1:5\""}) {
    EXPECT_THAT(Refusal(Replaced(kFour, uri, bad)), HasSubstr("malformed")) << bad;
  }
}

}  // namespace
}  // namespace trainyard::worker
