// Words for what a rank needs and for what a cluster lacks of it. Pure; any thread.
#ifndef TRAINYARD_SCHEDULER_PLACEMENT_SHORTAGE_H_
#define TRAINYARD_SCHEDULER_PLACEMENT_SHORTAGE_H_

#include <cstdint>
#include <string>

#include "scheduler/placement/snapshot.h"

namespace trainyard::placement {

// "1 core", "0.25 cores", of thousandths of a core.
std::string DescribeCores(int64_t milli);

// "256 MiB", "1.5 GiB".
std::string DescribeMemory(int64_t bytes);

// "2 GPUs (A100 or H100, at least 40.0 GiB)".
std::string DescribeGpus(const RankNeeds& needs);

// "2 GPUs (A100) and 1 core and 1.0 GiB"; "nothing" for a rank without needs.
std::string DescribeRank(const RankNeeds& needs);

// The rank with the largest needs, which stands for the run. The run must have a rank.
const RankNeeds& LargestOf(const WaitingRun& run);

// When no node takes such work at all: which of its labels and taints keep it off.
std::string WhyNoneAdmits(const Snapshot& snapshot, const WaitingRun& run);

// "no node has a GPU", "no node has a GPU of that model; there are A100, T4"; empty when the
// cluster has such a GPU, busy or not, or none is needed.
std::string WhyNoSuchGpu(const Snapshot& snapshot, const RankNeeds& needs);

// "; no node says by its label rack which rack it is in"; empty when all say it.
std::string WhyNoDomain(const Snapshot& snapshot, Domain domain);

}  // namespace trainyard::placement

#endif  // TRAINYARD_SCHEDULER_PLACEMENT_SHORTAGE_H_
