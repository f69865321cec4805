// See open_store.h.
#include "client/sdk/open_store.h"

#include "client/sdk/client.h"

namespace trainyard::client {
namespace {

absl::StatusOr<v1::Grant> GrantFor(Client* client, const std::string& parent, StoreUse use) {
  if (use == StoreUse::kUpload) {
    v1::GetUploadGrantRequest request;
    request.set_parent(parent);
    return client->GetUploadGrant(request);
  }
  v1::GetDownloadGrantRequest request;
  request.set_parent(parent);
  return client->GetDownloadGrant(request);
}

}  // namespace

absl::StatusOr<std::unique_ptr<blob::Client>> OpenStore(Client* client, const std::string& parent,
                                                        StoreUse use) {
  const absl::StatusOr<v1::Grant> grant = GrantFor(client, parent, use);
  if (!grant.ok()) return grant.status();
  std::unique_ptr<blob::Client> store =
      blob::Client::Make(grant->http_address(), grant->token(), client->endpoint().ca_file);
  store->RenewWith([client, parent, use]() -> absl::StatusOr<std::string> {
    const absl::StatusOr<v1::Grant> again = GrantFor(client, parent, use);
    if (!again.ok()) return again.status();
    return again->token();
  });
  return store;
}

}  // namespace trainyard::client
