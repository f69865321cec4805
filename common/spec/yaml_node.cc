// See yaml_node.h. The tree is built from yaml-cpp's events; an alias shares its node, so that an
// alias bomb costs no memory before its weight is counted.
#include "common/spec/yaml_node.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/spec/spec.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

v1::Fault* AddFault(absl::string_view file, absl::string_view reason, int line, int column,
                    v1::Faults* faults) {
  v1::Fault* fault = faults->add_faults();
  fault->set_reason(std::string(reason));
  fault->set_file(std::string(file));
  fault->set_line(line);
  fault->set_column(column);
  return fault;
}

void SayTooMany(absl::string_view file, int line, int column, v1::Faults* faults) {
  v1::Fault* fault = AddFault(file, "SPEC_TOO_LARGE", line, column, faults);
  fault->set_message(
      absl::StrCat("the spec has more than ", kNodesMax, " values once its aliases are followed"));
  fault->set_expected(absl::StrCat("at most ", kNodesMax, " values"));
  fault->set_fix("put data into files; remove aliases (*name) that repeat other aliases");
}

// Leaves yaml-cpp early by its own exception, the only way there is; ParseYaml() catches it.
[[noreturn]] void StopReading(const YAML::Mark& mark) {
  throw YAML::ParserException(mark, "stopped at a limit");
}

class Builder : public YAML::EventHandler {
 public:
  Builder(absl::string_view file, v1::Faults* faults) : file_(file), faults_(faults) {}

  struct Open {
    std::shared_ptr<Node> node;
    bool flow = false;
    bool key_next = true;  // maps: the next node is a key
    Node::Entry entry;
    std::map<std::string, int> keys;  // with the line of each
    std::vector<Node::Entry> merged;  // by "<<"; the map's own keys win
  };

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) {
      v1::Fault* fault = AddFault(file_, "SPEC_SYNTAX", mark.line + 1, mark.column + 1, faults_);
      fault->set_message("a second document begins here");
      fault->set_expected("one document a file");
      fault->set_fix(
          "put each spec in a file of its own; if this belongs to the one above, a bracket there "
          "closes too early");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Leaf(mark, anchor, Node::Kind::kNull, "", false);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    if (tag == "!") last_quoted_ = mark;
    const bool quoted = tag == "!" || absl::EndsWith(tag, ":str");
    const bool null = !quoted && (value.empty() || value == "null" || value == "~");
    Leaf(mark, anchor, null ? Node::Kind::kNull : Node::Kind::kScalar, value, quoted);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it != anchors_.end()) {
      Add(it->second, mark);
      return;
    }
    v1::Fault* fault = AddFault(file_, "SPEC_SYNTAX", mark.line + 1, mark.column + 1, faults_);
    fault->set_message("an alias stands inside the value it names");
    fault->set_expected("an alias of a value that is complete");
    fault->set_fix("write the value out");
    Add(std::make_shared<Node>(), mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value style) override {
    Begin(mark, anchor, Node::Kind::kList, style);
  }
  void OnSequenceEnd() override { End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    Begin(mark, anchor, Node::Kind::kMap, style);
  }
  void OnMapEnd() override { End(); }

  NodePtr root() const { return root_; }
  int documents() const { return documents_; }
  // Where the last quoted text begins.
  const YAML::Mark& last_quoted() const { return last_quoted_; }
  const std::vector<Open>& open() const { return open_; }
  // Whether reading stopped at a limit; the fault is there.
  bool at_limit() const { return at_limit_; }

 private:
  static std::shared_ptr<Node> Make(const YAML::Mark& mark, Node::Kind kind) {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->line = mark.line + 1;
    node->column = mark.column + 1;
    return node;
  }

  void Leaf(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind, const std::string& text,
            bool quoted) {
    auto node = Make(mark, kind);
    node->text = text;
    node->quoted = quoted;
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    Add(std::move(node), mark);
  }

  void Begin(const YAML::Mark& mark, YAML::anchor_t anchor, Node::Kind kind,
             YAML::EmitterStyle::value style) {
    Open open;
    open.node = Make(mark, kind);
    open.flow = style == YAML::EmitterStyle::Flow;
    open_.push_back(std::move(open));
    open_anchors_.push_back(anchor);
    if (static_cast<int>(open_.size()) <= kSpecDepthMax) return;
    at_limit_ = true;
    v1::Fault* fault = AddFault(file_, "SPEC_TOO_LARGE", mark.line + 1, mark.column + 1, faults_);
    fault->set_message(absl::StrCat("values are nested more than ", kSpecDepthMax, " deep"));
    fault->set_expected(absl::StrCat("at most ", kSpecDepthMax, " levels"));
    fault->set_fix("flatten the spec");
    StopReading(mark);
  }

  void End() {
    Open& last = open_.back();
    for (Node::Entry& entry : last.merged) {
      if (last.keys.insert({entry.key, entry.line}).second)
        last.node->entries.push_back(std::move(entry));
    }
    std::shared_ptr<Node> node = std::move(last.node);
    open_.pop_back();
    const YAML::anchor_t anchor = open_anchors_.back();
    open_anchors_.pop_back();
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    YAML::Mark mark;
    mark.line = node->line - 1;
    mark.column = node->column - 1;
    Add(std::move(node), mark);
  }

  void Add(NodePtr node, const YAML::Mark& mark) {
    if (documents_ > 1) return;
    if (++nodes_ > kNodesMax) {
      at_limit_ = true;
      SayTooMany(file_, 1, 1, faults_);
      StopReading(mark);
    }
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    parent.node->weight = std::min(kNodesMax + 1, parent.node->weight + node->weight);
    if (parent.node->kind == Node::Kind::kList) {
      parent.node->items.push_back(std::move(node));
    } else if (parent.key_next) {
      parent.key_next = false;
      TakeKey(*node, mark, &parent);
    } else {
      parent.key_next = true;
      parent.entry.value = std::move(node);
      TakeEntry(&parent);
    }
  }

  void TakeKey(const Node& key, const YAML::Mark& mark, Open* parent) {
    parent->entry = Node::Entry{key.text, mark.line + 1, mark.column + 1, nullptr};
    const bool empty = key.kind == Node::Kind::kScalar && key.text.empty();
    if (key.kind == Node::Kind::kScalar && !empty) return;
    v1::Fault* fault = AddFault(file_, "SPEC_SYNTAX", mark.line + 1, mark.column + 1, faults_);
    fault->set_message(absl::StrCat("a key is ", empty ? "empty" : Describe(key)));
    fault->set_expected("a name before the ':'");
    fault->set_fix("write the key as plain text, or remove the comma too many");
  }

  // Path of the entry that is being read.
  std::string PathHere() const {
    std::string path;
    for (const Open& open : open_) {
      if (open.node->kind == Node::Kind::kList) {
        absl::StrAppend(&path, "[", open.node->items.size(), "]");
      } else {
        absl::StrAppend(&path, path.empty() ? "" : ".", open.entry.key);
      }
    }
    return path;
  }

  void TakeEntry(Open* parent) {
    Node::Entry& entry = parent->entry;
    if (entry.key == "<<" && entry.value->kind == Node::Kind::kMap) {
      const std::vector<Node::Entry>& others = entry.value->entries;
      parent->merged.insert(parent->merged.end(), others.begin(), others.end());
      return;
    }
    const auto [first, is_new] = parent->keys.insert({entry.key, entry.line});
    if (is_new) {
      parent->node->entries.push_back(std::move(entry));
      return;
    }
    v1::Fault* fault = AddFault(file_, "DUPLICATE_KEY", entry.line, entry.column, faults_);
    fault->set_field(PathHere());
    fault->set_message(absl::StrCat("\"", Shorten(entry.key),
                                    "\" stands twice in this map; first on line ", first->second));
    fault->set_expected("each key once");
    fault->set_fix("remove one of the two");
  }

  const std::string file_;
  v1::Faults* const faults_;
  int documents_ = 0;
  int64_t nodes_ = 0;
  bool at_limit_ = false;
  YAML::Mark last_quoted_ = YAML::Mark::null_mark();
  NodePtr root_;
  std::vector<Open> open_;
  std::vector<YAML::anchor_t> open_anchors_;
  std::map<YAML::anchor_t, NodePtr> anchors_;
};

// Line and column (from 1) of the byte at `offset`.
std::pair<int, int> PositionOf(absl::string_view text, size_t offset) {
  const absl::string_view before = text.substr(0, offset);
  const size_t line_start = before.rfind('\n');
  const auto line = static_cast<int>(std::count(before.begin(), before.end(), '\n')) + 1;
  return {line, static_cast<int>(offset - (line_start == before.npos ? 0 : line_start + 1)) + 1};
}

// Whether `text` has more brackets and commas than any spec: yaml-cpp would hold them all at once.
bool HasTooManyMarks(absl::string_view text) {
  constexpr int64_t kMarksMax = 4 * kNodesMax;
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return c == '[' || c == '{' || c == ','; }) > kMarksMax;
}

// Whether the bytes are a text that a spec may be; adds the fault if not.
bool CheckText(absl::string_view text, absl::string_view file, v1::Faults* faults) {
  if (text.size() > kSpecBytesMax) {
    v1::Fault* fault = AddFault(file, "SPEC_TOO_LARGE", 1, 1, faults);
    fault->set_message(absl::StrCat("the file has ", text.size(), " bytes"));
    fault->set_expected(absl::StrCat("at most ", kSpecBytesMax, " bytes"));
    fault->set_fix("check that this is the spec and not its data");
    return false;
  }
  const size_t bad = FirstNonText(text);
  if (bad != absl::string_view::npos) {
    const auto [line, column] = PositionOf(text, bad);
    v1::Fault* fault = AddFault(file, "SPEC_NOT_TEXT", line, column, faults);
    fault->set_message(
        absl::StrCat("the file is no text: byte ", bad, " is 0x",
                     absl::Hex(static_cast<unsigned char>(text[bad]), absl::kZeroPad2)));
    fault->set_expected("a YAML or JSON file in UTF-8");
    fault->set_fix("check the path; a spec is written in an editor");
    return false;
  }
  if (HasTooManyMarks(text)) {
    SayTooMany(file, 1, 1, faults);
    return false;
  }
  return true;
}

// The first line before `line_max` whose indentation has a tab, 0 if none, and how many there are.
std::pair<int, int> TabLines(absl::string_view text) {
  int first = 0;
  int count = 0;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const size_t content = line.find_first_not_of(" \t\r");
    if (content == line.npos || line[content] == '#') continue;
    if (line.substr(0, content).find('\t') == line.npos) continue;
    if (++count == 1) first = number;
  }
  return {first, count};
}

// yaml-cpp's words into ours.
std::string Reword(const std::string& message) {
  static const std::map<std::string, std::string>* const words =
      new std::map<std::string, std::string>{
          {"illegal map value", "a ':' stands where no value may begin"},
          {"end of map not found", "this line belongs to no map around it"},
          {"end of sequence not found", "this line belongs to no list around it"},
          {"illegal block entry", "a '-' stands where no list may begin"},
          {"unknown token", "a character stands where none may"},
          {"illegal EOF in scalar", "a quoted text does not end"},
          {"illegal document indicator in scalar", "a quoted text does not end"},
          {"the referenced anchor is not defined", "an alias names no value"},
      };
  const auto it = words->find(message);
  return it == words->end() ? message : it->second;
}

void SyntaxFault(absl::string_view text, const YAML::ParserException& error, const Builder& builder,
                 absl::string_view file, v1::Faults* faults) {
  const auto [tab_line, tabs] = TabLines(text);
  const bool json = absl::StartsWith(absl::StripLeadingAsciiWhitespace(text), "{");
  if (tab_line > 0 && !json) {
    v1::Fault* fault = AddFault(file, "SPEC_SYNTAX", tab_line, 1, faults);
    fault->set_message(
        tabs == 1 ? "the line is indented with a tab"
                  : absl::StrCat(tabs, " lines are indented with tabs; this is the first"));
    fault->set_expected("spaces");
    fault->set_fix("replace each tab with two spaces: sed -i 's/\\t/  /g' FILE");
    return;
  }
  const Node* unclosed = nullptr;
  for (const Builder::Open& open : builder.open()) {
    if (open.flow) unclosed = open.node.get();
  }
  if (unclosed != nullptr) {
    const char* bracket = unclosed->kind == Node::Kind::kList ? "[" : "{";
    const char* closing = unclosed->kind == Node::Kind::kList ? "]" : "}";
    v1::Fault* fault = AddFault(file, "SPEC_SYNTAX", unclosed->line, unclosed->column, faults);
    fault->set_message(absl::StrCat("this \"", bracket, "\" is not closed"));
    fault->set_expected(absl::StrCat("\"", closing, "\" before line ", error.mark.line + 1,
                                     ", column ", error.mark.column + 1));
    fault->set_fix(absl::StrCat("add \"", closing, "\", or a ',' between two values"));
    return;
  }
  v1::Fault* fault = AddFault(file, "SPEC_SYNTAX", std::max(error.mark.line, 0) + 1,
                              std::max(error.mark.column, 0) + 1, faults);
  fault->set_message(Reword(error.msg));
  fault->set_expected("valid YAML or JSON");
  fault->set_fix("check the indentation, quotes and colons of this line and the one above");
}

// yaml-cpp takes a quoted text that the file's end cuts off; only the last one can be so.
bool QuoteIsClosed(absl::string_view text, const YAML::Mark& mark) {
  if (mark.is_null() || mark.pos < 0 || static_cast<size_t>(mark.pos) >= text.size()) return true;
  const auto begin = static_cast<size_t>(mark.pos);
  const char quote = text[begin];
  if (quote != '"' && quote != '\'') return true;
  for (size_t i = begin + 1; i < text.size(); ++i) {
    const bool doubled = quote == '\'' && text[i] == quote && text.substr(i + 1, 1) == "'";
    if (doubled || (quote == '"' && text[i] == '\\')) {
      ++i;
    } else if (text[i] == quote) {
      return true;
    }
  }
  return false;
}

bool CheckQuotes(absl::string_view text, const YAML::Mark& mark, absl::string_view file,
                 v1::Faults* faults) {
  if (QuoteIsClosed(text, mark)) return true;
  v1::Fault* fault = AddFault(file, "SPEC_SYNTAX", mark.line + 1, mark.column + 1, faults);
  fault->set_message("a quoted text begins here and does not end");
  fault->set_expected("the same quote at the end of the text");
  fault->set_fix("add the closing quote");
  return false;
}

bool WithinLimits(const Node& root, absl::string_view file, v1::Faults* faults) {
  if (root.weight <= kNodesMax) return true;
  SayTooMany(file, root.line, root.column, faults);
  return false;
}

}  // namespace

NodePtr ParseYaml(absl::string_view text, absl::string_view file_name, v1::Faults* faults) {
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  if (!CheckText(text, file_name, faults)) return nullptr;
  const int before = faults->faults_size();
  Builder builder(file_name, faults);
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    // Of what stands behind a document yaml-cpp 0.7 may make empty ones without end.
    while (builder.documents() < 2 && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::ParserException& error) {
    if (!builder.at_limit()) SyntaxFault(text, error, builder, file_name, faults);
    return nullptr;
  } catch (const std::exception& error) {
    v1::Fault* fault = AddFault(file_name, "SPEC_SYNTAX", 1, 1, faults);
    fault->set_message(absl::StrCat("the file cannot be read as YAML: ", error.what()));
    fault->set_expected("valid YAML or JSON");
    fault->set_fix("simplify the file");
    return nullptr;
  }
  if (!CheckQuotes(text, builder.last_quoted(), file_name, faults)) return nullptr;
  const NodePtr root = builder.root();
  if (root == nullptr || root->kind == Node::Kind::kNull) {
    if (faults->faults_size() > before) return nullptr;
    v1::Fault* fault = AddFault(file_name, "SPEC_EMPTY", 1, 1, faults);
    fault->set_message("the file holds no spec");
    fault->set_expected("a job, for example one with the key workerPoolSpecs or trainingInput");
    fault->set_fix("write one; docs/spec.md begins with a short example");
    return nullptr;
  }
  return WithinLimits(*root, file_name, faults) ? root : nullptr;
}

std::string Describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "nothing";
    case Node::Kind::kList:
      return "a list";
    case Node::Kind::kMap:
      return "a map";
    case Node::Kind::kScalar:
      break;
  }
  const std::string shown = Shorten(node.text);
  if (node.quoted) return absl::StrCat("the quoted text \"", shown, "\"");
  double number = 0;
  if (absl::SimpleAtod(node.text, &number)) {
    const bool whole = node.text.find_first_not_of("+-0123456789") == std::string::npos;
    return absl::StrCat(whole ? "the integer " : "the number ", shown);
  }
  const std::string lower = absl::AsciiStrToLower(node.text);
  if (lower == "true" || lower == "false") return absl::StrCat("the boolean ", shown);
  return absl::StrCat("the text \"", shown, "\"");
}

}  // namespace trainyard::spec
