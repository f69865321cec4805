// libFuzzer on the metric file of the hypertune library: any bytes give points or none; the same
// text again gives nothing new. tests/fuzz/run.py builds and runs it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "worker/supervisor/metric_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  trainyard::worker::MetricFile half;
  half.NewPoints(text.substr(0, size / 2), false);
  half.NewPoints(text, true);
  trainyard::worker::MetricFile whole;
  whole.NewPoints(text, true);
  if (!whole.NewPoints(text, true).empty()) abort();
  if (!half.NewPoints(text, true).empty()) abort();
  return 0;
}
