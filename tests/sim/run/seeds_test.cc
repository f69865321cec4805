// Many seeds with all faults: at least twenty million events, or TRAINYARD_SIM_EVENTS.
// TRAINYARD_TEST_SEED plays from another seed on.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "absl/strings/str_join.h"
#include "common/mutex.h"
#include "sim/run/world.h"

namespace trainyard::sim {
namespace {

uint64_t EventsToPlay() {
  if (const char* const events = std::getenv("TRAINYARD_SIM_EVENTS")) {
    return std::strtoull(events, nullptr, 10);
  }
#ifdef TRAINYARD_SANITIZED
  return 2'000'000;
#else
  return 20'000'000;
#endif
}

uint64_t FirstSeed() {
  const char* const seed = std::getenv("TRAINYARD_TEST_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

// Small and large clusters, short and long histories.
Options OptionsOf(uint64_t seed) {
  Options options;
  options.seed = seed;
  options.agents = seed % 4 == 0 ? 24 : 3 + static_cast<int>(seed % 8);
  options.hours = seed % 4 == 1 ? 4 : 1;
  for (int i = 0; i < kFaults; ++i) options.faults.insert(static_cast<Fault>(i));
  return options;
}

TEST(SeedsTest, NothingIsLostWhateverBreaks) {
  std::atomic<uint64_t> next_seed{FirstSeed()};
  std::atomic<uint64_t> events{0};
  std::atomic<bool> failed{false};
  Mutex mutex;
  const auto play = [&] {
    while (events < EventsToPlay() && !failed) {
      const Options options = OptionsOf(next_seed++);
      const Report report = Play(options);
      events += report.events;
      if (!report.violation.has_value()) continue;
      failed = true;
      MutexLock lock(&mutex);
      ADD_FAILURE() << "trainyard-sim run --seed " << options.seed << " --hours " << options.hours
                    << " --agents " << options.agents << "\n"
                    << report.violation->what << "\n"
                    << absl::StrJoin(report.last_events, "\n");
    }
  };
  std::thread other(play);  // a world has one thread; two worlds play side by side
  play();
  other.join();
  std::cout << "played " << events << " events of " << next_seed - FirstSeed() << " seeds\n";
  RecordProperty("events", std::to_string(events));
}

}  // namespace
}  // namespace trainyard::sim
