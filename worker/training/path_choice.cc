// See path_choice.h.
#include "worker/training/path_choice.h"

#include <bit>

#include "worker/training/route_table.h"

namespace trainyard::training {

PathChoice::PathChoice(Said* said, bool decides, std::string memory)
    : said_(said), decides_(decides), memory_(std::move(memory)) {
  if (!decides_ || memory_.empty()) return;
  const std::string known = ReadPaths(memory_, kCollectives * kClasses);
  for (size_t i = 0; i < known.size(); ++i) {
    said_->known[i].store(static_cast<uint8_t>(known[i] - '0'), std::memory_order_relaxed);
  }
}

void PathChoice::Recall() {
  for (size_t i = 0; i < kCollectives * kClasses; ++i) {
    const uint8_t known = said_->known[i].load(std::memory_order_relaxed);
    if (known == 0) continue;
    Kind& kind = kinds_[i / kClasses][i % kClasses];
    kind.next = static_cast<Path>(known - 1);
    for (int& calls : kind.calls) calls = kTries;
    kind.best[1 - (known - 1)] = 1;  // the other way
  }
}

// Rank 0 alone; seldom: once a kind and run, and when a choice has changed.
void PathChoice::Keep(const Kind& kind) {
  const bool direct = kind.best[1] < kind.best[0];
  const uint8_t found = direct ? 2 : 1;
  if (said_->known[collective_ * kClasses + class_].exchange(found) == found) return;
  std::string all;
  for (const auto& one : said_->known) all += static_cast<char>('0' + one.load());
  RememberPaths(memory_, all);
}

Path PathChoice::Take(Collective collective, size_t bytes) {
  collective_ = static_cast<size_t>(collective);
  // Four classes an octave would be finer than the noise; one is enough.
  class_ = static_cast<size_t>(std::bit_width(bytes)) % kClasses;
  bytes_ = static_cast<double>(bytes > 0 ? bytes : 1);
  path_ = kinds_[collective_][class_].next;
  turn_ = 1 - turn_;
  first_ = true;
  if (decides_) start_ = std::chrono::steady_clock::now();
  return path_;
}

Path PathChoice::Wanted(const Kind& kind) const {
  // The call under way is not counted yet: the next one takes the other way while both are tried.
  const int staged = kind.calls[0] + (path_ == Path::kStaged ? 1 : 0);
  const int direct = kind.calls[1] + (path_ == Path::kDirect ? 1 : 0);
  const int tries = staged + direct;
  if (tries < 2 * kTries) {
    const bool first = path_ == Path::kStaged;
    const bool staged_next = tries % 2 == 1 ? !first : tries / 2 % 2 == 0;
    return staged_next ? Path::kStaged : Path::kDirect;
  }
  return kind.best[1] < kind.best[0] ? Path::kDirect : Path::kStaged;
}

absl::Status PathChoice::Meet(GangSync* sync, const Call& call) {
  if (!first_) return sync->Meet(call);
  first_ = false;
  Say();
  absl::Status status = sync->Meet(call);
  Hear();
  return status;
}

void PathChoice::Say() {
  if (!decides_) return;
  const Path wanted = Wanted(kinds_[collective_][class_]);
  said_->path[turn_].store(static_cast<uint8_t>(wanted), std::memory_order_relaxed);
}

void PathChoice::Hear() {
  kinds_[collective_][class_].next =
      static_cast<Path>(said_->path[turn_].load(std::memory_order_relaxed));
}

void PathChoice::Done() {
  if (!decides_) return;
  Kind& kind = kinds_[collective_][class_];
  const size_t way = static_cast<size_t>(path_);
  if (kind.calls[0] + kind.calls[1] >= 2 * kTries) {
    if (++kind.settled == kSettledCalls) kind = {kind.next, {0, 0}, {0, 0}, 0};
    return;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
  const double took = seconds.count() / bytes_;
  // The first try pays for page faults and caches.
  if (++kind.calls[way] == 1) return;
  if (kind.calls[way] == 2 || took < kind.best[way]) kind.best[way] = took;
  if (kind.calls[0] + kind.calls[1] == 2 * kTries) Keep(kind);
}

}  // namespace trainyard::training
