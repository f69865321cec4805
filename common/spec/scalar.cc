// Numbers of a spec, and the faults a parse gathers.
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/spec/reader.h"
#include "common/spec/text.h"

namespace trainyard::spec {
namespace {

// Whether `text` is digits with at most one sign before them.
bool IsWhole(absl::string_view text) {
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

bool IsNumber(absl::string_view text, double* out) {
  const bool digits = text.find_first_of("0123456789") != text.npos &&
                      text.find_first_not_of("+-.0123456789eE") == text.npos;
  return digits && absl::SimpleAtod(text, out);
}

std::string Range(int64_t min, int64_t max) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  if (min == kMin && max == kMax) return "an integer of 64 bits";
  if (min == kMin) return absl::StrCat("an integer, at most ", max);
  if (max == kMax) return absl::StrCat("an integer, at least ", min);
  return absl::StrCat("an integer from ", min, " to ", max);
}

void SayType(Context* context, const std::string& path, const Node& node,
             absl::string_view expected) {
  std::string fix = absl::StrCat("write ", expected);
  double number = 0;
  if (node.kind == Node::Kind::kNull) {
    fix = "give it a value, or leave the key out";
  } else if (node.kind == Node::Kind::kScalar && node.quoted && IsNumber(node.text, &number)) {
    fix = absl::StrCat("remove the quotes: ", node.text);
  } else if (node.kind == Node::Kind::kScalar && IsNumber(node.text, &number) &&
             std::abs(number) < 1e15) {
    fix = absl::StrCat("write ", static_cast<int64_t>(std::llround(number)));
  }
  context->Say("WRONG_TYPE", path, node, absl::StrCat("found ", Describe(node)), expected, fix);
}

}  // namespace

v1::Fault* Context::Fault(absl::string_view reason, absl::string_view path, int line, int column) {
  v1::Fault* fault = faults_.add_faults();
  fault->set_reason(std::string(reason));
  fault->set_field(std::string(path));
  fault->set_file(file_);
  fault->set_line(line);
  fault->set_column(column);
  return fault;
}

void Context::Say(absl::string_view reason, absl::string_view path, const Node& at,
                  absl::string_view message, absl::string_view expected, absl::string_view fix) {
  v1::Fault* fault = Fault(reason, path, at.line, at.column);
  fault->set_message(std::string(message));
  fault->set_expected(std::string(expected));
  fault->set_fix(std::string(fix));
}

void Context::Note(absl::string_view reason, absl::string_view path, const Node& at,
                   absl::string_view message, absl::string_view fix) {
  v1::Fault* fault = Fault(reason, path, at.line, at.column);
  fault->set_message(std::string(message));
  fault->set_fix(std::string(fix));
  fault->set_is_note(true);
}

void Context::Bind(absl::string_view canonical, absl::string_view path, const Node& at) {
  places_[std::string(canonical)] = Place{std::string(path), at.line, at.column};
}

bool ReadInteger(Context* context, const std::string& path, const Node& node, int64_t min,
                 int64_t max, int64_t* out) {
  const std::string expected = Range(min, max);
  if (node.kind != Node::Kind::kScalar || node.quoted || !IsWhole(node.text)) {
    SayType(context, path, node, expected);
    return false;
  }
  int64_t value = 0;
  const absl::string_view text = node.text;
  const bool fits = absl::SimpleAtoi(text[0] == '+' ? text.substr(1) : text, &value);
  if (!fits || value < min || value > max) {
    const bool low = text[0] == '-';
    context->Say("OUT_OF_RANGE", path, node, absl::StrCat(Shorten(text), " is out of range"),
                 expected,
                 low || value < min ? absl::StrCat("write ", min, " or more")
                                    : absl::StrCat("write ", max, " or less"));
    return false;
  }
  *out = value;
  return true;
}

bool ReadNumber(Context* context, const std::string& path, const Node& node, double* out) {
  double value = 0;
  if (node.kind != Node::Kind::kScalar || node.quoted || !IsNumber(node.text, &value)) {
    SayType(context, path, node, "a number");
    return false;
  }
  if (!std::isfinite(value)) {
    context->Say("OUT_OF_RANGE", path, node, absl::StrCat(Shorten(node.text), " is out of range"),
                 "a number of double precision", "write a smaller number");
    return false;
  }
  *out = value;
  return true;
}

}  // namespace trainyard::spec
