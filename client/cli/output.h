// Printing of what was read, in the format asked for with -o.
//
// Invariants: json, jsonl and yaml show the message itself, in protobuf's JSON with lowerCamel
// names; table, csv and name show the columns of a Table; output is data alone. One thread.
#ifndef TRAINYARD_CLIENT_CLI_OUTPUT_H_
#define TRAINYARD_CLIENT_CLI_OUTPUT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/console.h"

namespace google::protobuf {
class Message;
}

namespace trainyard::cli {

enum class Format { kTable, kJson, kYaml, kCsv, kName, kJsonLines };
inline constexpr char kFormatChoices[] = "table|json|yaml|csv|name|jsonl";
// `text` is one of kFormatChoices.
Format FormatOf(absl::string_view text);

struct Table {
  std::vector<std::string> headers = {};
  std::vector<std::vector<std::string>> rows = {};
  std::vector<std::string> names = {};  // one a row, for -o name
  std::vector<bool> right = {};         // columns aligned right; may be shorter
};

// Columns padded to their widths; the last column is cut to `columns` (0: never). State words are
// coloured when `color`.
std::string FormatTable(const Table& table, int columns, bool color);
// RFC 4180 with a header line.
std::string FormatCsv(const Table& table);

// protobuf's JSON of a message: lowerCamel names, unset fields left out; indented or in one line.
std::string JsonOf(const google::protobuf::Message& message, bool indented);
// The same as YAML. `json` is JSON text.
std::string YamlOfJson(const std::string& json);

// A list: one array in json and yaml, a line each in jsonl.
struct List {
  std::vector<const google::protobuf::Message*> items;
  Table table;
};
void PrintList(Console* console, Format format, const List& list);
// One message; `text` is what people see in the table format.
void PrintOne(Console* console, Format format, const google::protobuf::Message& message,
              const std::string& name, const std::string& text, const Table& table);

// A table that is no message: its rows as objects, headers in lower case as keys.
void PrintTable(Console* console, Format format, const Table& table);

// Text with nothing in it that a terminal would obey: control characters become '?'.
std::string Printable(absl::string_view text);

}  // namespace trainyard::cli

#endif  // TRAINYARD_CLIENT_CLI_OUTPUT_H_
