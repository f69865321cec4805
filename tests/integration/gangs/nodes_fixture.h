// Nodes in networks of their own: each is a network namespace joined to one bridge, with an
// interface of another name, and has an agent; the scheduler serves the bridge with TLS. Needs root
// and the program ip; a test is skipped without them. Names are of this process alone and removed
// in every ending but a kill of the test itself.
#ifndef TRAINYARD_TESTS_INTEGRATION_GANGS_NODES_FIXTURE_H_
#define TRAINYARD_TESTS_INTEGRATION_GANGS_NODES_FIXTURE_H_

#include <unistd.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/integration/faults/faults_fixture.h"

namespace trainyard::testing {

using Record = std::map<std::string, std::string>;  // what a rank wrote

class NodesTest : public FaultsTest {
 protected:
  void SetUp() override {
    subnet_ = absl::StrCat("10.", 214 + getpid() / 250 % 20, ".", getpid() % 250);
    bridge_ = absl::StrCat("tyb", getpid());
    if (Ip({"link", "add", bridge_, "type", "bridge"}) != 0) {
      GTEST_SKIP() << "network namespaces need root and the program ip";
    }
    ASSERT_EQ(Ip({"addr", "add", subnet_ + ".1/24", "dev", bridge_}), 0);
    ASSERT_EQ(Ip({"link", "set", bridge_, "up"}), 0);
  }
  void TearDown() override {
    FaultsTest::TearDown();
    for (const auto& [node, index] : nodes_) {
      Ip({"link", "del", Outer(index)});
      Ip({"netns", "del", Space(index)});
    }
    Ip({"link", "del", bridge_});
  }

  // A scheduler and `count` nodes n1, n2, ... of `cores` each.
  void StartNodes(int count, int cores, const std::vector<std::string>& flags = {"--lease=2s"}) {
    const std::string here = subnet_ + ".1";
    const std::string certificate = cluster_.Path("cert.pem");
    const std::string key = cluster_.Path("key.pem");
    ASSERT_EQ(RunToEnd({{"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                         "-subj", "/CN=trainyard", "-addext", "subjectAltName=IP:" + here,
                         "-keyout", key, "-out", certificate},
                        {},
                        "",
                        cluster_.Path("log/openssl"),
                        ""}),
              0);
    std::vector<std::string> all = {
        absl::StrCat("--listen=", here, ":0"), absl::StrCat("--http_listen=", here, ":0"),
        absl::StrCat("--tls_cert=", certificate), absl::StrCat("--tls_key=", key)};
    all.insert(all.end(), flags.begin(), flags.end());
    Start({}, all);
    for (int i = 1; i <= count; ++i) AddNode(i, cores);
  }
  void AddNode(int index, int cores) {
    const std::string node = absl::StrCat("n", index);
    const std::string inner = absl::StrCat(index % 2 == 0 ? "eth" : "lan", index);
    nodes_[node] = index;
    ASSERT_EQ(Ip({"netns", "add", Space(index)}), 0);
    ASSERT_EQ(Ip({"link", "add", Outer(index), "type", "veth", "peer", "name", inner, "netns",
                  Space(index)}),
              0);
    ASSERT_EQ(Ip({"link", "set", Outer(index), "master", bridge_, "up"}), 0);
    ASSERT_EQ(Inside(index, {"addr", "add", AddressOf(index) + "/24", "dev", inner}), 0);
    ASSERT_EQ(Inside(index, {"link", "set", inner, "up"}), 0);
    ASSERT_EQ(Inside(index, {"link", "set", "lo", "up"}), 0);
    AgentSettings settings;
    settings.cores = cores;
    settings.target = cluster_.Endpoint("grpc_tcp");
    settings.flags = {absl::StrCat("--ca_file=", cluster_.Path("cert.pem"))};
    settings.network = Space(index);
    const absl::Status ready = cluster_.StartAgent(node, settings);
    ASSERT_TRUE(ready.ok()) << ready;
  }
  void Cut(const std::string& node) { Ip({"link", "set", Outer(nodes_[node]), "down"}); }
  void Mend(const std::string& node) { Ip({"link", "set", Outer(nodes_[node]), "up"}); }
  std::string AddressOf(int index) const { return absl::StrCat(subnet_, ".", 1 + index); }

  // `ranks` ranks of trainyard-test-mpi, each with `cores` of its own.
  v1::JobSpec MpiSpec(const std::string& name, int ranks, int cores,
                      std::vector<std::string> options) {
    std::vector<std::string> command = {TEST_MPI_PATH, cluster_.Beats(name)};
    command.insert(command.end(), options.begin(), options.end());
    v1::JobSpec spec = SpecOf(command, ranks);
    for (v1::WorkerPool& pool : *spec.mutable_worker_pools()) {
      pool.mutable_resources()->set_cpu_milli(1000 * cores);
    }
    spec.mutable_scheduling()->mutable_grace()->set_seconds(5);
    spec.mutable_scheduling()->set_max_infrastructure_retries(-1);
    return spec;
  }

  // What the ranks of the newest epoch wrote, by rank, once all of them did.
  std::vector<Record> AwaitRecords(const std::string& name, int ranks, size_t attempts = 1) {
    std::vector<Record> records;
    EXPECT_TRUE(Eventually([&] {
      std::map<uint64_t, std::vector<Record>> by_epoch;
      for (const std::string& file :
           ListFolder(cluster_.Path("beats")).value_or(std::vector<std::string>())) {
        const std::vector<std::string> parts = absl::StrSplit(file, '.');
        if (parts.size() != 3 || parts[0] != name || parts[1] == "saved") continue;
        by_epoch[std::stoull(parts[2])].push_back(ReadRecord(file));
      }
      if (by_epoch.size() < attempts) return false;
      records = by_epoch.rbegin()->second;
      return static_cast<int>(records.size()) == ranks;
    })) << name
        << " has " << records.size() << " ranks";
    std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) {
      return std::stoi(a.at("RANK")) < std::stoi(b.at("RANK"));
    });
    return records;
  }
  Record ReadRecord(const std::string& file) {
    Record record;
    const std::string text = ReadFile(JoinPath(cluster_.Path("beats"), file)).value_or("");
    for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
      const size_t equals = line.find('=');
      if (equals != std::string::npos) record[line.substr(0, equals)] = line.substr(equals + 1);
    }
    return record;
  }
  static pid_t PidOf(const Record& record) { return std::stoi(record.at("pid")); }
  static size_t Networks(const std::vector<Record>& records) {
    std::set<std::string> all;
    for (const Record& record : records) all.insert(record.at("network"));
    return all.size();
  }
  // How long until none of them lives.
  absl::Duration AwaitGone(const std::vector<Record>& records, size_t except = SIZE_MAX) {
    const absl::Time begin = absl::Now();
    EXPECT_TRUE(Eventually([&] {
      for (size_t i = 0; i < records.size(); ++i) {
        if (i != except && IsAlive(PidOf(records[i]))) return false;
      }
      return true;
    })) << "ranks live on";
    return absl::Now() - begin;
  }

  int Ip(std::vector<std::string> words) {
    words.insert(words.begin(), "ip");
    return RunToEnd({words, {}, "", cluster_.Path("log/ip"), ""});
  }
  // By nsenter: "ip -n" mounts /sys anew, which cannot be done in a chroot.
  int Inside(int index, std::vector<std::string> words) {
    words.insert(words.begin(), {"nsenter", "--net=/run/netns/" + Space(index), "ip"});
    return RunToEnd({words, {}, "", cluster_.Path("log/ip"), ""});
  }
  static std::string Space(int index) { return absl::StrCat("trainyard", getpid(), "n", index); }
  static std::string Outer(int index) { return absl::StrCat("tyo", getpid(), "n", index); }

  std::string subnet_;
  std::string bridge_;
  std::map<std::string, int> nodes_;
};

}  // namespace trainyard::testing

#endif  // TRAINYARD_TESTS_INTEGRATION_GANGS_NODES_FIXTURE_H_
