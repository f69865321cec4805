// How many ranks of each node talk to the other nodes at once, by the size of the data: one, or as
// many as every node has. Measured when a gang starts and remembered for the same hosts in the same
// shape. Both ways give the same bits, so a choice can change nothing but time.
//  - What was measured counts for a week: machines and their networks change.
//  - The memory is a small file in TRAINYARD_ROUTES, else XDG_CACHE_HOME/trainyard, else
//    HOME/.cache/trainyard; TRAINYARD_ROUTES= (empty) remembers nothing. A file that cannot be read
//    or written costs a measurement, never more.
// The ways inside a node (path_choice.h) are remembered likewise.
// Pure but for the files. Thread-compatible.
#ifndef TRAINYARD_WORKER_TRAINING_ROUTE_TABLE_H_
#define TRAINYARD_WORKER_TRAINING_ROUTE_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace trainyard::training {

struct RouteTable {
  // Sizes that are measured; others go as the nearest below, the smallest as the first.
  static constexpr std::array<size_t, 3> kBytes = {4 << 10, 64 << 10, 1 << 20};

  std::array<int32_t, kBytes.size()> carriers = {1, 1, 1};

  int CarriersFor(size_t bytes) const;
};

// Where the table of these hosts is remembered: hosts in the order of nodes, ranks of each. ""
// where nothing is.
std::string RoutesFile(const std::vector<std::string>& hosts, const std::vector<int>& ranks);
// False when there is none, none of the last week, or none that fits `carriers_max`.
bool ReadRoutes(const std::string& path, int carriers_max, RouteTable* table);
void RememberRoutes(const std::string& path, const RouteTable& table);

// The same for the ways inside one node, by its host and ranks: a digit from 0 to 2 for each kind
// of call.
std::string PathsFile(const std::string& host, int ranks);
// "" when there is none, none of the last week, or none of `kinds` digits.
std::string ReadPaths(const std::string& path, size_t kinds);
void RememberPaths(const std::string& path, const std::string& digits);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_ROUTE_TABLE_H_
