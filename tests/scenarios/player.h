// Plays a scenario: a text of commands ("> submit a ranks=2"), each followed by the trace it is
// expected to leave. Play gives the same text with the trace as it is now; a test compares, and
// with TRAINYARD_REWRITE=1 stores it.
//
//   > node N [cores=8] [gpus=0]        > lose N        > back N [RUN.M ...]   > drain N | undrain N
//   > submit JOB [ranks= gpus= retries= infra= timeout= maxwait= grace= trials= parallel= failed=]
//   > cancel JOB | pause JOB | resume JOB                > place RUN N:0,1 [N:2]  | placeall
//   > preempt RUN     > prepared|running|succeed|stopped|release RUN [M]
//   > exit RUN M CAUSE [refused]       > part RUN M STEP TREE
//   > suggest JOB COUNT [exhausted]    > report RUN STEP VALUE    > stop RUN REASON
//   > pass SECONDS    > away SECONDS   > restart
// RUN is a job's name, or JOB/TRIAL. Lines without "> " that are not indented are comments.
#ifndef TRAINYARD_TESTS_SCENARIOS_PLAYER_H_
#define TRAINYARD_TESTS_SCENARIOS_PLAYER_H_

#include <string>

namespace trainyard::core {

std::string Play(const std::string& text);

}  // namespace trainyard::core

#endif  // TRAINYARD_TESTS_SCENARIOS_PLAYER_H_
