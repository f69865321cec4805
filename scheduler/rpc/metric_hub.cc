// See metric_hub.h.
#include "scheduler/rpc/metric_hub.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace trainyard::rpc {
namespace {

constexpr absl::Duration kGap = absl::Milliseconds(200);
constexpr absl::Duration kForgetAfter = absl::Minutes(10);

int64_t Micros(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000 + time.nanos() / 1000;
}

}  // namespace

MetricHub::MetricHub(runtime::Runtime* runtime, const Clock* clock)
    : runtime_(runtime), clock_(clock) {
  thread_ = std::thread([this] { Run(); });
}

MetricHub::~MetricHub() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

void MetricHub::Begin(const journal::v1::RunRow& run, uint64_t epoch, Feed* feed) {
  *feed = Feed();
  feed->epoch = epoch;
  feed->running_us = run.attempt().running_us();
  const core::JobPtr job = runtime_->view().Job(run.job_uid());
  const core::StudyPtr study = job == nullptr ? nullptr : runtime_->view().Study(job->study_uid());
  if (study == nullptr) return;
  for (const v1::StudySpec::Metric& metric : study->spec().metrics()) {
    feed->metrics.insert(metric.metric_id());
  }
}

bool MetricHub::Add(const journal::v1::RunRow& run, const agent::v1::MetricBatch& batch,
                    Durable durable) {
  if (run.trial() == 0) return false;
  MutexLock lock(&mutex_);
  Feed& feed = feeds_[run.uid()];
  if (batch.key().epoch() < feed.epoch) return false;
  if (batch.key().epoch() > feed.epoch) Begin(run, batch.key().epoch(), &feed);
  if (feed.running_us == 0) feed.running_us = run.attempt().running_us();
  feed.last_used = clock_->Monotonic();
  for (int i = 0; i < batch.points_size(); ++i) {
    if (batch.offset() + i < feed.seen) continue;
    const v1::MetricPoint& point = batch.points(i);
    if (!feed.metrics.contains(point.name())) continue;
    auto& values = feed.steps[point.step()];
    const auto [value, is_new] = values.try_emplace(point.name(), Value{});
    // Ranks report the same number; the lowest one speaks.
    if (is_new || point.rank() <= value->second.rank) {
      value->second = {point.rank(), point.value()};
    }
    feed.times_us[point.step()] = Micros(point.time());
  }
  feed.seen = std::max(feed.seen, batch.offset() + batch.points_size());
  if (feed.steps.empty()) {
    // They came before; that report may still be on its way.
    if (feed.last == nullptr) return false;
    MutexLock report_lock(&feed.last->mutex);
    if (feed.last->answered) return false;
    feed.last->waiting.push_back(std::move(durable));
    return true;
  }
  feed.waiting.push_back(std::move(durable));
  if (clock_->Monotonic() - feed.last_sent >= kGap) {
    Send(run.uid(), &feed);
  } else if (held_.insert(run.uid()).second) {
    wake_.NotifyAll();
  }
  return true;
}

void MetricHub::Send(uint64_t run_uid, Feed* feed) {
  held_.erase(run_uid);
  if (feed->steps.empty()) return;
  core::ReportMeasurements report;
  report.run_uid = run_uid;
  report.epoch = feed->epoch;
  for (const auto& [step, values] : feed->steps) {
    v1::Measurement measurement;
    measurement.set_step(step);
    const int64_t elapsed_us =
        feed->running_us == 0 ? 0 : std::max<int64_t>(0, feed->times_us[step] - feed->running_us);
    measurement.mutable_elapsed()->set_seconds(elapsed_us / 1'000'000);
    measurement.mutable_elapsed()->set_nanos(static_cast<int32_t>(elapsed_us % 1'000'000) * 1000);
    for (const auto& [name, value] : values) {
      v1::MetricValue* metric = measurement.add_metrics();
      metric->set_metric_id(name);
      metric->set_value(value.value);
    }
    report.measurements.push_back(std::move(measurement));
  }
  feed->last_sent = clock_->Monotonic();
  core::Command command;
  command.principal.name = "system";
  command.principal.role = v1::ADMIN;
  command.principal.is_system = true;
  command.body = std::move(report);
  auto sent = std::make_shared<Report>();
  auto refused = std::make_shared<bool>(false);
  {
    MutexLock lock(&sent->mutex);
    sent->waiting = feed->waiting;
  }
  // A full queue answers at once, on this thread.
  const auto poster = std::this_thread::get_id();
  auto posting = std::make_shared<std::atomic<bool>>(true);
  runtime_->Post(std::move(command), [=](const absl::StatusOr<core::Reply>& reply) {
    const bool later =
        absl::IsResourceExhausted(reply.status()) || absl::IsUnavailable(reply.status());
    if (later && *posting && std::this_thread::get_id() == poster) {
      *refused = true;
      return;
    }
    std::vector<Durable> waiting;
    {
      MutexLock lock(&sent->mutex);
      sent->answered = true;
      waiting = std::move(sent->waiting);
    }
    for (const Durable& durable : waiting) {
      if (!later) durable();
    }
  });
  *posting = false;
  if (*refused) {
    held_.insert(run_uid);  // once more after the gap
    return;
  }
  feed->last = std::move(sent);
  feed->waiting.clear();
  feed->steps.clear();
  feed->times_us.clear();
}

void MetricHub::Flush(uint64_t run_uid) {
  MutexLock lock(&mutex_);
  const auto feed = feeds_.find(run_uid);
  if (feed != feeds_.end()) Send(run_uid, &feed->second);
}

void MetricHub::Run() {
  MutexLock lock(&mutex_);
  while (!stopping_) {
    if (held_.empty()) {
      wake_.WaitFor(&mutex_, kForgetAfter);
    } else {
      wake_.WaitFor(&mutex_, kGap / 4);
    }
    const absl::Duration now = clock_->Monotonic();
    const std::set<uint64_t> held = held_;
    for (const uint64_t run_uid : held) {
      Feed& feed = feeds_[run_uid];
      if (now - feed.last_sent >= kGap) Send(run_uid, &feed);
    }
    if (!held.empty()) continue;
    for (auto it = feeds_.begin(); it != feeds_.end();) {
      it = now - it->second.last_used > kForgetAfter ? feeds_.erase(it) : std::next(it);
    }
  }
}

}  // namespace trainyard::rpc
