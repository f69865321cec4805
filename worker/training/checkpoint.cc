// See checkpoint.h.
#include "worker/training/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/fault_point.h"
#include "common/file.h"
#include "common/sha256.h"

namespace trainyard::training {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kFormat = "trainyard-checkpoint-1";
constexpr absl::string_view kManifest = "manifest.json";
constexpr int kDepthMax = 8;
constexpr int64_t kRanksMax = 1 << 24;

constexpr absl::string_view kPartial = ".partial";
constexpr absl::string_view kOld = ".old";

std::string HiddenFolder(const std::string& folder, int64_t step) {
  return JoinPath(folder, absl::StrCat(".", CheckpointName(step), kPartial));
}

std::string OldFolder(const std::string& folder, int64_t step) {
  return JoinPath(folder, absl::StrCat(".", CheckpointName(step), kOld));
}

// Whether a name is of a checkpoint that is being written (`kind` kPartial) or removed (kOld).
bool IsRest(absl::string_view name, absl::string_view kind, int64_t* step) {
  return absl::ConsumePrefix(&name, ".step_") && absl::ConsumeSuffix(&name, kind) &&
         absl::SimpleAtoi(name, step);
}

// The manifest first: a folder that has one has all the rest of it.
absl::Status RemoveCheckpoint(const std::string& path) {
  absl::Status status = RemoveTree(JoinPath(path, kManifest));
  status.Update(RemoveTree(path));
  return status;
}

absl::Status Lost(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

// Gives `hidden` the name `visible`, which another folder has, and that one the name `old`.
absl::Status Exchange(const std::string& hidden, const std::string& visible,
                      const std::string& old) {
  // At every moment there is a whole one.
  if (renameat2(AT_FDCWD, hidden.c_str(), AT_FDCWD, visible.c_str(), RENAME_EXCHANGE) == 0) {
    return rename(hidden.c_str(), old.c_str()) == 0
               ? absl::OkStatus()
               : ErrnoError(errno, "cannot put aside the checkpoint replaced by", visible);
  }
  // Some file systems cannot exchange. Who is killed in between leaves two that are whole, and
  // SweepCheckpoints() gives one its name.
  if (errno != EINVAL && errno != ENOSYS) {
    return ErrnoError(errno, "cannot commit checkpoint", visible);
  }
  if (rename(visible.c_str(), old.c_str()) != 0) {
    return ErrnoError(errno, "cannot commit checkpoint", visible);
  }
  if (rename(hidden.c_str(), visible.c_str()) == 0) return absl::OkStatus();
  absl::Status status = ErrnoError(errno, "cannot commit checkpoint", visible);
  if (rename(old.c_str(), visible.c_str()) != 0) {
    status.Update(ErrnoError(errno, "cannot put back checkpoint", visible));
  }
  return status;
}

// Renames the complete hidden folder to its name; a folder that has it gives way.
absl::Status Publish(const std::string& folder, int64_t step) {
  const std::string hidden = HiddenFolder(folder, step), old = OldFolder(folder, step);
  const std::string visible = JoinPath(folder, CheckpointName(step));
  TRAINYARD_FAULT_POINT("checkpoint.before_commit");
  if (rename(hidden.c_str(), visible.c_str()) == 0) return FsyncFolder(folder);
  if (errno != ENOTEMPTY && errno != EEXIST) {
    return ErrnoError(errno, "cannot commit checkpoint", visible);
  }
  absl::Status status = RemoveCheckpoint(old);
  if (status.ok()) status = Exchange(hidden, visible, old);
  if (status.ok()) status = FsyncFolder(folder);
  if (!status.ok()) return status;
  TRAINYARD_FAULT_POINT("checkpoint.after_exchange");
  RemoveCheckpoint(old).IgnoreError();  // costs room, no more
  return absl::OkStatus();
}

// Over the manifest without its own checksum; keys are sorted, so the text is canonical.
std::string ChecksumOf(Json manifest) {
  manifest.erase("sha256");
  return HexOf(Sha256Of(manifest.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

// Leftovers of a writer that was killed would be files without an entry.
absl::Status RemoveOthers(const std::string& hidden, const std::vector<ShardEntry>& shards) {
  auto names = ListFolder(hidden);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    const bool named = std::any_of(shards.begin(), shards.end(),
                                   [&name](const ShardEntry& shard) { return shard.file == name; });
    if (named || name == kManifest) continue;
    if (absl::Status status = RemoveTree(JoinPath(hidden, name)); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<ShardEntry> ReadEntry(const std::string& manifest, const Json& entry) {
  if (!entry.is_object() || !entry.contains("file") || !entry["file"].is_string() ||
      !entry.contains("sha256") || !entry["sha256"].is_string()) {
    return Lost(manifest, "a shard without file or sha256");
  }
  const Json bytes = entry.value("bytes", Json());
  ShardEntry shard = {entry["file"].get<std::string>(),
                      bytes.is_number_unsigned() ? bytes.get<uint64_t>() : 0, ""};
  if (!CheckRelativePath(shard.file).ok()) return Lost(manifest, "a shard outside its folder");
  auto sha256 = BytesOfHex(entry["sha256"].get<std::string>());
  if (!sha256.ok()) return Lost(manifest, "a shard's sha256 is none");
  shard.sha256 = *std::move(sha256);
  return shard;
}

absl::StatusOr<TensorFile> ReadShard(const std::string& path, const ShardEntry& shard) {
  const std::string file = JoinPath(path, shard.file);
  std::string sha256;
  auto tensors = ReadSafetensors(file, &sha256);
  if (absl::IsNotFound(tensors.status())) return tensors.status();
  if (!tensors.ok()) return Lost(file, tensors.status().message());
  if (sha256 != shard.sha256) return Lost(file, "its bytes do not match the manifest's sha256");
  return tensors;
}

absl::Status ReadState(const std::string& file, const Json& manifest, CheckpointState* to) {
  const auto state = manifest.find("state");
  if (state == manifest.end()) return absl::OkStatus();
  if (!state->is_object()) return Lost(file, "its state is no map");
  for (const auto& [key, value] : state->items()) {
    if (!value.is_string()) return Lost(file, absl::StrCat("state ", key, " is no text"));
    (*to)[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

// Without what lies deeper than any manifest: writing such a value out again would need a deep
// stack.
Json ParseManifest(const std::string& text) {
  const auto shallow = [](int depth, Json::parse_event_t, const Json&) {
    return depth <= kDepthMax;
  };
  return Json::parse(text, shallow, /*allow_exceptions=*/false);
}

absl::StatusOr<CheckpointManifest> DecodeManifest(const std::string& text,
                                                  const std::string& file) {
  const Json manifest = ParseManifest(text);
  if (!manifest.is_object() || manifest.value("format", Json()) != std::string(kFormat)) {
    return Lost(file, absl::StrCat("not a manifest of format ", kFormat));
  }
  if (manifest.value("sha256", Json()) != ChecksumOf(manifest)) {
    return Lost(file, "it does not match its own sha256");
  }
  const Json step = manifest.value("step", Json()), shards = manifest.value("shards", Json());
  const Json world_size = manifest.value("world_size", Json());
  if (!step.is_number_integer() || !world_size.is_number_integer() || !shards.is_array()) {
    return Lost(file, "step, world_size or shards is missing");
  }
  CheckpointManifest read;
  read.step = step.get<int64_t>();
  if (read.step < 0 || world_size.get<int64_t>() < 1 || world_size.get<int64_t>() > kRanksMax) {
    return Lost(file, "step or world_size is out of range");
  }
  read.world_size = world_size.get<int>();
  read.sha256 = manifest["sha256"].get<std::string>();
  if (absl::Status status = ReadState(file, manifest, &read.state); !status.ok()) return status;
  for (const Json& entry : shards) {
    auto shard = ReadEntry(file, entry);
    if (!shard.ok()) return shard.status();
    read.shards.push_back(*std::move(shard));
  }
  return read;
}

absl::StatusOr<CheckpointManifest> ReadManifest(const std::string& path) {
  const std::string file = JoinPath(path, kManifest);
  auto text = ReadFile(file);
  return text.ok() ? DecodeManifest(*text, file) : text.status();
}

absl::StatusOr<Checkpoint> ReadFolder(const std::string& path) {
  auto manifest = ReadManifest(path);
  if (!manifest.ok()) return manifest.status();
  Checkpoint checkpoint;
  checkpoint.step = manifest->step;
  checkpoint.world_size = manifest->world_size;
  checkpoint.state = std::move(manifest->state);
  for (const ShardEntry& entry : manifest->shards) {
    auto shard = ReadShard(path, entry);
    if (absl::IsNotFound(shard.status())) {
      return Lost(JoinPath(path, entry.file), "it is not there");
    }
    if (!shard.ok()) return shard.status();
    checkpoint.shards.push_back(*std::move(shard));
  }
  return checkpoint;
}

// Whether nothing of what this folder holds of a step is missing: its manifest comes last and goes
// first. Shards of other nodes lie elsewhere; bytes are verified when they are loaded.
bool IsComplete(const std::string& path, int64_t step) {
  const auto manifest = ReadManifest(path);
  if (!manifest.ok() || manifest->step != step) return false;
  bool any = false;
  for (const ShardEntry& shard : manifest->shards) {
    struct stat info {};
    if (lstat(JoinPath(path, shard.file).c_str(), &info) != 0) continue;
    if (static_cast<uint64_t>(info.st_size) != shard.bytes) return false;
    any = true;
  }
  return any;
}

}  // namespace

std::string CheckpointName(int64_t step) { return absl::StrCat("step_", step); }
std::string ShardName(int shard) { return absl::StrCat("shard-", shard, ".safetensors"); }

absl::StatusOr<CheckpointManifest> DecodeCheckpointManifest(const std::string& text,
                                                            const std::string& name) {
  return DecodeManifest(text, name);
}

absl::StatusOr<std::vector<int64_t>> CheckpointSteps(const std::string& folder) {
  auto names = ListFolder(folder);
  if (!names.ok()) return names.status();
  std::vector<int64_t> steps;
  for (const std::string& name : *names) {
    int64_t step = 0;
    absl::string_view number = name;
    if (absl::ConsumePrefix(&number, "step_") && absl::SimpleAtoi(number, &step)) {
      steps.push_back(step);
    }
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

absl::StatusOr<ShardEntry> WriteCheckpointShard(const std::string& folder, int64_t step, int shard,
                                                absl::string_view bytes) {
  const std::string hidden = HiddenFolder(folder, step);
  ShardEntry entry = {ShardName(shard), bytes.size(), Sha256Of(bytes)};
  absl::Status status = MakeFolders(hidden);
  // A commit that failed may have left one, which would name other bytes.
  if (status.ok()) status = RemoveTree(JoinPath(hidden, kManifest));
  if (status.ok()) status = WriteFileDurably(JoinPath(hidden, entry.file), bytes);
  if (!status.ok()) return status;
  return entry;
}

absl::Status CommitCheckpoint(const std::string& folder, int64_t step, int world_size,
                              const CheckpointState& state, const std::vector<ShardEntry>& shards) {
  const std::string hidden = HiddenFolder(folder, step);
  if (absl::Status status = RemoveOthers(hidden, shards); !status.ok()) return status;
  Json entries = Json::array();
  for (const ShardEntry& shard : shards) {
    entries.push_back(
        {{"file", shard.file}, {"bytes", shard.bytes}, {"sha256", HexOf(shard.sha256)}});
  }
  Json manifest = {{"format", std::string(kFormat)},
                   {"step", step},
                   {"world_size", world_size},
                   {"state", state},
                   {"shards", std::move(entries)}};
  manifest["sha256"] = ChecksumOf(manifest);
  const std::string text = manifest.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
  if (absl::Status status = WriteFileDurably(JoinPath(hidden, kManifest), text); !status.ok()) {
    return status;
  }
  return Publish(folder, step);
}

absl::Status WriteCheckpointBytes(const std::string& folder, int64_t step, int world_size,
                                  absl::string_view bytes, const CheckpointState& state) {
  auto shard = WriteCheckpointShard(folder, step, 0, bytes);
  if (!shard.ok()) return shard.status();
  return CommitCheckpoint(folder, step, world_size, state, {*shard});
}

absl::Status WriteCheckpoint(const std::string& folder, int64_t step, int world_size,
                             const std::vector<TensorView>& tensors, const CheckpointState& state) {
  const auto bytes = EncodeSafetensors(tensors, {});
  if (!bytes.ok()) return bytes.status();
  return WriteCheckpointBytes(folder, step, world_size, *bytes, state);
}

absl::Status SweepCheckpoints(const std::string& folder) {
  if (!Exists(folder)) return absl::OkStatus();
  auto names = ListFolder(folder);
  if (!names.ok()) return names.status();
  absl::Status status;
  // What was to be published is newer than what made way for it.
  for (const absl::string_view kind : {kPartial, kOld}) {
    for (const std::string& name : *names) {
      int64_t step = 0;
      if (!IsRest(name, kind, &step)) continue;
      const std::string path = JoinPath(folder, name);
      const std::string visible = JoinPath(folder, CheckpointName(step));
      const bool named = Exists(visible) || !IsComplete(path, step);
      if (!named && rename(path.c_str(), visible.c_str()) == 0) continue;
      status.Update(RemoveCheckpoint(path));
    }
  }
  if (status.ok()) status = FsyncFolder(folder);
  return status;
}

absl::Status PruneCheckpoints(const std::string& folder, int64_t newest, size_t keep) {
  auto steps = CheckpointSteps(folder);
  if (!steps.ok()) return steps.status();
  size_t kept = 0;
  absl::Status status;
  for (const int64_t step : *steps) {
    if (step > newest) continue;
    if (kept < keep) {
      // One that cannot be read is none to go back to.
      if (ReadCheckpointManifest(folder, step).ok()) ++kept;
      continue;
    }
    // Under another name first: nobody finds half a checkpoint.
    const std::string hidden = OldFolder(folder, step);
    status.Update(RemoveCheckpoint(hidden));
    if (rename(JoinPath(folder, CheckpointName(step)).c_str(), hidden.c_str()) != 0) {
      status.Update(ErrnoError(errno, "cannot remove checkpoint", CheckpointName(step)));
      continue;
    }
    status.Update(RemoveCheckpoint(hidden));
  }
  return status;
}

absl::StatusOr<CheckpointManifest> ReadCheckpointManifest(const std::string& folder, int64_t step) {
  return ReadManifest(JoinPath(folder, CheckpointName(step)));
}

absl::StatusOr<TensorFile> ReadCheckpointShard(const std::string& folder, int64_t step,
                                               const ShardEntry& shard) {
  return ReadShard(JoinPath(folder, CheckpointName(step)), shard);
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& folder, int64_t step) {
  return ReadFolder(JoinPath(folder, CheckpointName(step)));
}

absl::StatusOr<Checkpoint> ReadNewestCheckpoint(const std::string& folder,
                                                std::vector<std::string>* skipped) {
  auto steps = CheckpointSteps(folder);
  if (!steps.ok()) return steps.status();
  for (const int64_t step : *steps) {
    auto checkpoint = ReadCheckpoint(folder, step);
    if (checkpoint.ok()) return checkpoint;
    if (skipped != nullptr) skipped->push_back(std::string(checkpoint.status().message()));
  }
  if (Exists(JoinPath(folder, kManifest))) return ReadFolder(folder);
  return absl::NotFoundError(absl::StrCat("no checkpoint in ", folder));
}

}  // namespace trainyard::training
