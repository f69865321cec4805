// trainyard-supervisor FOLDER: runs the member that FOLDER/launch.json describes and leaves
// FOLDER/exit.json. Started by the agent and by `trainyard local train`; see supervisor.h. With
// "keep" as its first word it keeps a program for the agent; see keeper.h.
#include <stdio.h>

#include <string>
#include <vector>

#include "worker/supervisor/keeper.h"
#include "worker/supervisor/supervisor.h"

int main(int argc, char** argv) {
  trainyard::worker::KeeperSpec keep;
  if (trainyard::worker::ParseKeeperWords({argv + 1, argv + argc}, &keep)) {
    return trainyard::worker::RunKeeper(keep);
  }
  if (argc != 2 || argv[1][0] != '/') {
    fprintf(stderr,
            "usage: trainyard-supervisor FOLDER\n"
            "FOLDER is the absolute path of an attempt folder that holds launch.json.\n");
    return 2;
  }
  trainyard::worker::Supervisor supervisor(argv[1]);
  return supervisor.Run();
}
