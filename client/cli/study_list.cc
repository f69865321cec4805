// trainyard study list: studies, those of tuning jobs included.
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/study_words.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kPageSize = 1000;

absl::Status ListStudies(Context* context, const Arguments&) {
  const absl::StatusOr<std::string> parent = context->Parent();
  if (!parent.ok()) return parent.status();
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::ListStudiesRequest request;
  request.set_parent(*parent);
  request.set_page_size(kPageSize);
  std::vector<v1::Study> studies;
  do {
    const absl::StatusOr<v1::ListStudiesResponse> page = (*client)->ListStudies(request);
    if (!page.ok()) return page.status();
    studies.insert(studies.end(), page->studies().begin(), page->studies().end());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  std::vector<const v1::Study*> pointers;
  for (const v1::Study& study : studies) pointers.push_back(&study);
  PrintList(&context->console(), context->format,
            {{pointers.begin(), pointers.end()}, StudyTable(pointers)});
  return absl::OkStatus();
}

}  // namespace

Command StudyListCommand() {
  Command command;
  command.words = "study list";
  command.summary = "List studies.";
  command.examples = {"trainyard study list", "trainyard study list -o name"};
  command.run = ListStudies;
  command.prints = true;
  return command;
}

}  // namespace trainyard::cli
