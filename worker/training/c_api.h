// The C interface of worker/training, for programs in other languages (trainyard.training in Python
// loads it).
//  - Functions that can fail return 0 when good, else 1: trainyard_error() has the text of this
//    thread's last failure.
//  - One thread at a time uses a communicator; it is closed once.
//  - Types: 0 float32, 1 float64, 2 float16, 3 bfloat16, 4 int32, 5 int64. The numbers never
//  change.
//  - Operators: 0 sum, 1 mean, 2 min, 3 max, likewise.
#ifndef TRAINYARD_WORKER_TRAINING_C_API_H_
#define TRAINYARD_WORKER_TRAINING_C_API_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trainyard_communicator trainyard_communicator;
typedef struct trainyard_pending trainyard_pending;

// Version of this interface: grows when functions are added.
int trainyard_version(void);
const char* trainyard_error(void);

// The communicator of this process's gang, from its environment; collective.
int trainyard_open(trainyard_communicator** communicator);
// The same ranks' communicator for memory of GPUs, by NCCL: `device` is this rank's GPU among those
// the process may use, -1 the one of its number in its node. Collective; `host` is closed after it.
// The error says what is missing. Since version 3.
int trainyard_open_device(trainyard_communicator* host, int device,
                          trainyard_communicator** communicator);
// Calls of a device's communicator come behind all that this CUDA stream was given; NULL: the
// default stream, as from the start. A call has ended when it returns. Since version 3.
int trainyard_behind(trainyard_communicator* communicator, void* stream);
void trainyard_close(trainyard_communicator* communicator);
int trainyard_rank(const trainyard_communicator* communicator);
int trainyard_size(const trainyard_communicator* communicator);
// "single", "shared", "hierarchical", "mpi" or "nccl"; lives as long as the communicator.
const char* trainyard_name(const trainyard_communicator* communicator);

// As in communicator.h.
int trainyard_all_reduce(trainyard_communicator* communicator, void* data, size_t count, int type,
                         int op);
int trainyard_reduce_scatter(trainyard_communicator* communicator, const void* send, void* receive,
                             size_t count, int type, int op);
int trainyard_all_gather(trainyard_communicator* communicator, const void* send, void* receive,
                         size_t count, int type);
int trainyard_broadcast(trainyard_communicator* communicator, void* data, size_t count, int type,
                        int root);
// The all-reduce begun now and finished by trainyard_wait(), once each and in the order of starts;
// `data` belongs to it meanwhile. Waiting frees it, also when it fails. Since version 2.
int trainyard_start_all_reduce(trainyard_communicator* communicator, void* data, size_t count,
                               int type, int op, trainyard_pending** pending);
int trainyard_wait(trainyard_pending* pending);
int trainyard_barrier(trainyard_communicator* communicator);
int trainyard_allocate(trainyard_communicator* communicator, size_t bytes, void** memory);

#ifdef __cplusplus
}
#endif

#endif  // TRAINYARD_WORKER_TRAINING_C_API_H_
