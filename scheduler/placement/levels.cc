// The order stage of las and las-r: attained service in levels, and promises to those that waited
// long (Tiresias, NSDI 2019, for the levels). See planner.h.
#include <algorithm>
#include <cmath>

#include "scheduler/placement/planner.h"

namespace trainyard::placement {

int64_t Planner::AttainedUs(const Run& of) const {
  if (of.held == nullptr) return of.attained_us;
  return of.attained_us + (now_us_ - of.held->counted_from_us) / 1000 * shape(of).charge_milli;
}

int64_t Planner::OwnerAttainedUs(const Owner& owner) const {
  return owner.attained_us + (now_us_ - owner.at_us) / 1000 * owner.held_milli;
}

double Planner::ServiceUs(const Owner& owner) const {
  return static_cast<double>(OwnerAttainedUs(owner)) +
         static_cast<double>(policy_.study_ahead_us) * static_cast<double>(owner.held_milli) / 1000;
}

// What it has to stand for: a study that held more than it does now does not rise again.
double Planner::ChargedUs(const Owner& owner) const {
  return std::max(owner.peak_us, ServiceUs(owner));
}

// Service at which a run of the shape leaves `level`.
double Planner::Threshold(const Shape& of, int level) const {
  const double gang = of.gang ? policy_.gang_factor : 1;
  return static_cast<double>(policy_.first_level_device_us) * gang *
         std::pow(std::max(of.devices, 0.001), policy_.gpu_exponent) *
         std::pow(policy_.level_factor, level);
}

int Planner::LevelAt(const Shape& of, double attained_us) const {
  if (policy_.order != OrderBy::kAttained) return 0;
  int level = 0;
  while (level + 1 < policy_.levels && attained_us >= Threshold(of, level)) ++level;
  return level;
}

int Planner::LevelOf(const Run& of) const {
  int level = LevelAt(shape(of), static_cast<double>(AttainedUs(of)));
  if (of.owner >= 0 && owners_[static_cast<size_t>(of.owner)].shared) {
    level = std::max(level, LevelAt(shape(of), ChargedUs(owners_[static_cast<size_t>(of.owner)])));
  }
  return std::max<int>(level, of.level);
}

void Planner::PlanSink(int32_t index) {
  const Run& of = run(index);
  if (policy_.order != OrderBy::kAttained || of.level + 1 >= policy_.levels) return;
  const double left = Threshold(shape(of), of.level) - static_cast<double>(of.attained_us);
  const double at = std::ceil(left / std::max(shape(of).devices, 0.001));
  events_.push({std::max(now_us_, of.held->counted_from_us + static_cast<int64_t>(at)), kSink,
                index, of.version});
}

// Sinks the runs of a study that reached a level's end, and finds out when the next one does.
void Planner::CheckOwner(int32_t index) {
  Owner& owner = owners_[static_cast<size_t>(index)];
  if (policy_.order != OrderBy::kAttained || !owner.shared) return;
  const double now = ServiceUs(owner);
  const double service = owner.peak_us = std::max(owner.peak_us, now);
  if (service >= owner.next_us) {
    double next = HUGE_VAL;
    const auto look = [&](const Shape& of) {
      for (int level = 0; level + 1 < policy_.levels; ++level) {
        const double threshold = Threshold(of, level);
        if (threshold > service) next = std::min(next, threshold);
      }
      return LevelAt(of, service);
    };
    for (const int32_t line : owner.lines) {
      Line& of = lines_[static_cast<size_t>(line)];
      const int level = look(shapes_.at(of.shape));
      if (level <= of.level) continue;
      of.level = level;
      Rekey(line);
    }
    for (const int32_t running : owner.running) {
      const int level = look(shape(run(running)));
      if (level <= run(running).level) continue;
      run(running).level = static_cast<int8_t>(level);
      run(running).fresh = true;
      fresh_.push_back(running);
      CountRipe(running);
    }
    owner.next_us = next;
    changed_ = true;
  }
  owner.check_us = INT64_MAX;
  if (owner.held_milli <= 0 || owner.next_us == HUGE_VAL) return;
  const double rate = static_cast<double>(owner.held_milli) / 1000;
  owner.check_us = now_us_ + static_cast<int64_t>(std::ceil((owner.next_us - now) / rate));
  events_.push({owner.check_us, kOwner, index, 0});
}

// How long it runs before it may be a victim. What a study holds beyond one run is there for
// everybody: 200 trials that began a moment ago hold up nobody.
int64_t Planner::MinRunUs(const Run& of) const {
  if (of.held->min_run_us >= 0) return of.held->min_run_us;
  const bool study = policy_.order == OrderBy::kAttained && of.owner >= 0 &&
                     owners_[static_cast<size_t>(of.owner)].shared;
  return study ? std::min(policy_.study_min_run_us, policy_.min_run_us) : policy_.min_run_us;
}

// Counts a running run where others look for victims, once it ran its minimum.
void Planner::CountRipe(int32_t index) {
  Run& of = run(index);
  Held& held = *of.held;
  int32_t wanted = kNone;
  if (of.state == State::kRunning && of.preemptible) {
    const int64_t ripe_us = held.started_us + std::max<int64_t>(1, MinRunUs(of));
    if (ripe_us <= now_us_) {
      // What an elastic run has beyond its minimum is there for everybody. Of fair every run may
      // be: it depends on its user.
      const bool any = Spare(of) || policy_.order == OrderBy::kFair;
      wanted = of.front ? policy_.levels + 1 : any ? policy_.levels : of.level + (of.fresh ? 1 : 0);
    } else if (!held.ripening) {
      held.ripening = true;
      events_.push({ripe_us, kRipen, index, of.version});
    }
  }
  if (wanted == held.counted_level) return;
  const auto count = [&](int32_t level, int sign) {
    if (level == kNone) return;
    const auto at = static_cast<size_t>(level);
    for (const Slice& slice : held.slices) {  // who shares a device may be the last of them
      const auto devices = static_cast<int>(slice.devices.size());
      ripe_[at][static_cast<size_t>(slice.node)] += static_cast<uint16_t>(sign * devices);
      ripe_runs_[at][static_cast<size_t>(slice.node)] += static_cast<uint16_t>(sign);
    }
    ripe_all_[at] += sign;
    int32_t& same = ripe_priorities_[held.counted_priority];
    same += sign;
    if (same == 0) ripe_priorities_.erase(held.counted_priority);
    if (sign > 0) ++ripe_version_[at];
  };
  count(held.counted_level, -1);
  held.counted_priority = of.priority;
  count(wanted, +1);
  held.counted_level = wanted;
}

void Planner::Advance() {
  while (!events_.empty() && events_.top().time <= now_us_) {
    const Event event = events_.top();
    events_.pop();
    if (event.kind == kOwner) {
      if (owners_[static_cast<size_t>(event.index)].check_us == event.time) CheckOwner(event.index);
      continue;
    }
    Run& of = run(event.index);
    if (of.version != event.version || of.state != State::kRunning) continue;
    changed_ = true;
    if (event.kind == kSink) {
      // Its study may have taken it further down since: then the next level is not due yet.
      const auto rounding = static_cast<double>(2 * shape(of).charge_milli + 1000);
      const double attained = static_cast<double>(AttainedUs(of)) + rounding;
      if (of.level + 1 >= policy_.levels || attained < Threshold(shape(of), of.level)) {
        PlanSink(event.index);
        continue;
      }
      of.level = static_cast<int8_t>(std::max(of.level + 1, LevelOf(of)));
      of.fresh = true;
      fresh_.push_back(event.index);
      PlanSink(event.index);
    }
    CountRipe(event.index);
  }
  if (policy_.aging_us > 0) Promise();
}

double Planner::LimitUs() const {
  const double demand = static_cast<double>(demand_milli_) /
                        std::max<double>(1, static_cast<double>(capacity_milli_));
  return static_cast<double>(policy_.aging_us) *
         std::pow(std::max(1.0, demand), policy_.aging_exponent);
}

void Planner::KnowCapacity() {
  if (capacity_known_) return;
  capacity_milli_ = cluster_.CapacityMilli(policy_.cores_per_device);
  capacity_known_ = true;
  FitFront();
}

void Planner::Promise() {
  KnowCapacity();
  const double limit = LimitUs();
  const double least = limit * std::min(1.0, policy_.gang_aging);
  std::vector<int32_t> due;
  for (const auto& [since, index] : unpromised_) {
    const auto waited = static_cast<double>(now_us_ - since);
    if (waited < least) break;
    if (waited >= (shape(run(index)).gang ? limit * policy_.gang_aging : limit)) {
      due.push_back(index);
    }
  }
  for (const int32_t index : due) {
    unpromised_.erase({run(index).wait_from_us - run(index).waited_us, index});
    FrontAdd(index);
    changed_ = true;
  }
}

void Planner::SetFront(int32_t index, bool front) {
  Run& of = run(index);
  if (of.front == front) return;
  if (of.state == State::kWaiting && of.line >= 0) {
    Dequeue(index);
    of.front = front;
    Enqueue(index);
  } else {
    of.front = front;
    if (of.held != nullptr) CountRipe(index);
  }
  changed_ = true;
}

// The promised runs that are in front are the oldest whose devices together stay within the share.
void Planner::FrontAdd(int32_t index) {
  Run& of = run(index);
  of.promised = true;
  const std::tuple key{of.submitted_us, of.uid, index};
  const auto at = promised_.insert(key).first;
  const bool first = at == promised_.begin();
  if (key > front_last_ && !first && *std::prev(at) != front_last_) return;
  front_milli_ += shape(of).charge_milli;
  front_last_ = std::max(front_last_, key);
  SetFront(index, true);
  FitFront();
}

void Planner::FrontRemove(int32_t index) {
  Run& of = run(index);
  const auto at = promised_.find({of.submitted_us, of.uid, index});
  of.promised = false;
  if (of.front) {
    front_milli_ -= shape(of).charge_milli;
    if (*at == front_last_) {
      front_last_ =
          at == promised_.begin() ? decltype(front_last_){INT64_MIN, 0, 0} : *std::prev(at);
    }
    of.front = false;
  }
  promised_.erase(at);
  FitFront();
}

void Planner::FitFront() {
  const double most = policy_.front_share * static_cast<double>(capacity_milli_);
  while (static_cast<double>(front_milli_) > most) {
    const auto last = promised_.find(front_last_);
    if (last == promised_.end() || last == promised_.begin()) break;
    front_milli_ -= shape(run(std::get<2>(*last))).charge_milli;
    front_last_ = *std::prev(last);
    SetFront(std::get<2>(*last), false);
  }
  for (auto next = promised_.upper_bound(front_last_); next != promised_.end(); ++next) {
    const int64_t charge = shape(run(std::get<2>(*next))).charge_milli;
    if (front_milli_ > 0 && static_cast<double>(front_milli_ + charge) > most) break;
    front_milli_ += charge;
    front_last_ = *next;
    SetFront(std::get<2>(*next), true);
  }
}

int64_t Planner::WakeUs() const {
  int64_t wake = std::min(NextWindowUs(), events_.empty() ? INT64_MAX : events_.top().time);
  if (policy_.aging_us > 0 && !unpromised_.empty()) {
    const double least = LimitUs() * std::min(1.0, policy_.gang_aging);
    wake = std::min(wake, std::max(now_us_ + 1, unpromised_.begin()->first +
                                                    static_cast<int64_t>(std::ceil(least))));
  }
  return wake;
}

}  // namespace trainyard::placement
