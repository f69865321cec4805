// trainyard queues list, describe, set and delete: queues with their own order, priority and
// limits.
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

constexpr int kPriorityMax = 1000;

std::string Span(bool there, const google::protobuf::Duration& span) {
  return there ? ShortDuration(absl::Seconds(span.seconds())) : "";
}

std::string StateOf(const v1::Queue& queue) {
  std::vector<std::string> words;
  if (queue.closed()) words.push_back("CLOSED");
  if (queue.stopped()) words.push_back("STOPPED");
  return words.empty() ? "OPEN" : absl::StrJoin(words, ",");
}

Table QueueTable(const std::vector<const v1::Queue*>& queues) {
  Table table;
  table.headers = {"QUEUE",   "STATE", "PRIORITY", "POLICY",   "WAITING",
                   "RUNNING", "LIMIT", "LONGEST",  "PROJECTS", "REASON"};
  table.right = {false, false, true, false, true, true, true, true};
  for (const v1::Queue* queue : queues) {
    table.rows.push_back({ShortName(queue->name()), StateOf(*queue),
                          absl::StrCat(queue->priority()), queue->policy(),
                          absl::StrCat(queue->waiting()), absl::StrCat(queue->running()),
                          Span(queue->has_timeout(), queue->timeout()),
                          Span(queue->has_timeout_max(), queue->timeout_max()),
                          absl::StrJoin(queue->projects(), ","), queue->reason()});
    table.names.push_back(queue->name());
  }
  return table;
}

absl::Status ListQueues(Context* context, const Arguments&) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListQueuesResponse> answer = (*client)->ListQueues({});
  if (!answer.ok()) return answer.status();
  std::vector<const v1::Queue*> queues;
  for (const v1::Queue& queue : answer->queues()) queues.push_back(&queue);
  PrintList(&context->console(), context->format,
            {{queues.begin(), queues.end()}, QueueTable(queues)});
  return absl::OkStatus();
}

void Print(Context* context, const v1::Queue& queue) {
  const Table table = QueueTable({&queue});
  std::string text;
  for (size_t i = 0; i < table.headers.size(); ++i) {
    if (table.rows[0][i].empty()) continue;
    absl::StrAppend(&text, absl::AsciiStrToLower(table.headers[i]), ": ", table.rows[0][i], "\n");
  }
  PrintOne(&context->console(), context->format, queue, queue.name(), text, table);
}

absl::Status Describe(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetQueueRequest request;
  request.set_name(arguments.Word(0));
  const absl::StatusOr<v1::Queue> queue = (*client)->GetQueue(request);
  if (!queue.ok()) return queue.status();
  Print(context, *queue);
  return absl::OkStatus();
}

absl::Status SetSpan(const Arguments& arguments, const char* flag, bool* clear,
                     google::protobuf::Duration* span) {
  const absl::StatusOr<absl::Duration> value = arguments.Duration(flag, absl::ZeroDuration());
  if (!value.ok()) return value.status();
  span->set_seconds(absl::ToInt64Seconds(*value));
  *clear = *value == absl::ZeroDuration();
  return absl::OkStatus();
}

// What the flags say on top of what is there.
absl::Status Apply(const Arguments& arguments, v1::Queue* queue) {
  const absl::StatusOr<int64_t> priority =
      arguments.Int("priority", queue->priority(), -kPriorityMax, kPriorityMax);
  if (!priority.ok()) return priority.status();
  queue->set_priority(static_cast<int32_t>(*priority));
  if (arguments.Has("policy")) queue->set_policy(arguments.Get("policy"));
  if (arguments.Has("close")) queue->set_closed(true);
  if (arguments.Has("stop")) queue->set_stopped(true);
  if (arguments.Has("open")) {
    queue->set_closed(false);
    queue->set_stopped(false);
    queue->clear_reason();
  }
  if (arguments.Has("reason")) queue->set_reason(arguments.Get("reason"));
  bool clear = false;
  if (arguments.Has("time-limit")) {
    absl::Status status = SetSpan(arguments, "time-limit", &clear, queue->mutable_timeout());
    if (!status.ok()) return status;
    if (clear) queue->clear_timeout();
  }
  if (arguments.Has("time-limit-max")) {
    absl::Status status =
        SetSpan(arguments, "time-limit-max", &clear, queue->mutable_timeout_max());
    if (!status.ok()) return status;
    if (clear) queue->clear_timeout_max();
  }
  if (arguments.Has("projects")) {
    queue->clear_projects();
    for (const std::string& project : arguments.List("projects")) queue->add_projects(project);
  }
  return absl::OkStatus();
}

absl::Status Set(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::GetQueueRequest get;
  get.set_name(arguments.Word(0));
  const absl::StatusOr<v1::Queue> before = (*client)->GetQueue(get);
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  v1::SetQueueRequest request;
  if (before.ok()) *request.mutable_queue() = *before;
  request.mutable_queue()->set_name(arguments.Word(0));
  if (absl::Status status = Apply(arguments, request.mutable_queue()); !status.ok()) return status;
  request.set_request_id(context->request_id);
  const absl::StatusOr<v1::Queue> queue = (*client)->SetQueue(request);
  if (!queue.ok()) {
    return InFlags(
        queue.status(),
        {{"queue.priority", "--priority"},
         {"queue.policy", "--policy"},
         {"queue.timeout", arguments.Has("time-limit") ? "--time-limit" : "--time-limit-max"},
         {"queue.projects", "--projects"},
         {"queue", "QUEUE"}});
  }
  Print(context, *queue);
  return absl::OkStatus();
}

absl::Status Delete(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::DeleteQueueRequest request;
  request.set_name(arguments.Word(0));
  request.set_request_id(context->request_id);
  return (*client)->DeleteQueue(request);
}

}  // namespace

Command QueuesListCommand() {
  Command command;
  command.words = "queues list";
  command.summary = "List queues and what waits and runs in them.";
  command.examples = {"trainyard queues list"};
  command.run = ListQueues;
  command.prints = true;
  return command;
}

Command QueuesDescribeCommand() {
  Command command;
  command.words = "queues describe";
  command.summary = "Show one queue.";
  command.examples = {"trainyard queues describe night"};
  command.positionals = {{.name = "QUEUE"}};
  command.run = Describe;
  command.prints = true;
  return command;
}

Command QueuesSetCommand() {
  Command command;
  command.words = "queues set";
  command.summary = "Make a queue, or change what is named of it.";
  command.examples = {"trainyard queues set night --priority -100 --time-limit 12h",
                      "trainyard queues set night --stop --reason 'power works'",
                      "trainyard queues set night --open"};
  command.positionals = {{.name = "QUEUE"}};
  command.flags = {
      {.name = "priority", .value = "N", .help = "-1000 to 1000, added to that of its jobs"},
      {.name = "policy",
       .value = "P",
       .help = "how its jobs are served: las-r, las, fair, fifo, skip, easy, conservative; \"\": "
               "as all"},
      {.name = "time-limit", .value = "TIME", .help = "of jobs that name none; 0: the usual one"},
      {.name = "time-limit-max", .value = "TIME", .help = "the longest it takes; 0: any"},
      {.name = "projects",
       .value = "P,...",
       .help = "who may use it; \"\": everybody",
       .repeated = true},
      {.name = "close", .help = "take no new jobs"},
      {.name = "stop", .help = "start no jobs"},
      {.name = "open", .help = "undo --close and --stop"},
      {.name = "reason", .value = "TEXT", .help = "shown to whoever waits"}};
  command.run = Set;
  command.prints = true;
  command.writes = true;
  return command;
}

Command QueuesDeleteCommand() {
  Command command;
  command.words = "queues delete";
  command.summary = "Delete a queue that no job is in.";
  command.examples = {"trainyard queues delete night"};
  command.positionals = {{.name = "QUEUE"}};
  command.run = Delete;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
