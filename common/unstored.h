// How an agent says in a member's exit record what it could not store, and by what the scheduler
// finds it there.
#ifndef TRAINYARD_COMMON_UNSTORED_H_
#define TRAINYARD_COMMON_UNSTORED_H_

namespace trainyard {

inline constexpr char kOutputsUnstored[] = "Its outputs could not be stored: ";
inline constexpr char kCheckpointUnstored[] = "The checkpoint of step ";  // and its number

}  // namespace trainyard

#endif  // TRAINYARD_COMMON_UNSTORED_H_
