// What libtrainyard_nccl.so offers to worker/training: collectives on the memory of GPUs by NCCL,
// as a table of C functions, so that the runtime is built without CUDA and needs it only where the
// plug-in is loaded.
//  - Answers: TRAINYARD_NCCL_DONE, _BUSY (ask again with poll) or _FAILED (error() says why).
//  - No function waits. A call that answered BUSY is begun; nothing else may be begun before poll()
//    has answered DONE.
//  - One thread at a time uses a handle. abort() and close() end it.
// Types and operators have the numbers of c_api.h.
#ifndef TRAINYARD_WORKER_NCCL_NCCL_API_H_
#define TRAINYARD_WORKER_NCCL_NCCL_API_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRAINYARD_NCCL_VERSION 2
#define TRAINYARD_NCCL_ID_BYTES 128

enum { TRAINYARD_NCCL_DONE = 0, TRAINYARD_NCCL_BUSY = 1, TRAINYARD_NCCL_FAILED = 2 };

typedef struct trainyard_nccl_api {
  int version;
  /* Of NCCL, as 22809. */
  int (*library_version)(void);
  /* GPUs that this process may use; 0 without a driver. */
  int (*devices)(void);
  /* Of this thread's last failure. */
  const char* (*error)(void);
  /* Fills TRAINYARD_NCCL_ID_BYTES; one rank, which tells it to the others. */
  int (*unique_id)(void* id);
  /* Joins `size` ranks of the same id, each on a GPU. */
  int (*open)(const void* id, int size, int rank, int device, void** handle);
  /* How the last call stands; also finds errors of what runs on the GPU. */
  int (*poll)(void* handle);
  /* From now on calls come behind all that this CUDA stream was given; NULL: the default stream,
     as from the start. */
  void (*behind)(void* handle, void* stream);
  /* As in communicator.h, on memory of the GPU, behind all that the stream of behind() was given.
   */
  int (*all_reduce)(void* handle, void* data, size_t count, int type, int op);
  int (*reduce_scatter)(void* handle, const void* send, void* receive, size_t count, int type,
                        int op);
  int (*all_gather)(void* handle, const void* send, void* receive, size_t count, int type);
  int (*broadcast)(void* handle, void* data, size_t count, int type, int root);
  /* A mark behind all that was begun; reached() frees it once it answers DONE. */
  int (*mark)(void* handle, void** mark);
  int (*reached)(void* handle, void* mark);
  /* Memory of the GPU, zeroed, registered with NCCL where that helps; freed with the handle. */
  int (*allocate)(void* handle, size_t bytes, void** memory);
  /* Between host and GPU, either way; waits. */
  int (*copy)(void* handle, void* to, const void* from, size_t bytes);
  /* Ends what runs, also when a peer has gone. */
  void (*abort)(void* handle);
  void (*close)(void* handle);
} trainyard_nccl_api;

/* The plug-in's only symbol. */
const trainyard_nccl_api* trainyard_nccl(void);

#ifdef __cplusplus
}
#endif

#endif /* TRAINYARD_WORKER_NCCL_NCCL_API_H_ */
