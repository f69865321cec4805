// A table of numbers with a label a row, from CSV (plain or gzip), or a text cut into rows of
// characters; and the split into training, validation and test rows. Pure but for reading the file;
// immutable once made.
#ifndef TRAINYARD_WORKER_TRAINER_DATASET_H_
#define TRAINYARD_WORKER_TRAINER_DATASET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace trainyard::trainer {

struct Dataset {
  size_t count = 0;
  size_t features = 0;
  std::vector<float> values;         // count x features, row-major
  std::vector<int64_t> labels;       // index into classes
  std::vector<std::string> classes;  // in numeric order when all are numbers, else alphabetic

  const float* Row(size_t row) const { return values.data() + row * features; }
};

// `label_column`: "last", "first" or a number from 0. A first line with a word where a feature
// belongs is a header. INVALID_ARGUMENT with file, line and column of the first bad cell.
absl::StatusOr<Dataset> LoadCsv(const std::string& path, const std::string& label_column);
// The same from text; `name` is what errors show.
absl::StatusOr<Dataset> ParseCsv(absl::string_view text, const std::string& name,
                                 const std::string& label_column);

// Any file as text: each row holds `context` + 1 characters (bytes) by their numbers, the last one
// is the first of the next row; labels are 0. `classes` are the bytes that occur: printable ones as
// they are, others as 0x0A. A rest that fills no row is left out. INVALID_ARGUMENT for less than
// one row or a text of one character only.
absl::StatusOr<Dataset> LoadText(const std::string& path, int64_t context);
absl::StatusOr<Dataset> ParseText(absl::string_view text, const std::string& name, int64_t context);

struct Split {
  std::vector<size_t> train;
  std::vector<size_t> validation;
  std::vector<size_t> test;
};
// Row numbers, a function of its arguments alone. INVALID_ARGUMENT when a part would be empty.
absl::StatusOr<Split> SplitRows(size_t count, uint64_t split_seed, double validation_fraction,
                                double test_fraction);

// value -> (value - mean) * scale, a feature at a time.
struct Normalisation {
  std::vector<float> mean;
  std::vector<float> scale;
  void Apply(Dataset* data) const;
};
// "feature": each feature to mean 0 and deviation 1 over `rows`; "global": one mean and deviation
// for all; "none". Constant features keep scale 1.
Normalisation MeasureNormalisation(const Dataset& data, const std::vector<size_t>& rows,
                                   const std::string& kind);

}  // namespace trainyard::trainer

#endif  // TRAINYARD_WORKER_TRAINER_DATASET_H_
