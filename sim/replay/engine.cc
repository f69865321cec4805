// See engine.h.
#include "sim/replay/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainyard::replay {
Engine::Engine(const std::vector<TraceJob>& trace, const Options& options)
    : trace_(trace),
      options_(options),
      gpus_total_(int64_t{options.nodes} * options.gpus_per_node),
      pool_(options.nodes, options.gpus_per_node, options.pack),
      jobs_(trace.size()),
      results_(trace.size()) {
  for (size_t row = 0; row < trace.size(); ++row) {
    LiveJob& job = jobs_[row];
    job.row = static_cast<int32_t>(row);
    job.gpus = trace[row].gpus;
    job.submit = trace[row].submit;
    job.duration = trace[row].duration;
    job.remaining = job.duration;
  }
}

void Engine::Start(LiveJob* job, Share share) {
  pool_.Take(share);
  job->share = std::move(share);
  job->started = now_;
  job->cost = job->ran_before ? options_.restart_cost : 0;
  job->ran_before = true;
  ++job->version;
  JobResult& result = results_[static_cast<size_t>(job->row)];
  if (result.first_start < 0) result.first_start = now_;
  job->planned_end = now_ + job->cost + job->remaining;
  finishes_.push({job->planned_end, job->row, job->version});
  PlanDemotion(job);
}

void Engine::Stop(LiveJob* job) {
  job->remaining = job->RemainingAt(now_);
  job->attained = job->AttainedAt(now_);
  pool_.Give(job->share);
  job->share.clear();
  job->started = -1;
  ++job->version;
}

void Engine::PlanDemotion(LiveJob* job) {
  const double threshold = pass_->NextThreshold(*job);
  if (threshold < 0 || !job->running()) return;
  const double left = threshold - static_cast<double>(job->attained);
  const int64_t at = job->started + static_cast<int64_t>(std::ceil(left / job->gpus));
  if (at < job->planned_end) {
    demotions_.push({std::max(at, now_), job->row, job->version});
  }
}

bool Engine::PopDue(Heap* heap, LiveJob** job) {
  while (!heap->empty() && heap->top().time <= now_) {
    const Event event = heap->top();
    heap->pop();
    LiveJob& candidate = jobs_[static_cast<size_t>(event.row)];
    if (candidate.version != event.version || candidate.done) continue;
    *job = &candidate;
    return true;
  }
  return false;
}

int64_t Engine::NextTime() {
  int64_t next = INT64_MAX;
  for (Heap* heap : {&finishes_, &demotions_}) {
    while (!heap->empty()) {
      const LiveJob& job = jobs_[static_cast<size_t>(heap->top().row)];
      if (job.version == heap->top().version && !job.done) break;
      heap->pop();
    }
    if (!heap->empty()) next = std::min(next, heap->top().time);
  }
  if (next_arrival_ < jobs_.size()) next = std::min(next, jobs_[next_arrival_].submit);
  return next;
}

Outcome Engine::Run(Pass* pass) {
  pass_ = pass;
  for (;;) {
    const int64_t next = NextTime();
    if (next == INT64_MAX) break;
    now_ = next;
    LiveJob* job = nullptr;
    while (PopDue(&finishes_, &job)) {
      Stop(job);
      job->done = true;
      results_[static_cast<size_t>(job->row)].end = now_;
      pass->Finish(job);
    }
    while (PopDue(&demotions_, &job)) {
      pass->Demote(job);
      PlanDemotion(job);
    }
    for (; next_arrival_ < jobs_.size() && jobs_[next_arrival_].submit == now_; ++next_arrival_) {
      pass->Arrive(&jobs_[next_arrival_]);
    }
    pass->Schedule(this);
    ++passes_;
  }
  return {results_, Summarise(trace_, results_, options_, passes_)};
}

}  // namespace trainyard::replay
