// See daemon_command.h. Open MPI 4 names its parameters -mca orte_*, Open MPI 5 --prtemca prte_*.
#include "worker/core/daemon_command.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>
#include <set>

namespace trainyard::worker {
namespace {

constexpr size_t kWordsMax = 256;
constexpr size_t kWordBytesMax = 65536;
constexpr char kSpecialQuoted[] = "\"\\`$\n\r\t";
constexpr char kSpecial[] = "\"'\\`$\n\r\t;<>|&(){}*?!~#";

using Parameters = std::map<std::string, std::string>;

bool OnlyHas(const std::string& text, const char* others) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && std::strchr(others, c) == nullptr) {
      return false;
    }
  }
  return true;
}

// Digits alone and at most `most`; -1 otherwise.
int64_t NumberOf(const std::string& text, int64_t most) {
  if (text.empty() || text.size() > 12) return -1;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return -1;
    value = value * 10 + (c - '0');
  }
  return value <= most ? value : -1;
}

bool IsAddress(const std::string& text) {
  int parts = 0;
  for (size_t start = 0; start <= text.size(); ++parts) {
    size_t end = text.find('.', start);
    if (end == std::string::npos) end = text.size();
    if (parts == 4 || NumberOf(text.substr(start, end - start), 255) < 0) return false;
    start = end + 1;
  }
  return parts == 4;
}

// NAME;tcp://A.B.C.D[,A.B.C.D...]:PORT, of Open MPI 5 also NAME;tcp4://A.B.C.D:PORT:MASK. Loopback
// addresses of the head are nobody's here: they are left out.
bool CheckUri(const DaemonLimits& limits, std::string* uri, std::string* error) {
  *error = "mpirun's own address \"" + uri->substr(0, 200) + "\" is malformed";
  const size_t semicolon = uri->find(';');
  if (semicolon == std::string::npos || !OnlyHas(uri->substr(0, semicolon), ".@_-")) return false;
  const size_t slashes = uri->find("://", semicolon);
  if (slashes == std::string::npos) return false;
  const std::string scheme = uri->substr(semicolon + 1, slashes - semicolon - 1);
  const size_t start = slashes + 3;
  const size_t colon = uri->find(':', start);
  if ((scheme != "tcp" && scheme != "tcp4") || colon == std::string::npos) return false;
  const std::string rest = uri->substr(colon);
  const std::string port = rest.substr(1, rest.find(':', 1) - 1);
  if (NumberOf(port, 65535) < 1 || !OnlyHas(rest, ".:,")) return false;
  std::string kept;
  for (size_t at = start; at <= colon;) {
    const size_t end = std::min(uri->find(',', at), colon);
    const std::string address = uri->substr(at, end - at);
    at = end + 1;
    if (!IsAddress(address)) return false;
    if (address.rfind("127.", 0) == 0) continue;
    if (IsAddress(limits.head_address) && address != limits.head_address) {
      *error = "the daemon is to report to " + address + ", the gang's head is at " +
               limits.head_address;
      return false;
    }
    kept += (kept.empty() ? std::string() : std::string(",")) + address;
  }
  if (kept.empty()) return false;
  *uri = uri->substr(0, start) + kept + rest;
  error->clear();
  return true;
}

// Names, by what becomes of them.
struct Names {
  const char* prefix;                 // of a parameter on the command line
  std::vector<std::string> identity;  // all must be there; passed on as they are
  std::set<std::string> optional;     // passed on when of a plain form
  std::set<std::string> replaced;     // this node's own value counts, or none at all
  const char* uri;
  const char* interface;
  const char* ports;
  const char* folder;
};

const Names& NamesOf(int32_t open_mpi) {
  static const Names four = {
      "-mca",
      {"ess_base_jobid", "ess_base_vpid", "ess_base_num_procs"},
      {"orte_node_regex", "odls_base_sigkill_timeout", "hwloc_base_binding_policy",
       "rmaps_base_oversubscribe", "rmaps", "pmix", "oob_tcp_keepalive_time",
       "oob_tcp_keepalive_intvl", "oob_tcp_keepalive_probes", "orte_keep_fqdn_hostnames",
       "rmaps_base_mapping_policy", "orte_abort_on_non_zero_status", "mpi_yield_when_idle"},
      {"ess", "plm", "plm_rsh_agent", "plm_rsh_no_tree_spawn", "orte_launch_agent",
       "orte_tmpdir_base", "oob_tcp_if_include", "btl_tcp_if_include", "oob_tcp_dynamic_ipv4_ports",
       "btl_tcp_port_min_v4", "btl_tcp_port_range_v4", "btl", "pml"},
      "orte_hnp_uri",
      "oob_tcp_if_include",
      "oob_tcp_dynamic_ipv4_ports",
      "orte_tmpdir_base"};
  static const Names five = {
      "--prtemca",
      {"ess_base_nspace", "ess_base_vpid", "ess_base_num_procs"},
      {"odls_base_sigkill_timeout", "prte_keepalive_time", "prte_keepalive_intvl",
       "prte_keepalive_probes", "prte_node_regex", "rmaps_default_mapping_policy",
       "hwloc_default_binding_policy"},
      {"ess", "plm", "plm_ssh_agent", "plm_ssh_no_tree_spawn", "prte_launch_agent",
       "prte_tmpdir_base", "prte_if_include", "prte_dynamic_ipv4_ports"},
      "prte_hnp_uri",
      "prte_if_include",
      "prte_dynamic_ipv4_ports",
      "prte_tmpdir_base"};
  return open_mpi >= 5 ? five : four;
}

bool IsDaemonName(const std::string& word, int32_t open_mpi) {
  const size_t slash = word.rfind('/');
  const std::string name = slash == std::string::npos ? word : word.substr(slash + 1);
  return name == (open_mpi >= 5 ? "prted" : "orted");
}

// The parameters of `asked`; plain switches are left out, we set our own.
bool ReadParameters(const std::vector<std::string>& asked, int32_t open_mpi, Parameters* parameters,
                    std::string* error) {
  static const std::set<std::string> switches = {"--daemonize", "--leave-session-attached",
                                                 "--allow-run-as-root", "--uniform-nodes",
                                                 "--hnp-topo-sig-skip"};
  for (size_t i = 1; i < asked.size(); ++i) {
    const std::string& word = asked[i];
    if (switches.count(word) > 0) continue;
    const bool known = word == "-mca" || word == "--mca" ||
                       (open_mpi >= 5 && (word == "--prtemca" || word == "--pmixmca"));
    if (!known) {
      *error = "the daemon's argument \"" + word.substr(0, 100) + "\" is not known";
      return false;
    }
    if (i + 2 >= asked.size()) {
      *error = "the daemon's arguments end after \"" + word + "\"";
      return false;
    }
    const auto [at, is_new] = parameters->emplace(asked[i + 1], asked[i + 2]);
    if (!is_new && at->second != asked[i + 2]) {
      *error = "the daemon's parameter " + at->first + " has two values";
      return false;
    }
    i += 2;
  }
  return true;
}

bool CheckIdentity(const Names& names, const DaemonLimits& limits, Parameters* checked,
                   std::string* error) {
  const Parameters& parameters = *checked;
  for (const std::string& name : names.identity) {
    if (parameters.count(name) > 0) continue;
    *error = "the daemon's parameter " + name + " is missing";
    return false;
  }
  const int64_t members = NumberOf(parameters.at("ess_base_num_procs"), limits.members);
  const int64_t place = NumberOf(parameters.at("ess_base_vpid"), limits.members - 1);
  if (members < 2 || place < 1 || place >= members) {
    *error = "the daemon is to be number " + parameters.at("ess_base_vpid").substr(0, 20) + " of " +
             parameters.at("ess_base_num_procs").substr(0, 20) + ", the gang has " +
             std::to_string(limits.members) + " nodes";
    return false;
  }
  const std::string& job = parameters.at(names.identity[0]);
  if (!OnlyHas(job, ".@_-")) {
    *error = "the daemon's parameter " + names.identity[0] + " is malformed";
    return false;
  }
  const auto uri = checked->find(names.uri);
  if (uri == checked->end()) {
    *error = std::string("the daemon's parameter ") + names.uri + " is missing";
    return false;
  }
  return CheckUri(limits, &uri->second, error);
}

}  // namespace

bool SplitDaemonWords(const std::vector<std::string>& words, std::vector<std::string>* argv,
                      std::string* error) {
  argv->clear();
  for (const std::string& word : words) {
    if (word.size() > kWordBytesMax) {
      *error = "a word of the daemon's command is too long";
      return false;
    }
    for (size_t at = 0; at < word.size();) {
      if (word[at] == ' ') {
        ++at;
        continue;
      }
      const bool quoted = word[at] == '"';
      const size_t start = quoted ? at + 1 : at;
      const size_t end = word.find(quoted ? '"' : ' ', start);
      if (quoted && end == std::string::npos) {
        *error = "a word of the daemon's command has an open quote";
        return false;
      }
      const std::string text = word.substr(start, end == std::string::npos ? end : end - start);
      // Between quotes a shell would still look at some; without them at many more.
      if (text.find_first_of(quoted ? kSpecialQuoted : kSpecial) != std::string::npos) {
        *error = "the daemon's command needs a shell: \"" + text.substr(0, 100) + "\"";
        return false;
      }
      if (argv->size() == kWordsMax) {
        *error = "the daemon's command has too many words";
        return false;
      }
      argv->push_back(text);
      at = end == std::string::npos ? word.size() : end + (quoted ? 1 : 0);
    }
  }
  if (!argv->empty()) return true;
  *error = "the daemon's command is empty";
  return false;
}

bool BuildDaemonArguments(const std::vector<std::string>& asked, const DaemonLimits& limits,
                          std::vector<std::string>* argv, std::string* error) {
  const Names& names = NamesOf(limits.open_mpi);
  if (asked.empty() || asked.size() > kWordsMax || !IsDaemonName(asked[0], limits.open_mpi)) {
    *error = "mpirun asks for \"" + (asked.empty() ? "" : asked[0].substr(0, 100)) +
             "\", which is not the daemon of Open MPI " + std::to_string(limits.open_mpi) +
             "; install the same Open MPI on all nodes";
    return false;
  }
  Parameters parameters;
  if (!ReadParameters(asked, limits.open_mpi, &parameters, error) ||
      !CheckIdentity(names, limits, &parameters, error)) {
    return false;
  }
  *argv = {limits.program};
  if (limits.as_root && limits.open_mpi >= 5) argv->push_back("--allow-run-as-root");
  const auto add = [&](const std::string& name, const std::string& value) {
    for (const std::string& word : {std::string(names.prefix), name, value}) argv->push_back(word);
  };
  add("ess", "env");
  for (const std::string& name : names.identity) add(name, parameters.at(name));
  add(names.uri, parameters.at(names.uri));
  for (const auto& [name, value] : parameters) {
    if (names.replaced.count(name) > 0 || name == names.uri) continue;
    if (std::find(names.identity.begin(), names.identity.end(), name) != names.identity.end()) {
      continue;
    }
    if (names.optional.count(name) == 0 || !OnlyHas(value, ".,:;^[]@()_-")) {
      *error = "the daemon's parameter " + name.substr(0, 100) + " is not known or malformed";
      return false;
    }
    add(name, value);
  }
  if (!limits.interface.empty()) add(names.interface, limits.interface);
  if (!limits.port_range.empty()) add(names.ports, limits.port_range);
  add(names.folder, limits.session_folder);
  return true;
}

}  // namespace trainyard::worker
