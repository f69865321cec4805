// See engine.h.
#include "sim/replay/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainyard::replay {
namespace {

constexpr int32_t kMultiNodeGpus = 8;

double NearestRank(const std::vector<int64_t>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return static_cast<double>(sorted[std::max<size_t>(rank, 1) - 1]);
}

}  // namespace

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
  return {results_, Summarise()};
}

Summary Engine::Summarise() const {
  Summary summary;
  std::vector<int64_t> jcts;
  double useful = 0;
  int64_t last_end = 0;
  double multi_wait = 0;
  int64_t multi_jobs = 0;
  for (size_t row = 0; row < trace_.size(); ++row) {
    const int64_t jct = results_[row].end - trace_[row].submit;
    const int64_t wait = jct - trace_[row].duration;
    jcts.push_back(jct);
    summary.average_jct += static_cast<double>(jct);
    summary.average_wait += static_cast<double>(wait);
    summary.worst_wait = std::max(summary.worst_wait, wait);
    summary.preemptions += results_[row].preemptions;
    useful += static_cast<double>(trace_[row].duration) * trace_[row].gpus;
    last_end = std::max(last_end, results_[row].end);
    if (trace_[row].gpus > kMultiNodeGpus) {
      multi_wait += static_cast<double>(wait);
      ++multi_jobs;
    }
  }
  const auto count = static_cast<double>(trace_.size());
  std::sort(jcts.begin(), jcts.end());
  summary.average_jct /= count;
  summary.average_wait /= count;
  summary.p50 = NearestRank(jcts, 0.50);
  summary.p90 = NearestRank(jcts, 0.90);
  summary.p99 = NearestRank(jcts, 0.99);
  summary.makespan = last_end - trace_.front().submit;
  summary.multi_node_wait = multi_jobs > 0 ? multi_wait / static_cast<double>(multi_jobs) : 0;
  summary.utilisation =
      useful / (static_cast<double>(gpus_total_) * static_cast<double>(summary.makespan));
  summary.passes = passes_;
  return summary;
}

}  // namespace trainyard::replay
