// Many seeds with all faults: at least twenty million events, or TRAINYARD_SIM_EVENTS.
// TRAINYARD_TEST_SEED plays from another seed on.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <utility>

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

constexpr uint64_t kOftenEnough = 2000;  // passes of a point: then somebody died there

// What broke in all histories together.
struct Struck {
  std::map<std::string, uint64_t> faults;
  std::map<std::string, uint64_t> answers;
  std::map<std::string, std::pair<uint64_t, uint64_t>> points;  // passed, died at
  void Add(const Report& report) {
    for (const auto& [name, count] : report.faults) faults[name] += count;
    for (const auto& [name, count] : report.answers) answers[name] += count;
    for (const auto& [name, count] : report.points) {
      points[name].first += count.first;
      points[name].second += count.second;
    }
  }
};

// An injector that does nothing would let every checker pass.
void ExpectEverythingStruck(Struck struck) {
  for (int i = 0; i < kFaults; ++i) {
    const std::string name(NameOf(static_cast<Fault>(i)));
    EXPECT_GT(struck.faults[name], 0u) << name << " never happened";
  }
  EXPECT_GE(struck.points.size(), 19u);
  for (const char* const wish :
       {"submit", "cancel", "pause", "update", "drain", "set-queue", "set-quota", "delete-quota",
        "reserve", "create-token", "revoke-token", "create-study", "ask", "tell", "complete"}) {
    EXPECT_GT(struck.answers[wish], 100u) << "hardly ever granted: " << wish;
  }
  for (const auto& [name, count] : struck.points) {
    if (count.first < kOftenEnough) continue;
    EXPECT_GT(count.second, 0u) << "nobody ever died at " << name;
  }
}

TEST(SeedsTest, NothingIsLostWhateverBreaks) {
  std::atomic<uint64_t> next_seed{FirstSeed()};
  std::atomic<uint64_t> events{0};
  std::atomic<bool> failed{false};
  Mutex mutex;
  Struck struck;
  const auto play = [&] {
    while (events < EventsToPlay() && !failed) {
      const Options options = OptionsOf(next_seed++);
      const Report report = Play(options);
      events += report.events;
      MutexLock lock(&mutex);
      struck.Add(report);
      if (!report.violation.has_value()) continue;
      failed = true;
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
  if (events >= 20'000'000) ExpectEverythingStruck(struck);
  RecordProperty("events", std::to_string(events));
}

}  // namespace
}  // namespace trainyard::sim
