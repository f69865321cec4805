// How an engine comes to life: rows, then the journal's tail, then this server's incarnation. All
// leases of agents that were connected begin anew in full, so that nothing of theirs is placed
// elsewhere because the scheduler was away.
#include <algorithm>
#include <future>

#include "absl/strings/str_cat.h"
#include "scheduler/core/state_rows.h"
#include "scheduler/runtime/engine.h"
#include "scheduler/runtime/rows.h"

namespace trainyard::runtime {
namespace {

constexpr int kNamesPerRead = 10000;
constexpr size_t kManyJobs = 10000;

uint64_t SeedOf(const Options& options) {
  if (options.seed != 0) return options.seed;
  return UidOfKey(SecretBytes(8));
}

}  // namespace

Engine::Engine(journal::Journal* journal, Options options)
    : options_(std::move(options)),
      journal_(journal),
      view_(std::make_unique<ViewTable>(journal)),
      lost_gangs_(&options_),
      sessions_(&options_),
      last_due_(options_.clock->Monotonic()),
      random_(SeedOf(options_)) {}

absl::Status Engine::Load(journal::Journal* journal) {
  absl::StatusOr<journal::Recovered> recovered = journal->Recover();
  if (!recovered.ok()) return recovered.status();
  incarnation_ = recovered->incarnation;
  if (absl::Status status = LoadRows(&*recovered, &state_); !status.ok()) return status;
  // Specs that have a row need none again; those of the tail still do.
  if (!state_.specs.empty()) specs_known_ = state_.specs.rbegin()->first;
  // What the tail changed is newer than its rows: it goes into the first batch of rows.
  for (const journal::v1::Event& event : recovered->tail) {
    if (event.sequence() != state_.sequence + 1) {
      return absl::DataLossError(absl::StrCat(
          "event ", state_.sequence + 1, " is missing in the journal, found ", event.sequence()));
    }
    core::Apply(event, &state_, &unbooked_);
  }
  std::string after;
  while (true) {
    const auto names = journal->ReadRows("old_job_name", "", after, kNamesPerRead);
    if (!names.ok()) return names.status();
    for (const journal::RowUpdate& row : *names) {
      state_.old_names[core::NameHash(row.key)] = UidOfKey(row.value);
    }
    if (names->size() < kNamesPerRead) break;
    after = names->back().key;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Recover(journal::Journal* journal,
                                                        const Options& options) {
  std::unique_ptr<Engine> engine(new Engine(journal, options));
  if (absl::Status status = engine->Load(journal); !status.ok()) return status;
  core::State& state = engine->state_;
  const Delta all = DeltaOfAll(state);
  // Nobody reads the view yet: a large one is filled while the planner's tables are.
  const auto when = all.jobs.size() > kManyJobs ? std::launch::async : std::launch::deferred;
  std::future<void> published = std::async(when, [&] { engine->view_->Fill(all, state.runs); });
  for (const auto& [id, agent] : all.agents) {
    if (agent->connected()) {
      engine->leases_.Start(id, options.clock->Monotonic(), options.lease);
    }
  }
  engine->book_.Fill(state);
  core::Touched tried;  // those that still wait for their first start have taught nothing
  for (const auto& [uid, run] : state.runs.rows()) {
    if (run->state() != journal::v1::R_WAITING) tried.runs.insert(uid);
  }
  engine->history_.Update(state, tried);
  engine->lost_gangs_.Update(state, tried.runs);
  engine->desk_.Refill(state);
  for (const auto& [uid, job] : all.jobs) engine->NoteTerminal(uid);
  std::sort(engine->terminal_.begin(), engine->terminal_.end());
  for (const auto& [uid, study] : all.studies) {
    if (study->deleted()) engine->unbooked_.studies.insert(uid);
  }
  published.get();

  core::Command start;
  start.principal.name = "system";
  start.principal.role = trainyard::v1::ADMIN;
  start.principal.is_system = true;
  start.body = core::StartServer{options.version, engine->incarnation_};
  if (auto reply = engine->Decide(&start); !reply.ok()) return reply.status();
  return engine;
}

}  // namespace trainyard::runtime
