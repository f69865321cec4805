// A unary method of the callback API around an api verb: who calls, the verb, one Finish.
#ifndef TRAINYARD_SCHEDULER_RPC_UNARY_H_
#define TRAINYARD_SCHEDULER_RPC_UNARY_H_

#include <grpcpp/grpcpp.h>

#include <utility>

#include "common/grpc_status.h"
#include "scheduler/api/context.h"
#include "scheduler/rpc/auth.h"

namespace trainyard::rpc {

// `verb(principal, done)` answers once, from any thread.
template <typename Response, typename Verb>
grpc::ServerUnaryReactor* AnswerLater(const api::Context& context,
                                      grpc::CallbackServerContext* call, Response* response,
                                      const Verb& verb) {
  grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
  const absl::StatusOr<api::Identity> caller = CallerOf(context, *call);
  if (!caller.ok()) {
    reactor->Finish(ToGrpcStatus(caller.status()));
    return reactor;
  }
  verb(caller->principal, [reactor, response](absl::StatusOr<Response> answer) {
    if (answer.ok()) response->Swap(&*answer);
    reactor->Finish(ToGrpcStatus(answer.status()));
  });
  return reactor;
}

// `verb(principal)` answers at once: a read.
template <typename Response, typename Verb>
grpc::ServerUnaryReactor* AnswerNow(const api::Context& context, grpc::CallbackServerContext* call,
                                    Response* response, const Verb& verb) {
  return AnswerLater(context, call, response,
                     [&](const core::Principal& principal, const auto& done) {
                       done(absl::StatusOr<Response>(verb(principal)));
                     });
}

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_UNARY_H_
