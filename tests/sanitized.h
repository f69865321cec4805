// Whether this is a build with sanitizers, which is slow and counts memory by itself.
#ifndef TRAINYARD_TESTS_SANITIZED_H_
#define TRAINYARD_TESTS_SANITIZED_H_

namespace trainyard {

#ifdef TRAINYARD_SANITIZED
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace trainyard

#endif  // TRAINYARD_TESTS_SANITIZED_H_
