// See reader.h.
#include "common/spec/reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/spec/limits.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

std::string ChoiceNames(const Choices& choices) {
  std::vector<std::string> names;
  for (const auto& [name, number] : choices) names.push_back(name);
  return absl::StrJoin(names, ", ");
}

std::string JoinPath(absl::string_view base, absl::string_view name) {
  return base.empty() ? std::string(name) : absl::StrCat(base, ".", name);
}

// Where a key belongs that stands elsewhere; "" for a key of nowhere.
std::string PlaceOf(const std::string& key) {
  static const auto* const places = new std::map<std::string, std::string>{
      {"maxTrialCount", "at the top, beside studySpec"},
      {"parallelTrialCount", "at the top, beside studySpec"},
      {"maxFailedTrialCount", "at the top, beside studySpec"},
      {"trialJobSpec", "at the top, beside studySpec"},
      {"metrics", "below studySpec"},
      {"parameters", "below studySpec"},
      {"goal", "in an item of metrics"},
      {"metricId", "in an item of metrics"},
      {"scaleType", "in an item of parameters, beside parameterId"},
      {"minValue", "below doubleValueSpec or integerValueSpec"},
      {"maxValue", "below doubleValueSpec or integerValueSpec"},
      {"values", "below categoricalValueSpec or discreteValueSpec"},
      {"pythonModule", "below pythonPackageSpec"},
      {"packageUris", "below pythonPackageSpec"},
      {"machineType", "below machineSpec"},
      {"acceleratorType", "below machineSpec"},
      {"acceleratorCount", "below machineSpec"},
      {"imageUri", "below containerSpec"},
      {"args", "below pythonPackageSpec or containerSpec"},
      {"command", "below trainyard, or below containerSpec"},
      {"packagePath", "below trainyard"},
      {"resources", "below trainyard"},
      {"launcher", "below trainyard"},
      {"metricRegex", "below trainyard"},
      {"priority", "below trainyard"},
      {"queue", "below trainyard"},
      {"seed", "below trainyard"},
      {"timeout", "below scheduling, or below trainyard"},
  };
  const auto found = places->find(key);
  return found == places->end() ? "" : found->second;
}

}  // namespace

Fields::Fields(Context* context, NodePtr node, std::string path)
    : context_(context), node_(std::move(node)), path_(std::move(path)) {
  if (node_->kind == Node::Kind::kMap) return;
  WrongType(path_, *node_, "a map (key: value)");
  auto empty = std::make_shared<Node>();
  empty->kind = Node::Kind::kMap;
  empty->line = node_->line;
  empty->column = node_->column;
  node_ = std::move(empty);
}

const Node::Entry* Fields::Peek(absl::string_view name) const {
  for (const Node::Entry& entry : node_->entries) {
    if (entry.key == name || CamelOf(entry.key) == name) return &entry;
  }
  return nullptr;
}

const Node::Entry* Fields::Find(absl::string_view name) {
  const bool first = std::find(known_.begin(), known_.end(), name) == known_.end();
  if (first) known_.emplace_back(name);
  const Node::Entry* const found = Peek(name);
  if (found == nullptr || !first) return found;
  for (const Node::Entry& entry : node_->entries) {
    if (&entry == found || CamelOf(entry.key) != name) continue;
    v1::Fault* fault =
        context_->Fault("DUPLICATE_KEY", JoinPath(path_, entry.key), entry.line, entry.column);
    fault->set_message(absl::StrCat("\"", entry.key, "\" and \"", found->key, "\" (line ",
                                    found->line, ") are the same field"));
    fault->set_expected("each key once");
    fault->set_fix("remove one of the two");
  }
  return found;
}

bool Fields::Has(absl::string_view name) const { return Peek(name) != nullptr; }

NodePtr Fields::Value(absl::string_view name) {
  const Node::Entry* entry = Find(name);
  return entry == nullptr ? nullptr : entry->value;
}

std::string Fields::PathOf(absl::string_view name) const {
  const Node::Entry* entry = Peek(name);
  return JoinPath(path_, entry == nullptr ? name : absl::string_view(entry->key));
}

void Fields::WrongType(const std::string& path, const Node& node, absl::string_view expected) {
  const bool nothing = node.kind == Node::Kind::kNull;
  context_->Say(
      "WRONG_TYPE", path, node,
      nothing ? "the key has no value" : absl::StrCat("found ", Describe(node)), expected,
      nothing ? "give it a value, or leave the key out" : absl::StrCat("write ", expected));
}

const Node::Entry* Fields::Scalar(absl::string_view name, absl::string_view expected) {
  const Node::Entry* entry = Find(name);
  if (entry == nullptr) return nullptr;
  if (entry->value->kind == Node::Kind::kScalar) return entry;
  WrongType(PathOf(name), *entry->value, expected);
  return nullptr;
}

bool Fields::Text(absl::string_view name, std::string* out) {
  const Node::Entry* entry = Find(name);
  if (entry == nullptr) return false;
  if (entry->value->kind == Node::Kind::kScalar) {
    *out = entry->value->text;
    return true;
  }
  WrongType(PathOf(name), *entry->value, "a text");
  return false;
}

bool Fields::Integer(absl::string_view name, int64_t min, int64_t max, int64_t* out) {
  const Node::Entry* entry = Find(name);
  return entry != nullptr && ReadInteger(context_, PathOf(name), *entry->value, min, max, out);
}

bool Fields::Integer(absl::string_view name, int64_t min, int64_t max, int32_t* out) {
  int64_t value = 0;
  if (!Integer(name, min, std::min<int64_t>(max, std::numeric_limits<int32_t>::max()), &value)) {
    return false;
  }
  *out = static_cast<int32_t>(value);
  return true;
}

bool Fields::Number(absl::string_view name, double* out) {
  const Node::Entry* entry = Find(name);
  return entry != nullptr && ReadNumber(context_, PathOf(name), *entry->value, out);
}

bool Fields::Boolean(absl::string_view name, bool* out) {
  const Node::Entry* entry = Scalar(name, "true or false");
  if (entry == nullptr) return false;
  const std::string text = absl::AsciiStrToLower(entry->value->text);
  if (entry->value->quoted || (text != "true" && text != "false")) {
    WrongType(PathOf(name), *entry->value, "true or false");
    return false;
  }
  *out = text == "true";
  return true;
}

bool Fields::Enum(absl::string_view name, const Choices& choices, int* out) {
  const std::string expected = absl::StrCat("one of ", ChoiceNames(choices));
  const Node::Entry* entry = Scalar(name, expected);
  if (entry == nullptr) return false;
  const std::string text = EnumOf(entry->value->text);
  std::vector<std::string> names;
  for (const auto& [choice, number] : choices) {
    if (choice == text) {
      *out = number;
      return true;
    }
    names.push_back(choice);
  }
  const std::string nearest = MeantName(text, names);
  context_->Say("BAD_ENUM", PathOf(name), *entry->value,
                absl::StrCat("\"", Shorten(entry->value->text), "\" is no choice of ", name),
                expected,
                nearest.empty() ? absl::StrCat("use ", expected)
                                : absl::StrCat("did you mean ", nearest, "?"));
  return false;
}

bool Fields::Duration(absl::string_view name, google::protobuf::Duration* out) {
  constexpr absl::string_view kExpected = "a duration such as 300s, 10m, 1.5h or 2d";
  const Node::Entry* entry = Scalar(name, kExpected);
  if (entry == nullptr) return false;
  const absl::StatusOr<double> seconds = ParseDurationSeconds(entry->value->text);
  if (!seconds.ok()) {
    const v1::Faults faults = FaultsOf(seconds.status());
    context_->Say("BAD_DURATION", PathOf(name), *entry->value, faults.faults(0).message(),
                  kExpected, faults.faults(0).fix());
    return false;
  }
  out->set_seconds(static_cast<int64_t>(*seconds));
  out->set_nanos(static_cast<int32_t>((*seconds - std::floor(*seconds)) * 1e9));
  return true;
}

NodePtr Fields::ListOf(absl::string_view name, absl::string_view what) {
  const Node::Entry* entry = Find(name);
  if (entry == nullptr) return nullptr;
  if (entry->value->kind == Node::Kind::kList) return entry->value;
  const std::string expected = absl::StrCat("a list of ", what);
  std::string fix = absl::StrCat("write ", expected);
  if (entry->value->kind == Node::Kind::kScalar) {
    std::string items = Shorten(entry->value->text);
    std::replace(items.begin(), items.end(), ' ', ',');
    fix = absl::StrCat("write ", name, ": [",
                       absl::StrJoin(absl::StrSplit(items, ',', absl::SkipEmpty()), ", "), "]");
  }
  context_->Say("WRONG_TYPE", PathOf(name), *entry->value,
                absl::StrCat("found ", Describe(*entry->value)), expected, fix);
  return nullptr;
}

bool Fields::Texts(absl::string_view name, google::protobuf::RepeatedPtrField<std::string>* out) {
  const NodePtr list = ListOf(name, "texts");
  if (list == nullptr) return false;
  for (size_t i = 0; i < list->items.size(); ++i) {
    const Node& item = *list->items[i];
    if (item.kind == Node::Kind::kScalar) {
      *out->Add() = item.text;
    } else {
      WrongType(absl::StrCat(PathOf(name), "[", i, "]"), item, "a text");
    }
  }
  return true;
}

bool Fields::Numbers(absl::string_view name, std::vector<double>* out) {
  const NodePtr list = ListOf(name, "numbers");
  if (list == nullptr) return false;
  bool good = true;
  for (size_t i = 0; i < list->items.size(); ++i) {
    double value = 0;
    good &= ReadNumber(context_, absl::StrCat(PathOf(name), "[", i, "]"), *list->items[i], &value);
    out->push_back(value);
  }
  return good;
}

bool Fields::TextMap(absl::string_view name, google::protobuf::Map<std::string, std::string>* out) {
  std::optional<Fields> map = Map(name);
  if (!map.has_value()) return false;
  for (const Node::Entry& entry : map->Entries()) {
    if (entry.value->kind == Node::Kind::kScalar) {
      (*out)[entry.key] = entry.value->text;
    } else {
      WrongType(JoinPath(map->path(), entry.key), *entry.value, "a text");
    }
  }
  return true;
}

bool Fields::EnvList(absl::string_view name, google::protobuf::Map<std::string, std::string>* out) {
  const Node::Entry* entry = Find(name);
  if (entry == nullptr) return false;
  const bool plain_map = entry->value->kind == Node::Kind::kMap && Peek(name) != nullptr &&
                         !Fields(context_, entry->value, PathOf(name)).Has("name");
  if (plain_map) return TextMap(name, out);
  for (Fields& one : Maps(name)) {
    std::string key;
    std::string value;
    if (!one.Text("name", &key) && !one.Has("name")) {
      one.Say("", "MISSING_FIELD", "an environment variable has no name", "the key name",
              "add name: NAME");
    }
    one.Text("value", &value);
    one.Finish();
    if (!key.empty() && !out->insert({key, value}).second) {
      one.Say("name", "CONFLICT", absl::StrCat("the variable ", Shorten(key), " is set twice"),
              "each variable once", "remove one of the two");
    }
  }
  return true;
}

std::optional<Fields> Fields::Map(absl::string_view name) {
  const Node::Entry* entry = Find(name);
  if (entry == nullptr) return std::nullopt;
  return Fields(context_, entry->value, PathOf(name));
}

std::vector<Fields> Fields::Maps(absl::string_view name) {
  std::vector<Fields> maps;
  const Node::Entry* entry = Find(name);
  if (entry == nullptr) return maps;
  const std::string path = PathOf(name);
  if (entry->value->kind == Node::Kind::kMap) {
    context_->Note("MAP_FOR_LIST", path, *entry->value,
                   absl::StrCat(name, " is a list; the single map is taken as a list of one"),
                   "begin its first line with \"- \"");
    maps.emplace_back(context_, entry->value, absl::StrCat(path, "[0]"));
  } else if (const NodePtr list = ListOf(name, "maps")) {
    for (size_t i = 0; i < list->items.size(); ++i) {
      maps.emplace_back(context_, list->items[i], absl::StrCat(path, "[", i, "]"));
    }
  }
  return maps;
}

std::vector<Node::Entry> Fields::Entries() {
  for (const Node::Entry& entry : node_->entries) known_.push_back(CamelOf(entry.key));
  return node_->entries;
}

void Fields::Ignore(std::initializer_list<absl::string_view> names, absl::string_view why) {
  for (absl::string_view name : names) {
    quiet_.emplace_back(name);
    const Node::Entry* entry = Peek(name);
    if (entry == nullptr) continue;
    context_->Note("IGNORED_FIELD", PathOf(name), *entry->value,
                   absl::StrCat(name, " has no effect here: ", why));
  }
}

void Fields::Refuse(absl::string_view name, absl::string_view what, absl::string_view fix) {
  quiet_.emplace_back(name);
  const Node::Entry* entry = Peek(name);
  if (entry == nullptr) return;
  context_->Say("NOT_SUPPORTED", PathOf(name), *entry->value,
                absl::StrCat(what, " is not supported"), "the spec without it", fix);
}

void Fields::Misplaced(absl::string_view name, absl::string_view message, absl::string_view fix) {
  const Node::Entry* entry = Peek(name);
  if (entry == nullptr) return;
  quiet_.emplace_back(name);
  v1::Fault* fault = context_->Fault("UNKNOWN_FIELD", PathOf(name), entry->line, entry->column);
  fault->set_message(std::string(message));
  fault->set_expected("the spec without it");
  fault->set_fix(std::string(fix));
}

void Fields::Bind(absl::string_view name, absl::string_view canonical) {
  if (const Node::Entry* entry = Peek(name)) {
    context_->Bind(canonical, PathOf(name), *entry->value);
  }
}

void Fields::BindSelf(absl::string_view canonical) { context_->Bind(canonical, path_, *node_); }

void Fields::Say(absl::string_view name, absl::string_view reason, absl::string_view message,
                 absl::string_view expected, absl::string_view fix) {
  const Node::Entry* entry = Peek(name);
  context_->Say(reason, entry == nullptr ? path_ : PathOf(name),
                entry == nullptr ? *node_ : *entry->value, message, expected, fix);
}

void Fields::Note(absl::string_view name, absl::string_view reason, absl::string_view message,
                  absl::string_view fix) {
  const Node::Entry* entry = Peek(name);
  context_->Note(reason, entry == nullptr ? path_ : PathOf(name),
                 entry == nullptr ? *node_ : *entry->value, message, fix);
}

void Fields::Finish() {
  const auto holds = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (const Node::Entry& entry : node_->entries) {
    const std::string camel = CamelOf(entry.key);
    if (entry.key.empty()) continue;  // said by whoever read the text
    if (holds(known_, camel) || holds(quiet_, camel) || holds(known_, entry.key)) continue;
    if (context_->faults()->faults_size() > kFaultsMax) return;
    const std::string place = PlaceOf(camel);
    const std::string nearest = MeantName(camel, known_);
    v1::Fault* fault =
        context_->Fault("UNKNOWN_FIELD", JoinPath(path_, entry.key), entry.line, entry.column);
    fault->set_message(absl::StrCat("nobody reads the key \"", Shorten(entry.key), "\""));
    std::vector<std::string> names = known_;
    std::sort(names.begin(), names.end());
    fault->set_expected(absl::StrCat("one of ", absl::StrJoin(names, ", ")));
    fault->set_fix(!place.empty()    ? absl::StrCat("write it ", place)
                   : nearest.empty() ? "remove the key, or use one of those"
                                     : absl::StrCat("did you mean ", nearest, "?"));
  }
}

}  // namespace trainyard::spec
