// See dataset.h.
#include "worker/trainer/dataset.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/random.h"

namespace trainyard::trainer {
namespace {

absl::Status BadFile(absl::string_view place, absl::string_view what, absl::string_view fix) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE", absl::StrCat(place, ": ", what),
                   fix);
}

// gzread reads plain files as they are.
absl::StatusOr<std::string> ReadMaybeGzip(const std::string& path) {
  errno = 0;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (file == nullptr) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("cannot open the data file ", path, ": ", std::strerror(errno)),
                     "give --data the path of a CSV file that exists on this machine");
  }
  std::string text;
  char buffer[1 << 16];
  int read = 0;
  while ((read = gzread(file.get(), buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(read));
  }
  if (read < 0) return BadFile(path, "damaged gzip data", "fetch the file again");
  return text;
}

bool ParseFloat(absl::string_view cell, float* value) {
  cell = absl::StripAsciiWhitespace(cell);
  const auto result = std::from_chars(cell.data(), cell.data() + cell.size(), *value);
  return result.ec == std::errc() && result.ptr == cell.data() + cell.size() &&
         std::isfinite(*value);
}

absl::StatusOr<size_t> LabelIndex(const std::string& label_column, size_t columns) {
  if (label_column == "last") return columns - 1;
  if (label_column == "first") return size_t{0};
  size_t index = 0;
  if (absl::SimpleAtoi(label_column, &index) && index < columns) return index;
  return BadFile("--label_column",
                 absl::StrCat(label_column, " is no column of a file with ", columns),
                 absl::StrCat("give last, first or a number from 0 to ", columns - 1));
}

// Reads lines into a Dataset, labels still as text.
class Table {
 public:
  Table(const std::string& name, const std::string& label_column)
      : name_(name), label_column_(label_column) {}

  absl::Status AddLine(absl::string_view line, int number) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) return absl::OkStatus();
    const std::vector<absl::string_view> cells = absl::StrSplit(line, ',');
    const bool first = columns_ == 0;
    if (first) {
      if (absl::Status status = Begin(cells.size()); !status.ok()) return status;
    }
    if (cells.size() != columns_) {
      return BadFile(absl::StrCat(name_, ":", number),
                     absl::StrCat(cells.size(), " cells, the first line has ", columns_),
                     "give every line the same number of cells");
    }
    return AddCells(cells, number, first);
  }

  absl::StatusOr<Dataset> Finish() {
    if (labels_.empty()) return BadFile(name_, "no rows", "give a file with one sample a line");
    data_.count = labels_.size();
    NumberLabels();
    if (data_.classes.size() < 2) {
      return BadFile(name_, absl::StrCat("all labels are ", data_.classes[0]),
                     "name the column of the labels with --label_column");
    }
    return std::move(data_);
  }

 private:
  absl::Status Begin(size_t columns) {
    if (columns < 2) {
      return BadFile(absl::StrCat(name_, ":1"), "one cell; a row has features and a label",
                     "separate cells with commas");
    }
    auto label = LabelIndex(label_column_, columns);
    if (!label.ok()) return label.status();
    columns_ = columns;
    label_ = *label;
    data_.features = columns - 1;
    return absl::OkStatus();
  }

  absl::Status AddCells(const std::vector<absl::string_view>& cells, int number, bool first) {
    const size_t before = data_.values.size();
    for (size_t i = 0; i < cells.size(); ++i) {
      if (i == label_) continue;
      float value = 0;
      if (!ParseFloat(cells[i], &value)) {
        if (first) {
          data_.values.resize(before);
          return absl::OkStatus();  // a header
        }
        return BadFile(absl::StrCat(name_, ":", number, ", cell ", i + 1),
                       absl::StrCat("\"", cells[i], "\" is no finite number"),
                       "features are numbers; leave lines with other values out");
      }
      data_.values.push_back(value);
    }
    labels_.emplace_back(absl::StripAsciiWhitespace(cells[label_]));
    return absl::OkStatus();
  }

  void NumberLabels() {
    std::map<std::string, int64_t> index;
    for (const std::string& label : labels_) index.emplace(label, 0);
    for (const auto& [label, unused] : index) data_.classes.push_back(label);
    double ignored = 0;
    const bool numeric =
        std::all_of(data_.classes.begin(), data_.classes.end(),
                    [&](const std::string& c) { return absl::SimpleAtod(c, &ignored); });
    if (numeric) {
      std::stable_sort(data_.classes.begin(), data_.classes.end(),
                       [](const std::string& a, const std::string& b) {
                         double x = 0, y = 0;
                         return absl::SimpleAtod(a, &x) && absl::SimpleAtod(b, &y) && x < y;
                       });
    }
    for (size_t i = 0; i < data_.classes.size(); ++i) {
      index[data_.classes[i]] = static_cast<int64_t>(i);
    }
    for (const std::string& label : labels_) data_.labels.push_back(index[label]);
  }

  const std::string name_;
  const std::string label_column_;
  size_t columns_ = 0;
  size_t label_ = 0;
  Dataset data_;
  std::vector<std::string> labels_;
};

struct Moments {
  double mean = 0;
  double deviation = 0;
};

// Over the features [begin, end) of `rows`.
Moments Measure(const Dataset& data, const std::vector<size_t>& rows, size_t begin, size_t end) {
  double sum = 0, squares = 0;
  for (const size_t row : rows) {
    for (size_t i = begin; i < end; ++i) sum += static_cast<double>(data.Row(row)[i]);
  }
  const double count = static_cast<double>(rows.size() * (end - begin));
  const double mean = sum / count;
  for (const size_t row : rows) {
    for (size_t i = begin; i < end; ++i) {
      const double off = static_cast<double>(data.Row(row)[i]) - mean;
      squares += off * off;
    }
  }
  return {mean, std::sqrt(squares / count)};
}

}  // namespace

absl::StatusOr<Dataset> ParseCsv(absl::string_view text, const std::string& name,
                                 const std::string& label_column) {
  Table table(name, label_column);
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::Status status = table.AddLine(line, ++number); !status.ok()) return status;
  }
  return table.Finish();
}

absl::StatusOr<Dataset> LoadCsv(const std::string& path, const std::string& label_column) {
  auto text = ReadMaybeGzip(path);
  if (!text.ok()) return text.status();
  return ParseCsv(*text, path, label_column);
}

absl::StatusOr<Dataset> ParseText(absl::string_view text, const std::string& name,
                                  int64_t context) {
  const size_t step = static_cast<size_t>(context);
  std::array<int64_t, 256> number{};
  for (const char c : text) number[static_cast<uint8_t>(c)] = 1;
  Dataset data;
  for (size_t byte = 0; byte < number.size(); ++byte) {
    if (number[byte] == 0) continue;
    number[byte] = static_cast<int64_t>(data.classes.size());
    const char c = static_cast<char>(byte);
    data.classes.push_back(absl::ascii_isgraph(byte) || c == ' ' ? std::string(1, c)
                                                                 : absl::StrFormat("0x%02X", byte));
  }
  if (text.size() <= step || data.classes.size() < 2) {
    return BadFile(
        name, absl::StrCat(text.size(), " characters, ", data.classes.size(), " different ones"),
        absl::StrCat("give a text of more than --context=", context, " characters"));
  }
  data.features = step + 1;
  data.count = (text.size() - 1) / step;
  data.labels.assign(data.count, 0);
  data.values.reserve(data.count * data.features);
  for (size_t row = 0; row < data.count; ++row) {
    for (const char c : text.substr(row * step, data.features)) {
      data.values.push_back(static_cast<float>(number[static_cast<uint8_t>(c)]));
    }
  }
  return data;
}

absl::StatusOr<Dataset> LoadText(const std::string& path, int64_t context) {
  auto text = ReadMaybeGzip(path);
  if (!text.ok()) return text.status();
  return ParseText(*text, path, context);
}

absl::StatusOr<Split> SplitRows(size_t count, uint64_t split_seed, double validation_fraction,
                                double test_fraction) {
  const auto part = [count](double fraction) {
    return static_cast<size_t>(std::lround(static_cast<double>(count) * fraction));
  };
  const size_t test = part(test_fraction), validation = part(validation_fraction);
  if (test == 0 || validation == 0 || test + validation >= count) {
    return BadFile("the split",
                   absl::StrCat(count, " rows give ", test, " test and ", validation,
                                " validation rows; each part needs at least one"),
                   "change --validation_fraction and --test_fraction, or give more data");
  }
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(MixSeed(split_seed, 0x5917));
  for (size_t left = count; left > 1; --left) {
    std::swap(order[left - 1], order[random.Below(left)]);
  }
  const auto at = [&order](size_t i) { return order.begin() + static_cast<std::ptrdiff_t>(i); };
  return Split{std::vector<size_t>(at(test + validation), order.end()),
               std::vector<size_t>(at(test), at(test + validation)),
               std::vector<size_t>(order.begin(), at(test))};
}

Normalisation MeasureNormalisation(const Dataset& data, const std::vector<size_t>& rows,
                                   const std::string& kind) {
  Normalisation result{std::vector<float>(data.features, 0.0F),
                       std::vector<float>(data.features, 1.0F)};
  if (kind == "none") return result;
  const Moments all = kind == "global" ? Measure(data, rows, 0, data.features) : Moments();
  for (size_t i = 0; i < data.features; ++i) {
    const Moments moments = kind == "global" ? all : Measure(data, rows, i, i + 1);
    result.mean[i] = static_cast<float>(moments.mean);
    if (moments.deviation > 1e-12) result.scale[i] = static_cast<float>(1 / moments.deviation);
  }
  return result;
}

void Normalisation::Apply(Dataset* data) const {
  for (size_t row = 0; row < data->count; ++row) {
    float* values = data->values.data() + row * data->features;
    for (size_t i = 0; i < data->features; ++i) values[i] = (values[i] - mean[i]) * scale[i];
  }
}

}  // namespace trainyard::trainer
