// trainyard tiers list and set: the table of scale tiers that specs name, and how an administrator
// changes it.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/node_view.h"
#include "client/cli/output.h"
#include "client/sdk/client.h"
#include "common/errors.h"
#include "common/spec/bytes.h"
#include "common/spec/spec.h"

namespace trainyard::cli {
namespace {

constexpr int64_t kReplicasMax = 10000;
constexpr int64_t kGpusMax = 1024;

// "1", "1 + 4 workers"; "-" for a tier whose pools the spec gives.
std::string ReplicasOf(const v1::ScaleTier& tier) {
  std::vector<std::string> parts;
  for (const v1::WorkerPool& pool : tier.worker_pools()) {
    const int count = std::max(1, pool.replica_count());
    parts.push_back(parts.empty() ? absl::StrCat(count)
                                  : absl::StrCat(count, " ", pool.role(), "s"));
  }
  return parts.empty() ? "-" : absl::StrJoin(parts, " + ");
}

std::string GpusOf(const v1::Resources& resources) {
  const std::string models = absl::StrJoin(resources.gpu_models(), "|");
  return absl::StrCat(resources.gpu_count(), models.empty() ? "" : " ", models);
}

Table TierTable(const std::vector<const v1::ScaleTier*>& tiers) {
  Table table;
  table.headers = {"TIER", "REPLICAS", "CORES", "MEMORY", "GPUS", "NOTE"};
  table.right = {false, false, true, true};
  for (const v1::ScaleTier* tier : tiers) {
    const bool open = tier->worker_pools().empty();
    const v1::Resources each = open ? v1::Resources() : tier->worker_pools(0).resources();
    table.rows.push_back(
        {tier->name(), ReplicasOf(*tier),
         each.cpu_milli() == 0
             ? "-"
             : absl::StrFormat("%.4g", static_cast<double>(each.cpu_milli()) / 1000),
         each.memory_bytes() == 0 ? "-" : BytesText(each.memory_bytes()), open ? "-" : GpusOf(each),
         tier->note()});
    table.names.push_back(tier->name());
  }
  return table;
}

absl::Status ListTiers(Context* context, const Arguments&) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListTiersResponse> tiers = (*client)->ListTiers({});
  if (!tiers.ok()) return tiers.status();
  std::vector<const v1::ScaleTier*> pointers;
  for (const v1::ScaleTier& tier : tiers->tiers()) pointers.push_back(&tier);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, TierTable(pointers)});
  return absl::OkStatus();
}

// What is named over what is there already.
absl::Status ReadResources(const Arguments& arguments, v1::Resources* resources) {
  const absl::StatusOr<double> cores =
      arguments.Number("cores", static_cast<double>(resources->cpu_milli()) / 1000);
  if (!cores.ok()) return cores.status();
  if (!(*cores >= 0 && *cores <= 4096)) {
    return UsageError("--cores is outside 0 to 4096", "give cores a replica, for example 0.5");
  }
  resources->set_cpu_milli(static_cast<int64_t>(*cores * 1000));
  if (arguments.Has("memory")) {
    const std::optional<int64_t> bytes = spec::ParseBytes(arguments.Get("memory"));
    if (!bytes.has_value()) {
      return UsageError(absl::StrCat("--memory: \"", arguments.Get("memory"), "\" is no size"),
                        "write 512MiB, 4GiB or bytes");
    }
    resources->set_memory_bytes(*bytes);
  }
  const absl::StatusOr<int64_t> gpus = arguments.Int("gpus", resources->gpu_count(), 0, kGpusMax);
  if (!gpus.ok()) return gpus.status();
  resources->set_gpu_count(static_cast<int32_t>(*gpus));
  if (arguments.Has("gpu-models")) resources->clear_gpu_models();
  for (const std::string& model : arguments.List("gpu-models")) resources->add_gpu_models(model);
  if (resources->gpu_models_size() > 0 && *gpus == 0) {
    return UsageError("--gpu-models says which GPUs, but the tier has none",
                      "add --gpus N, or leave out --gpu-models", "--gpu-models");
  }
  return absl::OkStatus();
}

// The tier as it is; an empty one when there is none of that name yet.
absl::StatusOr<v1::ScaleTier> TierOf(client::Client* client, const std::string& name) {
  const absl::StatusOr<v1::ListTiersResponse> tiers = client->ListTiers({});
  if (!tiers.ok()) return tiers.status();
  for (const v1::ScaleTier& tier : tiers->tiers()) {
    if (tier.name() == name) return tier;
  }
  return v1::ScaleTier();
}

absl::Status SetTier(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ScaleTier> before = TierOf(*client, arguments.Word(0));
  if (!before.ok()) return before.status();
  v1::SetTierRequest request;
  v1::ScaleTier* tier = request.mutable_tier();
  tier->set_name(arguments.Word(0));
  tier->set_note(arguments.Get("note", before->note()));
  request.set_request_id(context->request_id);
  int64_t had = 0;
  for (const v1::WorkerPool& pool : before->worker_pools()) had += pool.replica_count();
  const absl::StatusOr<int64_t> replicas =
      arguments.Int("replicas", std::max<int64_t>(1, had), 1, kReplicasMax);
  if (!replicas.ok()) return replicas.status();
  v1::Resources resources;
  if (before->worker_pools_size() > 0) resources = before->worker_pools(0).resources();
  if (absl::Status status = ReadResources(arguments, &resources); !status.ok()) return status;
  const auto add_pool = [&](const char* role, int64_t count) {
    if (count == 0) return;
    v1::WorkerPool* pool = tier->add_worker_pools();
    pool->set_role(role);
    pool->set_replica_count(static_cast<int32_t>(count));
    *pool->mutable_resources() = resources;
  };
  add_pool("master", 1);
  add_pool("worker", *replicas - 1);
  const absl::StatusOr<v1::ScaleTier> set = (*client)->SetTier(request);
  if (!set.ok()) return set.status();
  PrintOne(&context->console(), context->format, *set, set->name(),
           FormatTable(TierTable({&*set}), 0, context->console().out_color), TierTable({&*set}));
  return absl::OkStatus();
}

}  // namespace

Command TiersListCommand() {
  Command command;
  command.words = "tiers list";
  command.summary = "Show the scale tiers: replicas, and what each replica gets.";
  command.examples = {"trainyard tiers", "trainyard tiers list -o json"};
  command.run = ListTiers;
  command.prints = true;
  command.aliases = {"tiers"};
  return command;
}

Command TiersSetCommand() {
  Command command;
  command.words = "tiers set";
  command.summary = "Make or change a scale tier; needs the role ADMIN.";
  command.examples = {"trainyard tiers set TEAM_BIG --replicas 4 --cores 2 --memory 4GiB",
                      "trainyard tiers set BASIC_GPU --gpus 1 --gpu-models T4,L4"};
  command.positionals = {{.name = "TIER", .complete = Complete::kTier}};
  command.flags = {{.name = "replicas", .value = "N", .help = "ranks of a job; 1 in a new tier"},
                   {.name = "cores", .value = "X", .help = "a replica"},
                   {.name = "memory", .value = "SIZE", .help = "a replica, for example 4GiB"},
                   {.name = "gpus", .value = "N", .help = "a replica"},
                   {.name = "gpu-models", .value = "M,...", .help = "accepted models, best first"},
                   {.name = "note", .value = "TEXT", .help = "shown when a job uses the tier"}};
  command.notes = {
      "What is not named stays; jobs that were submitted before keep what the tier was "
      "then."};
  command.run = SetTier;
  command.prints = true;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
