// See saved_model.h.
#include "worker/trainer/saved_model.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/training/safetensors.h"

namespace trainyard::trainer {
namespace {

using Json = nlohmann::ordered_json;
using training::TensorFile;
using training::TensorView;

constexpr absl::string_view kFormat = "trainyard-model-1";

absl::Status Wrong(const std::string& file, absl::string_view what) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_VALUE", absl::StrCat(file, ": ", what),
                   "give the folder that trainyard-train wrote as its model");
}

// Reads fields of one object; the first that is absent or of another type is remembered.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) {}

  void Read(const char* name, std::string* out) {
    if (const Json* value = Find(name, &Json::is_string)) *out = value->get<std::string>();
  }
  void Read(const char* name, int64_t* out) {
    if (const Json* value = Find(name, &Json::is_number_integer)) *out = value->get<int64_t>();
  }
  void Read(const char* name, double* out) {
    if (const Json* value = Find(name, &Json::is_number)) *out = value->get<double>();
  }
  template <typename T>
  void Read(const char* name, std::vector<T>* out) {
    const Json* list = Find(name, &Json::is_array);
    for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
      const Json& item = (*list)[i];
      if (std::is_same_v<T, std::string> ? !item.is_string() : !item.is_number_integer()) {
        return Miss(name);
      }
      out->push_back(item.get<T>());
    }
  }
  Json Object(const char* name) {
    const Json* value = Find(name, &Json::is_object);
    return value == nullptr ? Json::object() : *value;
  }
  bool Has(const char* name) const { return object_.contains(name); }
  const std::string& missing() const { return missing_; }

 private:
  const Json* Find(const char* name, bool (Json::*is_type)() const noexcept) {
    const auto found = object_.find(name);
    if (found != object_.end() && ((*found).*is_type)()) return &*found;
    Miss(name);
    return nullptr;
  }
  void Miss(const char* name) {
    if (missing_.empty()) missing_ = name;
  }

  const Json object_;
  std::string missing_;
};

absl::Status ReadDescription(const std::string& file, const Json& json, SavedModel* model) {
  if (!json.is_object() || json.value("format", Json()) != std::string(kFormat)) {
    return Wrong(file, absl::StrCat("no description of format ", kFormat));
  }
  Fields top(json), shape(top.Object("architecture")), data(top.Object("data")),
      validation(top.Object("validation"));
  shape.Read("kind", &model->architecture.kind);
  shape.Read("features", &model->architecture.features);
  shape.Read("classes", &model->architecture.classes);
  shape.Read("hidden", &model->architecture.hidden);
  shape.Read("channels", &model->architecture.channels);
  // Not in models of the kinds that have none.
  if (shape.Has("blocks")) shape.Read("blocks", &model->architecture.blocks);
  if (shape.Has("heads")) shape.Read("heads", &model->architecture.heads);
  top.Read("classes", &model->classes);
  data.Read("label_column", &model->label_column);
  data.Read("split_seed", &model->split_seed);
  data.Read("validation_fraction", &model->validation_fraction);
  data.Read("test_fraction", &model->test_fraction);
  validation.Read("epoch", &model->epoch);
  validation.Read("accuracy", &model->validation_accuracy);
  validation.Read("loss", &model->validation_loss);
  for (const Fields* fields : {&top, &shape, &data, &validation}) {
    if (!fields->missing().empty()) {
      return Wrong(file, absl::StrCat(fields->missing(), " is missing or of another type"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSizes(const std::string& file, const Architecture& architecture) {
  constexpr int64_t kSizeMax = 1 << 24;
  bool good = architecture.features > 0 && architecture.features <= kSizeMax &&
              architecture.classes > 1 && architecture.classes <= kSizeMax &&
              architecture.channels >= 0 && architecture.channels <= kSizeMax;
  for (const int64_t width : architecture.hidden) good = good && width > 0 && width <= kSizeMax;
  const std::string& kind = architecture.kind;
  const bool deep = architecture.channels > 0 && architecture.blocks > 0 &&
                    architecture.blocks <= 1000 && architecture.channels <= 1 << 16;
  good = good && (kind == "logistic" || kind == "mlp" ||
                  (kind == "cnn" && architecture.channels > 0) || (kind == "resnet" && deep) ||
                  (kind == "transformer" && deep && architecture.heads > 0 &&
                   architecture.heads <= 1024 && architecture.features > 1));
  return good ? CheckArchitecture(architecture) : Wrong(file, "an impossible architecture");
}

absl::Status ReadTensors(const TensorFile& tensors, SavedModel* model) {
  for (const Parameter& parameter : ParametersOf(model->architecture)) {
    auto values = tensors.Floats(parameter.name, parameter.size);
    if (!values.ok()) return values.status();
    model->parameters.insert(model->parameters.end(), values->begin(), values->end());
  }
  const size_t features = static_cast<size_t>(model->architecture.features);
  auto mean = tensors.Floats("normalisation.mean", features);
  if (!mean.ok()) return mean.status();
  auto scale = tensors.Floats("normalisation.scale", features);
  if (!scale.ok()) return scale.status();
  model->normalisation = {*std::move(mean), *std::move(scale)};
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteModel(const std::string& folder, const SavedModel& model) {
  std::vector<TensorView> tensors;
  for (const Parameter& parameter : ParametersOf(model.architecture)) {
    tensors.push_back({parameter.name, training::DataType::kFloat32, parameter.shape,
                       model.parameters.data() + parameter.offset});
  }
  const std::vector<int64_t> shape = {model.architecture.features};
  tensors.push_back(
      {"normalisation.mean", training::DataType::kFloat32, shape, model.normalisation.mean.data()});
  tensors.push_back({"normalisation.scale", training::DataType::kFloat32, shape,
                     model.normalisation.scale.data()});
  const Json json = {{"format", std::string(kFormat)},
                     {"architecture",
                      {{"kind", model.architecture.kind},
                       {"features", model.architecture.features},
                       {"classes", model.architecture.classes},
                       {"hidden", model.architecture.hidden},
                       {"channels", model.architecture.channels},
                       {"blocks", model.architecture.blocks},
                       {"heads", model.architecture.heads}}},
                     {"classes", model.classes},
                     {"data",
                      {{"label_column", model.label_column},
                       {"split_seed", model.split_seed},
                       {"validation_fraction", model.validation_fraction},
                       {"test_fraction", model.test_fraction}}},
                     {"validation",
                      {{"epoch", model.epoch},
                       {"accuracy", model.validation_accuracy},
                       {"loss", model.validation_loss}}}};
  const auto bytes = training::EncodeSafetensors(tensors, {{"format", "trainyard"}});
  absl::Status status = bytes.ok() ? MakeFolders(folder) : bytes.status();
  if (status.ok()) status = WriteFileDurably(JoinPath(folder, "model.safetensors"), *bytes);
  if (!status.ok()) return status;
  return WriteFileDurably(JoinPath(folder, "model.json"),
                          json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::StatusOr<SavedModel> ReadModel(const std::string& folder) {
  const std::string description = JoinPath(folder, "model.json");
  auto text = ReadFile(description);
  if (!text.ok()) {
    return MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                     absl::StrCat("no model in ", folder, ": ", text.status().message()),
                     "give the folder that trainyard-train wrote as its model");
  }
  SavedModel model;
  const Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  absl::Status status = ReadDescription(description, json, &model);
  if (status.ok()) status = CheckSizes(description, model.architecture);
  if (!status.ok()) return status;
  const std::string file = JoinPath(folder, "model.safetensors");
  auto bytes = ReadFile(file);
  if (!bytes.ok()) return Wrong(file, bytes.status().message());
  auto tensors = training::DecodeSafetensors(*bytes);
  if (!tensors.ok()) return Wrong(file, tensors.status().message());
  status = ReadTensors(*tensors, &model);
  if (!status.ok()) return Wrong(file, status.message());
  return model;
}

}  // namespace trainyard::trainer
