// Reads typed fields out of a YAML map and says what is wrong with each, with its place. Names are
// given in camelCase; snake_case in the file means the same. A key that nobody asked for is
// unknown: every reader ends with Finish(). Not thread-safe; lives for one parse.
#ifndef TRAINYARD_COMMON_SPEC_READER_H_
#define TRAINYARD_COMMON_SPEC_READER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/spec/spec.h"
#include "common/spec/yaml_node.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/map.h"
#include "google/protobuf/repeated_ptr_field.h"

namespace trainyard::spec {

// What one parse gathers.
class Context {
 public:
  explicit Context(absl::string_view file) : file_(file) {}

  v1::Fault* Fault(absl::string_view reason, absl::string_view path, int line, int column);
  // All in one: `expected` and `fix` may be empty for notes only.
  void Say(absl::string_view reason, absl::string_view path, const Node& at,
           absl::string_view message, absl::string_view expected, absl::string_view fix);
  void Note(absl::string_view reason, absl::string_view path, const Node& at,
            absl::string_view message, absl::string_view fix = "");
  void Bind(absl::string_view canonical, absl::string_view path, const Node& at);

  const std::string& file() const { return file_; }
  v1::Faults* faults() { return &faults_; }
  Places* places() { return &places_; }

 private:
  const std::string file_;
  v1::Faults faults_;
  Places places_;
};

// Choices of an enumeration: name in the file and number.
using Choices = std::vector<std::pair<std::string, int>>;

// One map. All getters leave `out` alone when the key is absent or its value is refused, and return
// whether they set it.
class Fields {
 public:
  Fields(Context* context, NodePtr node, std::string path);

  bool Has(absl::string_view name) const;
  bool Text(absl::string_view name, std::string* out);
  bool Integer(absl::string_view name, int64_t min, int64_t max, int64_t* out);
  bool Integer(absl::string_view name, int64_t min, int64_t max, int32_t* out);
  bool Number(absl::string_view name, double* out);
  bool Boolean(absl::string_view name, bool* out);
  bool Enum(absl::string_view name, const Choices& choices, int* out);
  bool Duration(absl::string_view name, google::protobuf::Duration* out);
  bool Texts(absl::string_view name, google::protobuf::RepeatedPtrField<std::string>* out);
  bool Numbers(absl::string_view name, std::vector<double>* out);
  bool TextMap(absl::string_view name, google::protobuf::Map<std::string, std::string>* out);
  // [{name: A, value: B}, ...] as well as {A: B}.
  bool EnvList(absl::string_view name, google::protobuf::Map<std::string, std::string>* out);
  std::optional<Fields> Map(absl::string_view name);
  // A list of maps; one map alone is taken with a note.
  std::vector<Fields> Maps(absl::string_view name);

  // Accepted without effect, each with a note that says why.
  void Ignore(std::initializer_list<absl::string_view> names, absl::string_view why);
  // NOT_SUPPORTED when the key is there.
  void Refuse(absl::string_view name, absl::string_view what, absl::string_view fix);
  // For what should not be written here at all: another answer than "unknown".
  void Misplaced(absl::string_view name, absl::string_view message, absl::string_view fix);
  // Says that the field `name` in the file is `canonical` in the JobSpec.
  void Bind(absl::string_view name, absl::string_view canonical);
  void BindSelf(absl::string_view canonical);
  // A fault at the value of `name`, or at the map itself when it is absent.
  void Say(absl::string_view name, absl::string_view reason, absl::string_view message,
           absl::string_view expected, absl::string_view fix);
  void Note(absl::string_view name, absl::string_view reason, absl::string_view message,
            absl::string_view fix = "");

  // Reports the keys that no getter knows.
  void Finish();

  // Keys as written with their values, for free-form maps; marks all as read.
  std::vector<Node::Entry> Entries();
  NodePtr Value(absl::string_view name);
  std::string PathOf(absl::string_view name) const;
  const std::string& path() const { return path_; }
  bool empty() const { return node_->entries.empty(); }
  Context* context() { return context_; }
  const Node& node() const { return *node_; }

 private:
  const Node::Entry* Peek(absl::string_view name) const;
  const Node::Entry* Find(absl::string_view name);
  // The entry when it is a scalar with a value; a fault if it is something else.
  const Node::Entry* Scalar(absl::string_view name, absl::string_view expected);
  void WrongType(const std::string& path, const Node& node, absl::string_view expected);
  NodePtr ListOf(absl::string_view name, absl::string_view what);

  Context* context_;
  NodePtr node_;
  std::string path_;
  std::vector<std::string> known_;
  std::vector<std::string> quiet_;  // answered elsewhere, never suggested
};

// Integer of a plain scalar; false with a fault when it is something else.
bool ReadInteger(Context* context, const std::string& path, const Node& node, int64_t min,
                 int64_t max, int64_t* out);
bool ReadNumber(Context* context, const std::string& path, const Node& node, double* out);

}  // namespace trainyard::spec

#endif  // TRAINYARD_COMMON_SPEC_READER_H_
