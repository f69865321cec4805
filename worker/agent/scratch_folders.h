// Folders that a supervisor made outside its attempt folder (Open MPI's sockets and shared memory)
// and, because it was killed, did not remove.
#ifndef TRAINYARD_WORKER_AGENT_SCRATCH_FOLDERS_H_
#define TRAINYARD_WORKER_AGENT_SCRATCH_FOLDERS_H_

#include <string>

namespace trainyard::worker {

// Removes those that the attempt folder names and that are ours by their names. Once nothing of the
// attempt runs any more; blocks on the disk, any thread.
void RemoveScratch(const std::string& attempt_folder);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_SCRATCH_FOLDERS_H_
