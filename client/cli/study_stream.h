// A study driven by JSON lines, so that any language can: one reply line per request line, nothing
// is fatal but the end of input.
//
//   {"ask": 2}                                         -> {"trials": [{"id": 1, "parameters":
//   {...}}]}
//   {"tell": 1, "step": 5, "metrics": {"loss": 0.31}}  -> {"ok": true, "should_stop": false}
//   {"complete": 1, "metrics": {"loss": 0.2}}          -> {"ok": true}   (or "infeasible": "why")
//   {"should_stop": 1}                                 -> {"should_stop": true}
//   {"best": 1}                                        -> {"trials": [{"id", "parameters",
//   "metrics"}]} anything wrong                                     -> {"error": {"reason",
//   "message"}}
//
// Metrics may be numbers or "nan", "inf", "-inf". One thread.
#ifndef TRAINYARD_CLIENT_CLI_STUDY_STREAM_H_
#define TRAINYARD_CLIENT_CLI_STUDY_STREAM_H_

#include <cstdint>
#include <deque>
#include <set>
#include <string>

#include "trainyard/v1/study.pb.h"

namespace trainyard::client {
class Client;
}

namespace trainyard::cli {

class StudyStream {
 public:
  // Trials of this client: those that an ask of this stream was answered with and that did not end
  // since, and those that come first in the next answer.
  struct Given {
    std::set<int32_t> open;
    std::deque<v1::Trial> ahead;
  };

  // `study` is a full name; `client_id` names who asks, "" for nobody.
  StudyStream(client::Client* client, std::string study, std::string client_id);
  // The reply to one request line, without a line end.
  std::string Reply(const std::string& line);

 private:
  client::Client* client_;
  std::string study_;
  std::string client_id_;
  Given given_;
};

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_STUDY_STREAM_H_
