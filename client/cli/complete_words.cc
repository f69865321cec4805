// See complete_words.h.
#include "client/cli/complete_words.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/help.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kNamesMax = 10000;
constexpr int kPageSize = 1000;

// The command that the words begin with, and where its own words end; the group while unfinished.
struct Position {
  const Command* command = nullptr;
  std::string group;
  size_t next = 0;
};

Position Locate(const std::vector<std::string>& typed) {
  Position position;
  for (size_t i = 0; i + 1 < typed.size(); ++i) {
    if (absl::StartsWith(typed[i], "-")) continue;
    const std::string path =
        position.group.empty() ? typed[i] : absl::StrCat(position.group, " ", typed[i]);
    position.command = IsGroup(path) ? nullptr : FindCommand(path);
    if (position.command != nullptr || !IsGroup(path)) {
      position.next = i + 1;
      return position;
    }
    position.group = path;
  }
  return position;
}

const Flag* FlagNamed(const std::vector<Flag>& flags, const std::string& word) {
  for (const Flag& flag : flags) {
    if (word == absl::StrCat("--", flag.name) ||
        (flag.letter != 0 && word == absl::StrCat("-", std::string(1, flag.letter)))) {
      return &flag;
    }
  }
  return nullptr;
}

Wanted ValueOf(const Flag& flag) {
  Wanted wanted;
  wanted.kind = flag.complete;
  if (*flag.choices != '\0') wanted.words = absl::StrSplit(flag.choices, '|');
  return wanted;
}

Wanted InCommand(const Command& command, const std::vector<std::string>& typed, size_t next) {
  const std::vector<Flag> flags = AllFlagsOf(command);
  const std::string& last = typed.back();
  if (typed.size() >= 2 && typed.size() - 2 >= next) {
    const Flag* flag = FlagNamed(flags, typed[typed.size() - 2]);
    if (flag != nullptr && *flag->value != '\0') return ValueOf(*flag);
  }
  Wanted wanted;
  if (absl::StartsWith(last, "-")) {
    for (const Flag& flag : flags) {
      if (!flag.quiet && !flag.hidden) wanted.words.push_back(absl::StrCat("--", flag.name));
    }
    return wanted;
  }
  size_t words = 0;
  for (size_t i = next; i + 1 < typed.size(); ++i) {
    const Flag* flag = FlagNamed(flags, typed[i]);
    if (flag != nullptr && *flag->value != '\0') ++i;
    if (flag == nullptr && !absl::StartsWith(typed[i], "-")) ++words;
  }
  if (command.positionals.empty()) return wanted;
  const bool repeats = command.positionals.back().repeated;
  if (words >= command.positionals.size() && !repeats) return wanted;
  wanted.kind = command.positionals[std::min(words, command.positionals.size() - 1)].complete;
  return wanted;
}

template <typename Request, typename Response>
std::vector<std::string> Names(client::Client* client,
                               absl::StatusOr<Response> (client::Client::*list)(Request),
                               Request request,
                               void (*take)(const Response&, std::vector<std::string>*)) {
  std::vector<std::string> names;
  request.set_page_size(kPageSize);
  do {
    const absl::StatusOr<Response> page = (client->*list)(request);
    if (!page.ok()) break;
    take(*page, &names);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty() && names.size() < kNamesMax);
  return names;
}

std::vector<std::string> ServerNames(Context* context, Complete kind) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!client.ok() || !parent.ok()) return {};
  if (kind == Complete::kJob) {
    v1::ListJobsRequest request;
    request.set_parent(*parent);
    request.set_view(v1::BASIC_VIEW);
    return Names<v1::ListJobsRequest, v1::ListJobsResponse>(
        *client, &client::Client::ListJobs, request, [](const auto& page, auto* names) {
          for (const auto& job : page.jobs()) names->push_back(ShortName(job.name()));
        });
  }
  if (kind == Complete::kStudy) {
    v1::ListStudiesRequest request;
    request.set_parent(*parent);
    return Names<v1::ListStudiesRequest, v1::ListStudiesResponse>(
        *client, &client::Client::ListStudies, request, [](const auto& page, auto* names) {
          for (const auto& study : page.studies()) names->push_back(ShortName(study.name()));
        });
  }
  if (kind == Complete::kNode) {
    return Names<v1::ListNodesRequest, v1::ListNodesResponse>(
        *client, &client::Client::ListNodes, {}, [](const auto& page, auto* names) {
          for (const auto& node : page.nodes()) names->push_back(ShortName(node.name()));
        });
  }
  std::vector<std::string> names;
  if (kind == Complete::kTier) {
    const absl::StatusOr<v1::ListTiersResponse> tiers = (*client)->ListTiers({});
    if (!tiers.ok()) return {};
    for (const v1::ScaleTier& tier : tiers->tiers()) names.push_back(tier.name());
  }
  if (kind == Complete::kToken) {
    const absl::StatusOr<v1::ListTokensResponse> tokens = (*client)->ListTokens({});
    if (!tokens.ok()) return {};
    for (const v1::Token& token : tokens->tokens()) names.push_back(token.id());
  }
  return names;
}

}  // namespace

Wanted WantedFor(const std::vector<std::string>& typed) {
  if (typed.empty()) return {WordsBelow(""), Complete::kNone};
  const Position position = Locate(typed);
  if (position.command != nullptr) return InCommand(*position.command, typed, position.next);
  if (position.next > 0) return {};  // words that are no command
  return {WordsBelow(position.group), Complete::kNone};
}

std::vector<std::string> CompleteWords(Context* context, const std::vector<std::string>& typed) {
  Wanted wanted = WantedFor(typed);
  switch (wanted.kind) {
    case Complete::kNone:
    case Complete::kFile:
    case Complete::kFolder:
    case Complete::kCommand:
      break;
    case Complete::kJob:
    case Complete::kStudy:
    case Complete::kNode:
    case Complete::kTier:
    case Complete::kToken: {
      const std::vector<std::string> names = ServerNames(context, wanted.kind);
      wanted.words.insert(wanted.words.end(), names.begin(), names.end());
      break;
    }
  }
  const std::string last = typed.empty() ? "" : typed.back();
  std::vector<std::string> out;
  for (const std::string& word : wanted.words) {
    if (absl::StartsWith(word, last)) out.push_back(word);
  }
  return out;
}

}  // namespace trainyard::cli
