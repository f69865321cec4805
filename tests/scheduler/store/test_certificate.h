// A self-signed certificate for 127.0.0.1, made anew for each test that wants TLS.
#ifndef TRAINYARD_TESTS_SCHEDULER_STORE_TEST_CERTIFICATE_H_
#define TRAINYARD_TESTS_SCHEDULER_STORE_TEST_CERTIFICATE_H_

#include <string>

namespace trainyard::store {

// Writes both as PEM; false when OpenSSL or the disk refuses.
bool WriteTestCertificate(const std::string& certificate_path, const std::string& key_path);

}  // namespace trainyard::store

#endif  // TRAINYARD_TESTS_SCHEDULER_STORE_TEST_CERTIFICATE_H_
