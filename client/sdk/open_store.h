// The cluster's store, opened for a project. Thread-safe.
#ifndef TRAINYARD_CLIENT_SDK_OPEN_STORE_H_
#define TRAINYARD_CLIENT_SDK_OPEN_STORE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/blob/blob.h"

namespace trainyard::client {

class Client;

enum class StoreUse { kDownload, kUpload };

// A client of the store by a grant for `parent` ("projects/P"), which is renewed when it ends; one
// thread at a time. `client` must outlive it. Errors are those of the scheduler.
absl::StatusOr<std::unique_ptr<blob::Client>> OpenStore(Client* client, const std::string& parent,
                                                        StoreUse use);

}  // namespace trainyard::client

#endif  // TRAINYARD_CLIENT_SDK_OPEN_STORE_H_
