// libFuzzer on job specs: any bytes have an answer, every fault says how to mend it, and what
// passes here passes on the server. Build and run:
//   cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_C_COMPILER=clang
//     -DTRAINYARD_FUZZ=ON -DTRAINYARD_TRAINER=OFF
//     -DTRAINYARD_SANITIZE=fuzzer-no-link,address,undefined
//   ninja -C build/fuzz spec_fuzz
//   build/fuzz/tests/spec_fuzz -max_len=8192 CORPUS tests/common/spec/good tests/common/spec/bad
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/errors.h"
#include "common/spec/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace spec = trainyard::spec;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  static const spec::TierTable* const tiers = new spec::TierTable(spec::DefaultTiers());
  const spec::ParseResult result = spec::ValidateJobSpec(text, "f", *tiers);
  for (const trainyard::v1::Fault& fault : result.faults.faults()) {
    if (fault.reason().empty() || fault.message().empty()) abort();
    if (!fault.is_note() && (fault.fix().empty() || fault.line() < 1)) abort();
  }
  if (result.ok() && !spec::CheckJobSpec(result.spec).ok()) abort();
  const spec::StudyParseResult study = spec::ParseStudySpec(text, "f");
  if (study.ok() && !spec::CheckStudySpec(study.spec).ok()) abort();
  return 0;
}
