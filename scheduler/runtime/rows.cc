// See rows.h.
#include "scheduler/runtime/rows.h"

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/io/coded_stream.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::runtime {
namespace {

constexpr size_t kManyRows = 10000;

std::string BigEndian(uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  return out;
}

void Push(absl::string_view kind, std::string key, const google::protobuf::MessageLite* row,
          uint64_t sequence, std::vector<journal::RowUpdate>* rows) {
  rows->push_back({std::string(kind), std::move(key),
                   row == nullptr ? std::string() : row->SerializeAsString(), sequence});
}

std::string SpecBytes(uint64_t job_uid, const core::SpecPtr& spec) {
  journal::v1::SpecRow row;
  row.set_job_uid(job_uid);
  *row.mutable_spec() = *spec;
  return row.SerializeAsString();
}

template <typename Row>
absl::Status Parse(const journal::RowUpdate& update, Row* row) {
  if (row->ParseFromString(update.value)) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("row of kind ", update.kind, " at sequence ", update.sequence, " is damaged"));
}

template <typename Row>
absl::StatusOr<std::shared_ptr<Row>> Shared(const journal::RowUpdate& update) {
  auto row = std::make_shared<Row>();
  if (const absl::Status status = Parse(update, row.get()); !status.ok()) return status;
  return row;
}

// Rows in the order in which they are put back, so that each index finds what it looks at.
struct Loaded {
  std::vector<std::shared_ptr<journal::v1::JobRow>> jobs;
  std::vector<std::shared_ptr<journal::v1::RunRow>> runs;
  std::vector<std::shared_ptr<journal::v1::StudyRow>> studies;
  std::vector<std::pair<core::TrialKey, core::KeptTrial>> trials;
  std::vector<std::shared_ptr<journal::v1::AgentRow>> agents;
  std::vector<std::shared_ptr<journal::v1::TokenRow>> tokens;
  std::vector<std::shared_ptr<journal::v1::TierRow>> tiers;
  std::vector<std::shared_ptr<journal::v1::ProjectRow>> projects;
  std::vector<std::shared_ptr<journal::v1::RequestRow>> requests;
  std::vector<std::shared_ptr<journal::v1::SettingRow>> settings;
  std::vector<std::shared_ptr<journal::v1::LedgerRow>> ledger;
  std::vector<std::shared_ptr<journal::v1::ServerRow>> servers;
  journal::v1::TrialRow trial;  // what is read into, again and again
};

template <typename Row>
absl::Status Add(const journal::RowUpdate& update, std::vector<std::shared_ptr<Row>>* rows) {
  auto row = Shared<Row>(update);
  if (!row.ok()) return row.status();
  rows->push_back(*std::move(row));
  return absl::OkStatus();
}

// Most trials have ended: of those the bytes stay as they are once they could be read.
absl::Status AddTrial(const journal::RowUpdate& update, Loaded* loaded) {
  journal::v1::TrialRow* const row = &loaded->trial;
  if (const absl::Status status = Parse(update, row); !status.ok()) return status;
  loaded->trials.emplace_back(
      core::TrialKey(row->study_uid(), row->id()),
      core::HasEnded(*row) ? core::KeptTrial::OfEnded(update.value)
                           : core::KeptTrial(std::make_shared<const journal::v1::TrialRow>(*row)));
  return absl::OkStatus();
}

absl::Status Sort(const journal::RowUpdate& update, Loaded* loaded) {
  if (update.kind == "job") return Add(update, &loaded->jobs);
  if (update.kind == "run") return Add(update, &loaded->runs);
  if (update.kind == "study") return Add(update, &loaded->studies);
  if (update.kind == "trial") return AddTrial(update, loaded);
  if (update.kind == "agent") return Add(update, &loaded->agents);
  if (update.kind == "token") return Add(update, &loaded->tokens);
  if (update.kind == "tier") return Add(update, &loaded->tiers);
  if (update.kind == "project") return Add(update, &loaded->projects);
  if (update.kind == "request") return Add(update, &loaded->requests);
  if (update.kind == "setting") return Add(update, &loaded->settings);
  if (update.kind == "ledger") return Add(update, &loaded->ledger);
  if (update.kind == "server") return Add(update, &loaded->servers);
  return absl::OkStatus();  // of a later version, or not a live kind
}

// What follows the job's uid in a spec's row, "" when it is not made that way.
absl::string_view AfterUid(const std::string& value) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(value.data()),
                                            static_cast<int>(value.size()));
  uint64_t uid = 0;
  if (in.ReadTag() != journal::v1::SpecRow::kJobUidFieldNumber << 3 || !in.ReadVarint64(&uid)) {
    return "";
  }
  return absl::string_view(value).substr(static_cast<size_t>(in.CurrentPosition()));
}

// There is a row for each job, and most are alike: those with equal bytes are read once.
absl::Status LoadSpecs(std::vector<journal::RowUpdate>* updates, core::State* state) {
  absl::flat_hash_map<absl::string_view, core::SpecPtr> known;
  core::Touched ignored;
  core::StateRows rows(state, &ignored);
  for (const journal::RowUpdate& update : *updates) {
    if (update.kind != "spec") continue;
    const absl::string_view bytes = AfterUid(update.value);
    core::SpecPtr& spec = known[bytes];
    if (spec != nullptr && !bytes.empty()) {
      state->specs[UidOfKey(update.key)] = spec;
      continue;
    }
    journal::v1::SpecRow row;
    if (const absl::Status status = Parse(update, &row); !status.ok()) return status;
    rows.PutSpec(row.job_uid(), row.spec());
    spec = state->specs.at(row.job_uid());
  }
  known.clear();  // it looks into the values
  for (journal::RowUpdate& update : *updates) {
    if (update.kind == "spec") std::string().swap(update.value);
  }
  return absl::OkStatus();
}

// Reads those updates whose kind is among `kinds`, or is not when `others`.
absl::Status ParseRows(const std::vector<absl::string_view>& kinds, bool others,
                       std::vector<journal::RowUpdate>* updates, Loaded* loaded) {
  for (journal::RowUpdate& update : *updates) {
    const bool named = std::find(kinds.begin(), kinds.end(), update.kind) != kinds.end();
    if (named == others) continue;
    if (absl::Status status = Sort(update, loaded); !status.ok()) return status;
    std::string().swap(update.value);
  }
  return absl::OkStatus();
}

template <typename Row>
void ByUid(std::vector<std::shared_ptr<Row>>* rows) {
  std::sort(rows->begin(), rows->end(),
            [](const auto& a, const auto& b) { return a->uid() < b->uid(); });
}

void PutAll(Loaded loaded, core::State* state) {
  core::Touched ignored;
  core::StateRows rows(state, &ignored);
  for (const auto& row : loaded.servers) rows.PutServer(*row);
  for (const auto& row : loaded.projects) rows.PutProject(*row);
  for (const auto& row : loaded.tiers) rows.PutTier(row->tier());
  for (auto& row : loaded.settings) rows.PutSetting(std::move(row));
  for (auto& row : loaded.ledger) rows.PutLedger(std::move(row));
  for (auto& row : loaded.tokens) rows.PutToken(std::move(row));
  for (auto& row : loaded.agents) rows.PutAgent(std::move(row));
  for (auto& row : loaded.jobs) {
    rows.PutJob(std::move(row));
    ignored.jobs.clear();  // nobody asks, and there may be many
  }
  for (auto& row : loaded.studies) rows.PutStudy(std::move(row));
  for (auto& row : loaded.runs) {
    rows.PutRun(std::move(row));
    ignored.runs.clear();
  }
  for (auto& [key, trial] : loaded.trials) rows.PutKept(key, std::move(trial));
  std::sort(loaded.requests.begin(), loaded.requests.end(),
            [](const auto& a, const auto& b) { return a->time_us() < b->time_us(); });
  for (auto& row : loaded.requests) {
    rows.PutRequest(*row);
    row.reset();
    ignored.requests.clear();
  }
}

void SettingRows(const Delta& delta, std::vector<journal::RowUpdate>* rows) {
  for (const auto& [id, agent] : delta.agents) {
    Push("agent", id, agent.get(), delta.revision, rows);
  }
  for (const auto& [id, token] : delta.tokens) {
    Push("token", id, token.get(), delta.revision, rows);
  }
  for (const auto& [key, request] : delta.requests) {
    Push("request", core::KeyBytes(key), request.get(), delta.revision, rows);
  }
  for (const auto& [key, setting] : delta.setting_rows) {
    Push("setting", key, setting.get(), delta.revision, rows);
  }
  for (const auto& [key, ledger] : delta.ledger) {
    Push("ledger", key, ledger.get(), delta.revision, rows);
  }
  if (delta.settings != nullptr) {
    for (const trainyard::v1::ScaleTier& tier : delta.settings->tiers) {
      journal::v1::TierRow row;
      *row.mutable_tier() = tier;
      Push("tier", tier.name(), &row, delta.revision, rows);
    }
    for (const journal::v1::ProjectRow& project : delta.settings->projects) {
      Push("project", project.project_id(), &project, delta.revision, rows);
    }
  }
  if (delta.server != nullptr) Push("server", "", delta.server.get(), delta.revision, rows);
}

}  // namespace

std::string UidKey(uint64_t uid) { return BigEndian(uid, 8); }
std::string FallingUidKey(uint64_t uid) { return BigEndian(~uid, 8); }
uint64_t UidOfKey(absl::string_view key) {
  uint64_t uid = 0;
  for (const char c : key.substr(0, 8)) uid = uid << 8 | static_cast<unsigned char>(c);
  return uid;
}
std::string TrialRowKey(const core::TrialKey& key) {
  return UidKey(key.first) + BigEndian(static_cast<uint32_t>(key.second), 4);
}

std::vector<journal::RowUpdate> LiveRows(const Delta& delta) {
  std::vector<journal::RowUpdate> rows;
  for (const auto& [uid, job] : delta.jobs) {
    Push("job", UidKey(uid), job.get(), delta.revision, &rows);
  }
  for (const auto& [uid, spec] : delta.specs) {
    rows.push_back(
        {"spec", UidKey(uid), spec == nullptr ? "" : SpecBytes(uid, spec), delta.revision});
  }
  for (const auto& [uid, run] : delta.runs) {
    Push("run", UidKey(uid), run.get(), delta.revision, &rows);
  }
  for (const auto& [uid, study] : delta.studies) {
    Push("study", UidKey(uid), study.get(), delta.revision, &rows);
  }
  for (const auto& [key, trial] : delta.trials) {
    rows.push_back({"trial", TrialRowKey(key), trial.Bytes(), delta.revision});
  }
  SettingRows(delta, &rows);
  return rows;
}

std::vector<journal::RowUpdate> ArchiveRows(const Archive& archive, uint64_t sequence) {
  std::vector<journal::RowUpdate> rows;
  if (archive.job == nullptr) return rows;
  const uint64_t uid = archive.job->uid();
  Push("old_job", FallingUidKey(uid), archive.job.get(), sequence, &rows);
  rows.push_back({"old_job_name", absl::StrCat(archive.job->project(), "/", archive.job->job_id()),
                  UidKey(uid), sequence});
  Push("job", UidKey(uid), nullptr, sequence, &rows);
  if (archive.spec != nullptr) {
    rows.push_back({"old_spec", UidKey(uid), SpecBytes(uid, archive.spec), sequence});
    Push("spec", UidKey(uid), nullptr, sequence, &rows);
  }
  for (const core::RunPtr& run : archive.runs) {
    Push("old_run", UidKey(run->uid()), run.get(), sequence, &rows);
    Push("run", UidKey(run->uid()), nullptr, sequence, &rows);
  }
  for (const core::TrialPtr& trial : archive.trials) {
    const std::string key = TrialRowKey({trial->study_uid(), trial->id()});
    Push("old_trial", key, trial.get(), sequence, &rows);
    Push("trial", key, nullptr, sequence, &rows);
  }
  if (archive.study != nullptr) {
    const uint64_t study = archive.study->uid();
    Push("old_study", FallingUidKey(study), archive.study.get(), sequence, &rows);
    rows.push_back({"old_study_name",
                    absl::StrCat(archive.study->project(), "/", archive.study->study_id()),
                    UidKey(study), sequence});
    Push("study", UidKey(study), nullptr, sequence, &rows);
  }
  return rows;
}

// Two threads, each with kinds of its own: there may be a row of each kind for every job.
absl::Status LoadRows(journal::Recovered* recovered, core::State* state) {
  const std::vector<absl::string_view> kinds = {"spec", "run", "request"};
  std::vector<journal::RowUpdate>* const updates = &recovered->rows;
  Loaded loaded;
  Loaded beside;
  std::future<absl::Status> parsed =
      std::async(updates->size() > kManyRows ? std::launch::async : std::launch::deferred,
                 [&] { return ParseRows(kinds, true, updates, &beside); });
  absl::Status status = LoadSpecs(updates, state);
  if (status.ok()) status = ParseRows(kinds, false, updates, &loaded);
  const absl::Status others = parsed.get();
  if (!status.ok()) return status;
  if (!others.ok()) return others;
  std::swap(loaded.runs, beside.runs);
  std::swap(loaded.requests, beside.requests);
  ByUid(&beside.jobs);
  ByUid(&beside.runs);
  std::vector<journal::RowUpdate>().swap(recovered->rows);
  PutAll(std::move(beside), state);
  state->sequence = recovered->rows_sequence;
  return absl::OkStatus();
}

}  // namespace trainyard::runtime
