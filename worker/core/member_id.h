// The key of a member as a value: comparable, printable. Pure; thread-safe.
#ifndef TRAINYARD_WORKER_CORE_MEMBER_ID_H_
#define TRAINYARD_WORKER_CORE_MEMBER_ID_H_

#include <compare>
#include <cstdint>
#include <string>

#include "trainyard/agent/v1/agent.pb.h"

namespace trainyard::worker {

struct MemberId {
  uint64_t run_uid = 0;
  uint64_t epoch = 0;
  int32_t member = 0;
  auto operator<=>(const MemberId&) const = default;
};

inline MemberId IdOf(const agent::v1::MemberKey& key) {
  return {key.run_uid(), key.epoch(), key.member()};
}
inline agent::v1::MemberKey KeyOf(const MemberId& id) {
  agent::v1::MemberKey key;
  key.set_run_uid(id.run_uid);
  key.set_epoch(id.epoch);
  key.set_member(id.member);
  return key;
}
// "RUN-EPOCH-MEMBER": also the name of the attempt folder.
std::string FolderName(const MemberId& id);
// False unless `name` is exactly what FolderName gives.
bool ParseFolderName(const std::string& name, MemberId* id);

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_CORE_MEMBER_ID_H_
