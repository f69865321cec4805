// The notice that a machine is about to be taken away (a spot instance, planned maintenance), as a
// file that whoever learns of it makes. Loop thread.
#ifndef TRAINYARD_WORKER_AGENT_LEAVE_NOTICE_H_
#define TRAINYARD_WORKER_AGENT_LEAVE_NOTICE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace trainyard::worker {

// How long before a machine leaves its work is stopped, and what a notice without a time means.
inline constexpr absl::Duration kLeaveAhead = absl::Minutes(2);

// When the machine leaves, of a notice's text: a time as 2026-12-24T08:00:00Z, or how long after it
// was `given`, as 30s; two minutes after where it says nothing, or something else (then
// `understood` is false).
absl::Time TimeOfNotice(absl::string_view text, absl::Time given, bool* understood);

class LeaveNotice {
 public:
  // `usual`: when the machine leaves without a notice.
  LeaveNotice(std::string path, absl::Time usual)
      : path_(std::move(path)), usual_(usual), until_(usual) {}

  // Reads the file again if it changed. True when until() is another time than before. A file from
  // before the machine's last start speaks of another time and is passed over.
  bool Look();
  // A notice that came otherwise; the file, when it changes, says something newer.
  bool Give(absl::Time until);
  absl::Time until() const { return until_; }

 private:
  const std::string path_;
  const absl::Time usual_;
  absl::Time until_;
  std::string seen_;  // the text that was read, after the time of the file; "" for none
};

}  // namespace trainyard::worker

#endif  // TRAINYARD_WORKER_AGENT_LEAVE_NOTICE_H_
