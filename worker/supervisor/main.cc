// trainyard-supervisor FOLDER: runs the member that FOLDER/launch.json describes and leaves
// FOLDER/exit.json. Started by the agent and by `trainyard local train`; see supervisor.h.
#include <stdio.h>

#include <string>

#include "worker/supervisor/supervisor.h"

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] != '/') {
    fprintf(stderr,
            "usage: trainyard-supervisor FOLDER\n"
            "FOLDER is the absolute path of an attempt folder that holds launch.json.\n");
    return 2;
  }
  trainyard::worker::Supervisor supervisor(argv[1]);
  return supervisor.Run();
}
