// mpirun's arguments; see mpirun_launcher.h. Open MPI 4 calls its own parameters --mca orte_*,
// Open MPI 5 --prtemca prte_*; those of the MPI library are --mca in both.
#include <cstdlib>
#include <string>
#include <vector>

#include "worker/supervisor/mpirun_launcher.h"

namespace trainyard::worker {
namespace {

using Words = std::vector<std::string>;

// A lost node is noticed when the connection to its daemon says nothing for so long, in seconds.
constexpr char kKeepAlive[] = "1";

struct Names {
  const char* flag;  // of a parameter of the launcher
  const char* plm;   // the component that starts daemons through an agent
  const char* agent;
  const char* no_tree;
  const char* interface;
  const char* ports;
  const char* folder;
  const char* keepalive[3];
};

const Names& NamesOf(int32_t open_mpi) {
  static const Names four = {
      "--mca",
      "rsh",
      "plm_rsh_agent",
      "plm_rsh_no_tree_spawn",
      "oob_tcp_if_include",
      "oob_tcp_dynamic_ipv4_ports",
      "orte_tmpdir_base",
      {"oob_tcp_keepalive_time", "oob_tcp_keepalive_intvl", "oob_tcp_keepalive_probes"}};
  static const Names five = {
      "--prtemca",        "ssh",
      "plm_ssh_agent",    "plm_ssh_no_tree_spawn",
      "prte_if_include",  "prte_dynamic_ipv4_ports",
      "prte_tmpdir_base", {"prte_keepalive_time", "prte_keepalive_intvl", "prte_keepalive_probes"}};
  return open_mpi >= 5 ? five : four;
}

void Add(Words* to, const Words& words) { to->insert(to->end(), words.begin(), words.end()); }

void AddParameter(Words* to, const char* flag, const std::string& name, const std::string& value) {
  if (!value.empty()) Add(to, {flag, name, value});
}

// The node of each rank, in the order of ranks: "localhost,10.0.0.2,...". mpirun runs on the first
// node and knows that as localhost.
std::string HostOfEachRank(const LaunchSpec& spec) {
  Words hosts(static_cast<size_t>(spec.world_size), "localhost");
  for (size_t member = 0; member < spec.gang.size(); ++member) {
    if (static_cast<int32_t>(member) == spec.member) continue;
    for (const int32_t rank : spec.gang[member].ranks) {
      if (rank >= 0 && rank < spec.world_size) {
        hosts[static_cast<size_t>(rank)] = spec.gang[member].address;
      }
    }
  }
  std::string list;
  for (const std::string& host : hosts) {
    if (!list.empty()) list += ',';
    list += host;
  }
  return list;
}

// Ports of the MPI library: from the first, so many.
void AddDataPorts(const LaunchSpec& spec, Words* argv) {
  const size_t dash = spec.port_range.find('-');
  if (dash == std::string::npos) return;
  const int low = std::atoi(spec.port_range.c_str());
  const int high = std::atoi(spec.port_range.c_str() + dash + 1);
  AddParameter(argv, "--mca", "btl_tcp_port_min_v4", std::to_string(low));
  AddParameter(argv, "--mca", "btl_tcp_port_range_v4", std::to_string(high - low + 1));
}

// One node: no remote shell is looked for.
void AddOneNode(const LaunchSpec& spec, Words* argv) {
  const Names& names = NamesOf(spec.open_mpi);
  const std::string count = std::to_string(spec.ranks.size());
  Add(argv, {"-np", count, "--host", "localhost:" + count});
  // Open MPI 5 has no component "isolated": without other hosts it starts no daemon.
  if (spec.open_mpi < 5) AddParameter(argv, names.flag, "plm", "isolated");
}

void AddSeveralNodes(const LaunchSpec& spec, const std::string& launch_agent, Words* argv) {
  const Names& names = NamesOf(spec.open_mpi);
  Add(argv, {"-np", std::to_string(spec.world_size), "--host", HostOfEachRank(spec), "--map-by",
             "seq", "--noprefix", "--wdir", "/"});
  AddParameter(argv, names.flag, "plm", names.plm);
  AddParameter(argv, names.flag, names.agent, launch_agent);
  AddParameter(argv, names.flag, names.no_tree, "1");
  AddParameter(argv, names.flag, names.ports, spec.port_range);
  for (const char* name : names.keepalive) AddParameter(argv, names.flag, name, kKeepAlive);
  AddDataPorts(spec, argv);
}

}  // namespace

Words MpirunArguments(const LaunchSpec& spec, const std::string& program,
                      const std::string& session_folder, const std::string& launch_agent,
                      bool as_root) {
  const Names& names = NamesOf(spec.open_mpi);
  Words argv = {spec.mpirun};
  if (as_root) argv.push_back("--allow-run-as-root");
  const bool several = spec.gang.size() > 1;
  several ? AddSeveralNodes(spec, launch_agent, &argv) : AddOneNode(spec, &argv);
  // Oversubscribe and bind-to none: how many ranks share a node is the scheduler's decision. After
  // a rank failed mpirun would sleep a whole second between SIGTERM and SIGKILL of the others,
  // whether they are gone or not.
  Add(&argv, {"--oversubscribe", "--bind-to", "none"});
  AddParameter(&argv, names.flag, names.interface, spec.network_interface);
  AddParameter(&argv, "--mca", "btl_tcp_if_include", spec.network_interface);
  AddParameter(&argv, names.flag, "odls_base_sigkill_timeout", "0");
  AddParameter(&argv, names.flag, names.folder, session_folder);
  if (several) {
    // Found through the PATH of each node's daemon: paths may differ from node to node.
    argv.push_back(spec.rank_shim.substr(spec.rank_shim.rfind('/') + 1));
    return argv;
  }
  Add(&argv, {spec.rank_shim, "--", program});
  argv.insert(argv.end(), spec.argv.begin() + 1, spec.argv.end());
  return argv;
}

}  // namespace trainyard::worker
