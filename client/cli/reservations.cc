// trainyard reservations create, list and delete: nodes that are kept free from one time to
// another.
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/cli/all_commands.h"
#include "client/cli/arguments.h"
#include "client/cli/context.h"
#include "client/cli/job_view.h"
#include "client/cli/queue_flags.h"
#include "client/sdk/client.h"

namespace trainyard::cli {
namespace {

Table ReservationTable(const std::vector<const v1::Reservation*>& reservations) {
  Table table;
  table.headers = {"RESERVATION", "FROM", "UNTIL", "NODES", "BY", "REASON"};
  for (const v1::Reservation* reservation : reservations) {
    table.rows.push_back(
        {ShortName(reservation->name()), ShortTime(reservation->start_time()),
         ShortTime(reservation->end_time()),
         reservation->nodes().empty() ? "all" : absl::StrJoin(reservation->nodes(), ","),
         reservation->principal(), reservation->reason()});
    table.names.push_back(reservation->name());
  }
  return table;
}

absl::Status ListReservations(Context* context, const Arguments&) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::ListReservationsResponse> answer = (*client)->ListReservations({});
  if (!answer.ok()) return answer.status();
  std::vector<const v1::Reservation*> reservations;
  for (const v1::Reservation& one : answer->reservations()) reservations.push_back(&one);
  PrintList(&context->console(), context->format,
            {{reservations.begin(), reservations.end()}, ReservationTable(reservations)});
  return absl::OkStatus();
}

absl::Status ReadSpan(const Arguments& arguments, v1::Reservation* reservation) {
  absl::Time from = absl::Now();
  if (arguments.Has("from")) {
    const absl::StatusOr<absl::Time> time = ReadTime(arguments, "from");
    if (!time.ok()) return time.status();
    from = *time;
  }
  if (arguments.Has("until") == arguments.Has("duration")) {
    return UsageError("when it ends is not said once", "give --until TIME or --duration TIME");
  }
  absl::Time until;
  if (arguments.Has("until")) {
    const absl::StatusOr<absl::Time> time = ReadTime(arguments, "until");
    if (!time.ok()) return time.status();
    until = *time;
  } else {
    const absl::StatusOr<absl::Duration> span =
        arguments.Duration("duration", absl::ZeroDuration());
    if (!span.ok()) return span.status();
    until = from + *span;
  }
  reservation->mutable_start_time()->set_seconds(absl::ToUnixSeconds(from));
  reservation->mutable_end_time()->set_seconds(absl::ToUnixSeconds(until));
  return absl::OkStatus();
}

absl::Status Create(Context* context, const Arguments& arguments) {
  v1::CreateReservationRequest request;
  v1::Reservation* const reservation = request.mutable_reservation();
  reservation->set_name(arguments.Word(0));
  if (absl::Status status = ReadSpan(arguments, reservation); !status.ok()) return status;
  for (const std::string& node : arguments.List("nodes")) reservation->add_nodes(node);
  if (!arguments.Has("nodes") && !arguments.Has("all-nodes")) {
    return UsageError("no node is named", "give --nodes NODE,... or --all-nodes");
  }
  reservation->set_reason(arguments.Get("reason"));
  request.set_request_id(context->request_id);
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  const absl::StatusOr<v1::Reservation> made = (*client)->CreateReservation(request);
  if (!made.ok()) {
    return InFlags(made.status(),
                   {{"reservation.end_time", arguments.Has("until") ? "--until" : "--duration"},
                    {"reservation.nodes", "--nodes"},
                    {"reservation", "NAME"}});
  }
  const Table table = ReservationTable({&*made});
  PrintOne(&context->console(), context->format, *made, made->name(), FormatTable(table, 0, false),
           table);
  return absl::OkStatus();
}

absl::Status Delete(Context* context, const Arguments& arguments) {
  const absl::StatusOr<client::Client*> client = context->Connect();
  if (!client.ok()) return client.status();
  v1::DeleteReservationRequest request;
  request.set_name(arguments.Word(0));
  request.set_request_id(context->request_id);
  return (*client)->DeleteReservation(request);
}

}  // namespace

Command ReservationsCreateCommand() {
  Command command;
  command.words = "reservations create";
  command.summary = "Keep nodes free: nothing is placed that could still run then.";
  command.examples = {
      "trainyard reservations create memory --nodes gpu_1 --from 18:00 --duration 2h",
      "trainyard reservations create move --all-nodes --from 2026-12-24T08:00 --until "
      "2026-12-24T20:00"};
  command.positionals = {{.name = "NAME", .required = false}};
  command.flags = {
      {.name = "nodes", .value = "NODE,...", .complete = Complete::kNode, .repeated = true},
      {.name = "all-nodes", .help = "every node, also those that join later"},
      {.name = "from", .value = "TIME", .help = "18:00, 2026-12-24T08:00 or +2h; now if absent"},
      {.name = "until", .value = "TIME"},
      {.name = "duration", .value = "TIME", .help = "instead of --until"},
      {.name = "reason", .value = "TEXT", .help = "shown to whoever waits"}};
  command.notes = {"What still runs there when it begins is stopped with a checkpoint and waits."};
  command.run = Create;
  command.prints = true;
  command.writes = true;
  return command;
}

Command ReservationsListCommand() {
  Command command;
  command.words = "reservations list";
  command.summary = "List reservations that are not over.";
  command.examples = {"trainyard reservations list"};
  command.run = ListReservations;
  command.prints = true;
  return command;
}

Command ReservationsDeleteCommand() {
  Command command;
  command.words = "reservations delete";
  command.summary = "End a reservation before its time.";
  command.examples = {"trainyard reservations delete memory"};
  command.positionals = {{.name = "NAME"}};
  command.run = Delete;
  command.writes = true;
  return command;
}

}  // namespace trainyard::cli
