// See network.h.
#include "sim/run/network.h"

#include <algorithm>
#include <utility>

namespace trainyard::sim {
namespace {

// Per message.
constexpr double kDelays = 2e-4;
constexpr double kDrops = 1e-4;
constexpr double kRepeats = 3e-4;
constexpr double kReorders = 3e-4;
// Single messages are resent by their senders, so more of them may go wrong.
constexpr double kAloneFactor = 50;

}  // namespace

void Network::OnBreak(Breaks at_scheduler, Breaks at_agent) {
  at_scheduler_ = std::move(at_scheduler);
  at_agent_ = std::move(at_agent);
}

void Network::Cut(int node, bool up, bool down) {
  nodes_[static_cast<size_t>(node)].cut[0] = up;
  nodes_[static_cast<size_t>(node)].cut[1] = down;
}

bool Network::Reaches(int node, Way way) const {
  return node < 0 || !nodes_[static_cast<size_t>(node)].cut[static_cast<size_t>(way)];
}

int64_t Network::Latency(int node) {
  const bool slow = node >= 0 && nodes_[static_cast<size_t>(node)].slow;
  return Between(&context_->random(), 100, 1000) * (slow ? 10 : 1);
}

void Network::Send(const StreamPtr& stream, Way way, Deliver deliver) {
  const auto side = static_cast<size_t>(way);
  if (!stream->lost[side] && !Reaches(stream->node, way)) {
    stream->lost[side] = true;
    Break(stream);
  }
  if (stream->lost[side]) return;
  if (context_->Strikes(Fault::kDrop, kDrops)) {
    // Either this message alone, or all that follow as well.
    if (context_->random().Below(2) == 0) return;
    stream->lost[side] = true;
    return Break(stream);
  }
  int64_t delay = Latency(stream->node);
  Random& random = context_->random();
  if (context_->Strikes(Fault::kDelay, kDelays)) delay += Between(&random, 0, 8 * kSecond);
  delay = std::max(delay, stream->last_us[side] + 1 - context_->now_us());
  if (context_->Strikes(Fault::kReorder, kReorders)) {
    delay += Between(&random, kMilli, 300 * kMilli);
  } else {
    stream->last_us[side] = context_->now_us() + delay;
  }
  if (context_->Strikes(Fault::kRepeat, kRepeats)) {
    context_->queue().After(delay + Between(&random, 1, 2 * kSecond), Kind::kDelivery, deliver);
  }
  context_->queue().After(delay, Kind::kDelivery, std::move(deliver));
}

void Network::SendAlone(int node, Way way, Deliver deliver) {
  if (!Reaches(node, way)) return;
  if (context_->Strikes(Fault::kDrop, kAloneFactor * kDrops)) return;
  Random& random = context_->random();
  int64_t delay = Latency(node);
  if (context_->Strikes(Fault::kDelay, kAloneFactor * kDelays)) {
    delay += Between(&random, 0, 8 * kSecond);
  }
  if (context_->Strikes(Fault::kReorder, kAloneFactor * kReorders)) {
    delay += Between(&random, 0, 100 * kMilli);
  }
  if (context_->Strikes(Fault::kRepeat, kAloneFactor * kRepeats)) {
    context_->queue().After(delay + Between(&random, 1, 2 * kSecond), Kind::kDelivery, deliver);
  }
  context_->queue().After(delay, Kind::kDelivery, std::move(deliver));
}

void Network::Break(const StreamPtr& stream) {
  Random& random = context_->random();
  context_->queue().After(Between(&random, 200 * kMilli, 20 * kSecond), Kind::kTimer,
                          [this, stream] { at_scheduler_(stream); });
  context_->queue().After(Between(&random, 200 * kMilli, 20 * kSecond), Kind::kTimer,
                          [this, stream] { at_agent_(stream); });
}

void Network::BreakSoon(const StreamPtr& stream) {
  const int64_t latency = Latency(stream->node);
  context_->queue().After(latency, Kind::kDelivery, [this, stream] { at_scheduler_(stream); });
  context_->queue().After(latency, Kind::kDelivery, [this, stream] { at_agent_(stream); });
}

}  // namespace trainyard::sim
