// See output.h.
#include "client/cli/output.h"

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/yaml.h"

namespace trainyard::cli {
namespace {

constexpr size_t kColumnGap = 2;
constexpr size_t kPipedColumnMax = 120;

// Characters a terminal shows: UTF-8 continuation bytes take no column.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// The first `width` characters of `text`, the last replaced when it was longer.
std::string Cut(absl::string_view text, size_t width) {
  if (Width(text) <= width) return std::string(text);
  size_t bytes = 0;
  for (size_t shown = 0; bytes < text.size(); ++bytes) {
    if ((static_cast<unsigned char>(text[bytes]) & 0xC0) != 0x80 && shown++ == width - 1) break;
  }
  return absl::StrCat(text.substr(0, bytes), "…");
}

Style StyleOfState(absl::string_view word) {
  if (word == "SUCCEEDED" || word == "READY") return Style::kGreen;
  if (word == "FAILED" || word == "UNREACHABLE" || word == "QUARANTINED" || word == "INFEASIBLE") {
    return Style::kRed;
  }
  if (word == "RUNNING" || word == "ACTIVE") return Style::kCyan;
  if (word == "CANCELLED" || word == "EXPIRED" || word == "DRAINED") return Style::kYellow;
  return Style::kPlain;
}

std::vector<size_t> WidthsOf(const Table& table) {
  std::vector<size_t> widths;
  for (const std::string& header : table.headers) widths.push_back(Width(header));
  for (const std::vector<std::string>& row : table.rows) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  return widths;
}

std::string CsvField(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (char c : field) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string CsvLine(const std::vector<std::string>& row) {
  return absl::StrCat(absl::StrJoin(row, ",",
                                    [](std::string* out, const std::string& field) {
                                      absl::StrAppend(out, CsvField(field));
                                    }),
                      "\r\n");
}

std::string ListJson(const List& list) {
  std::string out = "[";
  for (size_t i = 0; i < list.items.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ",", JsonOf(*list.items[i], /*indented=*/false));
  }
  return out + "]";
}

std::string Indented(const std::string& json) {
  return nlohmann::ordered_json::parse(json, nullptr, false).dump(2);
}

// What is not shown on a terminal has no width to fit, but a failure's whole text is no column.
Table Piped(const Table& table) {
  Table piped = table;
  for (std::vector<std::string>& row : piped.rows) {
    if (!row.empty()) row.back() = Cut(row.back(), kPipedColumnMax);
  }
  return piped;
}

void PrintNames(Console* console, const Table& table) {
  for (const std::string& name : table.names) console->OutLine(name);
}

}  // namespace

Format FormatOf(absl::string_view text) {
  if (text == "json") return Format::kJson;
  if (text == "yaml") return Format::kYaml;
  if (text == "csv") return Format::kCsv;
  if (text == "name") return Format::kName;
  if (text == "jsonl") return Format::kJsonLines;
  return Format::kTable;
}

std::string Printable(absl::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) c = '?';
  }
  return out;
}

std::string FormatTable(const Table& table, int columns, bool color) {
  const std::vector<size_t> widths = WidthsOf(table);
  std::string out;
  const auto add_row = [&](const std::vector<std::string>& row, bool is_header) {
    std::string line;
    size_t used = 0;
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      const bool last = i + 1 == widths.size();
      const bool right = i < table.right.size() && table.right[i];
      std::string cell = Printable(row[i]);
      if (last && !right && columns > 0 && used + Width(cell) > static_cast<size_t>(columns)) {
        cell = Cut(cell, std::max<size_t>(10, columns > static_cast<int>(used)
                                                  ? static_cast<size_t>(columns) - used
                                                  : 0));
      }
      const size_t padding = widths[i] > Width(cell) ? widths[i] - Width(cell) : 0;
      const std::string styled =
          is_header ? Styled(cell, Style::kBold, color) : Styled(cell, StyleOfState(cell), color);
      if (right) line.append(padding, ' ');
      line += styled;
      if (!right && !last) line.append(padding, ' ');
      if (!last) line.append(kColumnGap, ' ');
      used += widths[i] + kColumnGap;
    }
    absl::StrAppend(&out, line, "\n");
  };
  add_row(table.headers, true);
  for (const std::vector<std::string>& row : table.rows) add_row(row, false);
  return out;
}

std::string FormatCsv(const Table& table) {
  std::string out = CsvLine(table.headers);
  for (const std::vector<std::string>& row : table.rows) absl::StrAppend(&out, CsvLine(row));
  return out;
}

std::string JsonOf(const google::protobuf::Message& message, bool indented) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = indented;
  std::string json;
  // Fails only for a damaged Any, which none of our messages holds.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  while (!json.empty() && json.back() == '\n') json.pop_back();
  return json;
}

std::string YamlOfJson(const std::string& json) {
  return YamlOf(nlohmann::ordered_json::parse(json, nullptr, false));
}

void PrintList(Console* console, Format format, const List& list) {
  switch (format) {
    case Format::kJson:
      return console->OutLine(Indented(ListJson(list)));
    case Format::kYaml:
      return console->Out(YamlOfJson(ListJson(list)));
    case Format::kJsonLines:
      for (const google::protobuf::Message* item : list.items) {
        console->OutLine(JsonOf(*item, /*indented=*/false));
      }
      return;
    case Format::kCsv:
      return console->Out(FormatCsv(list.table));
    case Format::kName:
      return PrintNames(console, list.table);
    case Format::kTable:
      if (!console->out_is_terminal)
        return console->Out(FormatTable(Piped(list.table), 0, console->out_color));
      return console->Out(FormatTable(list.table, console->columns, console->out_color));
  }
}

void PrintTable(Console* console, Format format, const Table& table) {
  nlohmann::ordered_json items = nlohmann::ordered_json::array();
  for (const std::vector<std::string>& row : table.rows) {
    nlohmann::ordered_json item = nlohmann::ordered_json::object();
    for (size_t i = 0; i < row.size() && i < table.headers.size(); ++i) {
      item[absl::AsciiStrToLower(table.headers[i])] = row[i];
    }
    items.push_back(std::move(item));
  }
  switch (format) {
    case Format::kJson:
      return console->OutLine(items.dump(2));
    case Format::kYaml:
      return console->Out(YamlOf(items));
    case Format::kJsonLines:
      for (const auto& item : items) console->OutLine(item.dump());
      return;
    case Format::kCsv:
      return console->Out(FormatCsv(table));
    case Format::kName:
      return PrintNames(console, table);
    case Format::kTable:
      return console->Out(FormatTable(table, 0, console->out_color));
  }
}

void PrintOne(Console* console, Format format, const google::protobuf::Message& message,
              const std::string& name, const std::string& text, const Table& table) {
  switch (format) {
    case Format::kJson:
      return console->OutLine(JsonOf(message, /*indented=*/true));
    case Format::kYaml:
      return console->Out(YamlOfJson(JsonOf(message, /*indented=*/false)));
    case Format::kJsonLines:
      return console->OutLine(JsonOf(message, /*indented=*/false));
    case Format::kCsv:
      return console->Out(FormatCsv(table));
    case Format::kName:
      return console->OutLine(name);
    case Format::kTable:
      return console->Out(text);
  }
}

}  // namespace trainyard::cli
