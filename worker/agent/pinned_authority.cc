// See pinned_authority.h.
#include "worker/agent/pinned_authority.h"

#include <netdb.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/certificate.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

constexpr int kSeconds = 10;

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(addrinfo* list) const { freeaddrinfo(list); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

absl::Status Unreachable(const std::string& target, const std::string& why) {
  return MakeError(absl::StatusCode::kUnavailable, "SCHEDULER_UNREACHABLE",
                   absl::StrCat("cannot join the cluster at ", target, ": ", why),
                   "check --scheduler=ADDRESS, and that the scheduler runs with TLS");
}

absl::StatusOr<FileDescriptor> Connect(const std::string& target) {
  const size_t colon = target.rfind(':');
  if (colon == std::string::npos) return Unreachable(target, "there is no port in the address");
  std::string host = target.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), target.c_str() + colon + 1, &hints, &found);
  const Owned<addrinfo> addresses(found);
  if (error != 0) return Unreachable(target, gai_strerror(error));
  std::string why = "no address";
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    FileDescriptor fd(socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{kSeconds, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (fd.valid() && connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0) return fd;
    why = std::string(ErrnoError(errno, "connect").message());
  }
  return Unreachable(target, why);
}

std::string PemOf(X509* certificate) {
  const Owned<BIO> memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || PEM_write_bio_X509(memory.get(), certificate) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace

absl::StatusOr<std::string> FetchAuthority(const std::string& target, const std::string& pin) {
  absl::StatusOr<FileDescriptor> fd = Connect(target);
  if (!fd.ok()) return fd.status();
  const Owned<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);  // the pin decides
  const Owned<SSL> ssl(SSL_new(context.get()));
  static constexpr unsigned char kProtocols[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), kProtocols, sizeof kProtocols);
  SSL_set_tlsext_host_name(ssl.get(), target.substr(0, target.rfind(':')).c_str());
  SSL_set_fd(ssl.get(), fd->get());
  if (SSL_connect(ssl.get()) != 1) return Unreachable(target, "it does not speak TLS");
  STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl.get());
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  const std::string pem = count == 0 ? "" : PemOf(sk_X509_value(chain, count - 1));
  if (!pem.empty() && PinOfPem(pem) == pin) return pem;
  return MakeError(absl::StatusCode::kPermissionDenied, "JOIN_REFUSED",
                   absl::StrCat("the server at ", target,
                                " is not the one that the join token was made by: its certificate "
                                "is another"),
                   "check --scheduler=ADDRESS; when the scheduler's certificate was changed make "
                   "another token with: trainyard join-token NODE");
}

}  // namespace trainyard::worker
