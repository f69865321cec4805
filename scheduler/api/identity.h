// From a bearer token to a principal, by the view. Thread-safe.
#ifndef TRAINYARD_SCHEDULER_API_IDENTITY_H_
#define TRAINYARD_SCHEDULER_API_IDENTITY_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/api/context.h"

namespace trainyard::api {

struct Identity {
  core::Principal principal;
  bool is_join = false;  // a one-time token: may join, nothing else
  uint64_t run_uid = 0;  // of an attempt's token
  uint64_t epoch = 0;
  std::string grant_kind;  // of a grant for the store
};

// UNAUTHENTICATED, with what to do, for an unknown, revoked, used or expired token, and for an
// attempt whose epoch is over.
absl::StatusOr<Identity> Identify(const Context& context, absl::string_view token);

}  // namespace trainyard::api

#endif  // TRAINYARD_SCHEDULER_API_IDENTITY_H_
