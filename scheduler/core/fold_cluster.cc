// Folds about the server itself, projects, tiers and tokens.
#include "scheduler/core/fold.h"

namespace trainyard::core {
namespace {

void FoldStart(const records::Event& event, Rows* rows) {
  records::ServerRow server = rows->Server();
  server.set_incarnation(event.server_started().incarnation());
  server.set_epoch_counter(0);
  server.set_start_us(event.time_us());
  rows->PutServer(server);
}

void FoldRevoke(const records::Event& event, Rows* rows) {
  const TokenPtr old = rows->Token(event.token_revoked().id());
  if (old == nullptr) return;
  auto token = std::make_shared<records::TokenRow>(*old);
  token->set_revoked(true);
  rows->PutToken(std::move(token));
  if (old->role() != v1::AGENT || old->is_join()) return;
  EditAgent(rows, old->node_id(), event.sequence(),
            [](records::AgentRow* row) { row->set_reason(kKeyRevoked); });
}

}  // namespace

void FoldCluster(const records::Event& event, Rows* rows) {
  if (event.has_server_started()) {
    FoldStart(event, rows);
  } else if (event.has_project_created()) {
    rows->PutProject(event.project_created().project());
  } else if (event.has_tier_set()) {
    rows->PutTier(event.tier_set().tier());
  } else if (event.has_token_created()) {
    rows->PutToken(std::make_shared<records::TokenRow>(event.token_created().token()));
  } else if (event.has_token_revoked()) {
    FoldRevoke(event, rows);
  }
}

}  // namespace trainyard::core
