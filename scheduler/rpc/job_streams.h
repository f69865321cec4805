// Streams about one job: its state as it changes, its log lines as they come.
#ifndef TRAINYARD_SCHEDULER_RPC_JOB_STREAMS_H_
#define TRAINYARD_SCHEDULER_RPC_JOB_STREAMS_H_

#include <grpcpp/grpcpp.h>

#include "scheduler/api/context.h"
#include "trainyard/v1/job.pb.h"

namespace trainyard::rpc {

// The job as it is, then after every change; ends after a terminal state. Changes that come faster
// than the client reads are folded into one.
grpc::ServerWriteReactor<v1::WatchJobResponse>* StartWatch(const api::Context& context,
                                                           grpc::CallbackServerContext* call,
                                                           const v1::WatchJobRequest& request);
// Lines from the cursor on. With `follow` it ends when the job has ended, its nodes have let it go
// and nothing more is there.
grpc::ServerWriteReactor<v1::TailLogsResponse>* StartTail(const api::Context& context,
                                                          grpc::CallbackServerContext* call,
                                                          const v1::TailLogsRequest& request);

}  // namespace trainyard::rpc

#endif  // TRAINYARD_SCHEDULER_RPC_JOB_STREAMS_H_
