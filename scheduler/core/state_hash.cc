// StateHash: a sum over all rows, so that order does not matter. See core.h.
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/sha256.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "scheduler/core/core.h"
#include "scheduler/core/state_rows.h"

namespace trainyard::core {
namespace {

// Maps in rows serialize in one order only when asked to.
std::string Bytes(const google::protobuf::MessageLite& row) {
  std::string out;
  google::protobuf::io::StringOutputStream stream(&out);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  row.SerializeToCodedStream(&coded);
  coded.Trim();
  return out;
}

class Sum {
 public:
  void Add(absl::string_view kind, absl::string_view key,
           const google::protobuf::MessageLite& row) {
    const std::string digest =
        Sha256Of(absl::StrCat(kind, "\n", key.size(), "\n", key, "\n", Bytes(row)));
    for (int i = 0; i < 4; ++i) {
      uint64_t word = 0;
      std::memcpy(&word, digest.data() + 8 * i, 8);
      words_[i] += word;
    }
  }
  std::string Hex() const {
    std::string out;
    for (const uint64_t word : words_) absl::StrAppend(&out, absl::Hex(word, absl::kZeroPad16));
    return out;
  }

 private:
  uint64_t words_[4] = {0, 0, 0, 0};
};

}  // namespace

std::string StateHash(const State& state) {
  Sum sum;
  sum.Add("server", absl::StrCat(state.sequence), state.server);
  for (const auto& [uid, row] : state.jobs) sum.Add("job", absl::StrCat(uid), *row);
  for (const auto& [uid, row] : state.specs) sum.Add("spec", absl::StrCat(uid), *row);
  for (const auto& [uid, row] : state.runs) sum.Add("run", absl::StrCat(uid), *row);
  for (const auto& [uid, row] : state.studies) sum.Add("study", absl::StrCat(uid), *row);
  for (const auto& [key, row] : state.trials) {
    sum.Add("trial", absl::StrCat(key.first, "/", key.second), *row.row());
  }
  for (const auto& [id, row] : state.agents) sum.Add("agent", id, *row);
  for (const auto& [id, row] : state.tokens) sum.Add("token", id, *row);
  for (const auto& [name, row] : state.tiers) sum.Add("tier", name, row);
  for (const auto& [name, row] : state.projects) sum.Add("project", name, row);
  for (const auto& [key, row] : state.settings) sum.Add("setting", key, *row);
  for (const auto& [key, row] : state.ledger) sum.Add("ledger", key, *row);
  for (const auto& [key, row] : state.requests) {
    sum.Add("request", KeyBytes(key), *RequestRowOf(state, key));
  }
  return sum.Hex();
}

}  // namespace trainyard::core
