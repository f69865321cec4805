// trainyard quota set, list, describe and delete: what teams, projects and users are guaranteed and
// may use at most, per device model.
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/sdk/client.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

constexpr int kWeightMax = 1'000'000;

// "cluster", "teams/vision", "projects/p", "projects/p/users/u".
std::string PlaceOf(const std::string& name) {
  return std::string(absl::StripPrefix(name, "quotas/"));
}

std::string Devices(int64_t milli) {
  return absl::StrFormat("%.6g", static_cast<double>(milli) / 1000);
}

// A row a model.
Table QuotaTable(const std::vector<const v1::Quota*>& quotas) {
  Table table;
  table.headers = {"PLACE", "MODEL", "GUARANTEE", "LIMIT", "WEIGHT", "USED", "WAITING"};
  table.right = {false, false, true, true, true, true, true};
  for (const v1::Quota* quota : quotas) {
    for (const v1::Quota::Share& share : quota->shares()) {
      table.rows.push_back({PlaceOf(quota->name()), share.model().empty() ? "any" : share.model(),
                            Devices(share.guarantee_milli()),
                            share.has_limit_milli() ? Devices(share.limit_milli()) : "-",
                            absl::StrCat(std::max(1, share.weight())), Devices(share.used_milli()),
                            Devices(share.waiting_milli())});
      table.names.push_back(quota->name());
    }
  }
  return table;
}

void Print(Context* context, const v1::Quota& quota) {
  const Table table = QuotaTable({&quota});
  PrintOne(&context->console(), context->format, quota, quota.name(), FormatTable(table, 0, false),
           table);
}

absl::Status ListQuotas(Context* context, const Arguments&) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListQuotasResponse> answer = (*client)->ListQuotas({});
  if (!answer.ok()) return answer.status();
  std::vector<const v1::Quota*> quotas;
  for (const v1::Quota& quota : answer->quotas()) quotas.push_back(&quota);
  PrintList(&context->console(), context->format,
            {{quotas.begin(), quotas.end()}, QuotaTable(quotas)});
  return absl::OkStatus();
}

absl::StatusOr<v1::Quota> Get(Context* context, const std::string& place) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetQuotaRequest request;
  request.set_name(place);
  return (*client)->GetQuota(request);
}

absl::Status Describe(Context* context, const Arguments& arguments) {
  const absl::StatusOr<v1::Quota> quota = Get(context, arguments.Word(0));
  if (!quota.ok()) return quota.status();
  Print(context, *quota);
  return absl::OkStatus();
}

absl::Status ReadDevices(const Arguments& arguments, const char* flag, int64_t* milli) {
  double devices = 0;
  if (!absl::SimpleAtod(arguments.Get(flag), &devices) || devices < 0 || devices > 1e9) {
    return UsageError(absl::StrCat("--", flag, ": \"", arguments.Get(flag), "\" is no number"),
                      "write devices, for example 8 or 0.5");
  }
  *milli = static_cast<int64_t>(devices * 1000 + 0.5);
  return absl::OkStatus();
}

absl::Status Apply(const Arguments& arguments, v1::Quota* quota) {
  const std::string model = arguments.Get("model");
  v1::Quota::Share* share = nullptr;
  for (v1::Quota::Share& known : *quota->mutable_shares()) {
    if (known.model() == model) share = &known;
  }
  if (share == nullptr) {
    share = quota->add_shares();
    share->set_model(model);
  }
  int64_t milli = 0;
  if (arguments.Has("guarantee")) {
    if (absl::Status status = ReadDevices(arguments, "guarantee", &milli); !status.ok()) {
      return status;
    }
    share->set_guarantee_milli(milli);
  }
  if (arguments.Has("limit")) {
    if (absl::Status status = ReadDevices(arguments, "limit", &milli); !status.ok()) return status;
    share->set_limit_milli(milli);
  }
  if (arguments.Has("no-limit")) share->clear_limit_milli();
  const absl::StatusOr<int64_t> weight =
      arguments.Int("weight", std::max(1, share->weight()), 1, kWeightMax);
  if (!weight.ok()) return weight.status();
  share->set_weight(static_cast<int32_t>(*weight));
  return absl::OkStatus();
}

absl::Status Set(Context* context, const Arguments& arguments) {
  bool says = false;
  for (const char* flag : {"guarantee", "limit", "no-limit", "weight"}) {
    says = says || arguments.Has(flag);
  }
  if (!says) {
    return UsageError("nothing says what to set",
                      "give --guarantee N, --limit N, --no-limit or --weight N; what is set now: "
                      "trainyard quota describe " +
                          arguments.Word(0));
  }
  const absl::StatusOr<v1::Quota> before = Get(context, arguments.Word(0));
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  v1::SetQuotaRequest request;
  if (before.ok()) *request.mutable_quota() = *before;
  request.mutable_quota()->set_name(arguments.Word(0));
  if (absl::Status status = Apply(arguments, request.mutable_quota()); !status.ok()) return status;
  request.set_request_id(context->request_id);
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Quota> quota = (*client)->SetQuota(request);
  if (!quota.ok()) {
    return InFlags(quota.status(), {{"quota.shares.model", "--model"},
                                    {"quota.shares.guarantee_milli", "--guarantee"},
                                    {"quota.shares.limit_milli", "--limit"},
                                    {"quota.shares.weight", "--weight"},
                                    {"quota.shares", "--guarantee"},
                                    {"quota", "PLACE"}});
  }
  Print(context, *quota);
  return absl::OkStatus();
}

// The share of one model goes, those of others stay.
absl::Status DeleteShare(Context* context, v1::Quota quota, const std::string& model) {
  auto* const shares = quota.mutable_shares();
  const auto end = std::remove_if(shares->begin(), shares->end(),
                                  [&](const auto& share) { return share.model() == model; });
  if (end == shares->end()) {
    std::vector<std::string> models;
    for (const v1::Quota::Share& share : *shares) models.push_back(share.model());
    return MakeError(
        absl::StatusCode::kNotFound, "NOT_FOUND",
        absl::StrCat("the quota of ", PlaceOf(quota.name()), " says nothing of model ", model),
        absl::StrCat("it has: ", absl::StrJoin(models, ", ")));
  }
  shares->erase(end, shares->end());
  v1::SetQuotaRequest request;
  *request.mutable_quota() = std::move(quota);
  request.set_request_id(context->request_id);
  const absl::StatusOr<client::Client*> client = context->Connect();
  return client.ok() ? (*client)->SetQuota(request).status() : client.status();
}

absl::Status Delete(Context* context, const Arguments& arguments) {
  if (arguments.Has("model")) {
    absl::StatusOr<v1::Quota> quota = Get(context, arguments.Word(0));
    if (!quota.ok()) return quota.status();
    const bool only =
        quota->shares_size() == 1 && quota->shares(0).model() == arguments.Get("model");
    if (!only) return DeleteShare(context, *std::move(quota), arguments.Get("model"));
  }
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::DeleteQuotaRequest request;
  request.set_name(arguments.Word(0));
  request.set_request_id(context->request_id);
  return (*client)->DeleteQuota(request);
}

}  // namespace

Command QuotaSetCommand() {
  Command command;
  command.words = "quota set";
  command.summary = "Set what a place of the quota tree is guaranteed and may use.";
  command.examples = {
      "trainyard quota set cluster --guarantee 64",
      "trainyard quota set teams/vision --model NVIDIA_A100 --guarantee 16 --limit 32",
      "trainyard quota set projects/p/users/ann --limit 4"};
  command.positionals = {{.name = "PLACE"}};
  command.flags = {
      {.name = "model", .value = "M", .help = "of GPU; cpu: cores; none: GPUs of any model"},
      {.name = "guarantee", .value = "N", .help = "devices that are theirs when they want them"},
      {.name = "limit", .value = "N", .help = "never more"},
      {.name = "no-limit", .help = "as much as is idle"},
      {.name = "weight", .value = "N", .help = "of a user: by the policy fair"}};
  command.notes = {
      "PLACE is cluster, teams/T, projects/P or projects/P/users/U. What is not named stays."};
  command.run = Set;
  command.prints = true;
  command.writes = true;
  return command;
}

Command QuotaListCommand() {
  Command command;
  command.words = "quota list";
  command.summary = "List quotas with what is used of them.";
  command.examples = {"trainyard quota list"};
  command.run = ListQuotas;
  command.prints = true;
  return command;
}

Command QuotaDescribeCommand() {
  Command command;
  command.words = "quota describe";
  command.summary = "Show the quota of one place.";
  command.examples = {"trainyard quota describe teams/vision"};
  command.positionals = {{.name = "PLACE"}};
  command.run = Describe;
  command.prints = true;
  return command;
}

Command QuotaDeleteCommand() {
  Command command;
  command.words = "quota delete";
  command.summary = "Remove the quota of a place, or that of one model there.";
  command.examples = {"trainyard quota delete teams/vision",
                      "trainyard quota delete teams/vision --model A100"};
  command.positionals = {{.name = "PLACE"}};
  command.flags = {{.name = "model", .value = "M", .help = "only what is said of this model"}};
  command.run = Delete;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
