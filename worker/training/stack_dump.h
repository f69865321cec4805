// What a rank that hangs is in the middle of: on SIGUSR2 a process writes its call stack to stderr,
// and goes on. Who waits for it in vain sends the signal before it gives up, so that the log of the
// rank that hangs says where.
//  - TRAINYARD_STACK_DUMP in the environment: "0" leaves the signal alone; "own" says that the
//    program has a handler that writes its stack (trainyard.training in Python sets it).
// Thread-safe.
#ifndef TRAINYARD_WORKER_TRAINING_STACK_DUMP_H_
#define TRAINYARD_WORKER_TRAINING_STACK_DUMP_H_

#include <sys/types.h>

#include <vector>

namespace trainyard::training {

// Makes SIGUSR2 write the stack, unless the program handles or ignores that signal already. Whether
// it does so from now on, by whatever handler: only then may others send it.
bool DumpStackOnSignal();

// Asks processes of this node, that said so, for their stacks, and gives them a moment.
void AskForStacks(const std::vector<pid_t>& processes);

}  // namespace trainyard::training

#endif  // TRAINYARD_WORKER_TRAINING_STACK_DUMP_H_
