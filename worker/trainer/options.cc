// See options.h.
#include "worker/trainer/options.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"

namespace trainyard::trainer {
namespace {

// One flag: how its text becomes a field of Options. An empty answer means that the value was good.
struct Flag {
  const char* name;
  const char* help;
  std::string (*set)(absl::string_view value, Options* options);
};

template <std::string Options::*field>
std::string SetText(absl::string_view value, Options* options) {
  if (value.empty()) return "some text";
  options->*field = std::string(value);
  return "";
}

template <int64_t Options::*field, int64_t min, int64_t max>
std::string SetInteger(absl::string_view value, Options* options) {
  int64_t number = 0;
  if (absl::SimpleAtoi(value, &number) && number >= min && number <= max) {
    options->*field = number;
    return "";
  }
  // Tuners may write integers as "64.0".
  double real = 0;
  if (absl::SimpleAtod(value, &real) && real == std::floor(real) && real < 0x1p63 &&
      real >= static_cast<double>(min) && real <= static_cast<double>(max)) {
    options->*field = static_cast<int64_t>(real);
    return "";
  }
  return absl::StrCat("a whole number from ", min, " to ", max);
}

// Bounds in the form (min, max): both excluded, or included with `closed`.
std::string SetReal(absl::string_view value, double min, double max, bool closed, double* field) {
  double number = 0;
  const bool read = absl::SimpleAtod(value, &number);
  if (read && (closed ? number >= min && number <= max : number > min && number < max)) {
    *field = number;
    return "";
  }
  return absl::StrCat("a number ", closed ? "from " : "above ", min,
                      closed ? " to " : " and below ", max);
}

std::string SetChoice(absl::string_view value, const std::vector<std::string>& choices,
                      std::string* field) {
  for (const std::string& choice : choices) {
    if (value == choice) {
      *field = choice;
      return "";
    }
  }
  return absl::StrCat("one of ", absl::StrJoin(choices, ", "));
}

std::string SetHidden(absl::string_view value, Options* options) {
  std::vector<int64_t> widths;
  for (const absl::string_view part : absl::StrSplit(value, ',')) {
    double width = 0;
    if (!absl::SimpleAtod(part, &width) || width != std::floor(width) || width < 1 ||
        width > 1 << 20 || widths.size() == 16) {
      return "widths of hidden layers as in 64 or 128,64";
    }
    widths.push_back(static_cast<int64_t>(width));
  }
  options->hidden = std::move(widths);
  return "";
}

constexpr int64_t kSeedMax = std::numeric_limits<int64_t>::max();

const Flag kFlags[] = {
    {"data", "CSV file (a first line with names is passed over) or text, also as .gz",
     SetText<&Options::data>},
    {"evaluate", "folder of a saved model: print its test accuracy and end",
     SetText<&Options::evaluate>},
    {"export", "write the model there as TorchScript, for torch.jit.load",
     SetText<&Options::export_file>},
    {"model", "logistic, mlp (default), cnn, resnet (square images), transformer (text)",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"logistic", "mlp", "cnn", "resnet", "transformer"}, &o->model);
     }},
    {"hidden", "widths of hidden layers, 64 or 128,64; default 64", SetHidden},
    {"channels", "of the first layer of cnn and resnet; default 16",
     SetInteger<&Options::channels, 1, 4096>},
    {"blocks", "of each of the resnet's three stages, or of the transformer; default 2",
     SetInteger<&Options::blocks, 1, 1000>},
    {"width", "of the transformer; default 128", SetInteger<&Options::width, 1, 1 << 16>},
    {"heads", "of the transformer's attention; default 4", SetInteger<&Options::heads, 1, 1024>},
    {"context", "characters that the transformer reads at once; default 64",
     SetInteger<&Options::context, 1, 1 << 16>},
    {"normalize", "feature, global or none; default global for images, else feature",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"feature", "global", "none"}, &o->normalize);
     }},
    {"label_column", "column of the label: last, first or a number from 0; default last",
     SetText<&Options::label_column>},
    {"learning_rate", "step size; default 0.05",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 1e6, false, &o->learning_rate); }},
    {"schedule", "constant, cosine or linear (to 0), step (a tenth after 1/2 and 3/4)",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"constant", "cosine", "linear", "step"}, &o->schedule);
     }},
    {"warmup_epochs", "epochs in which the step size rises to its full; default 0",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 1e6, true, &o->warmup_epochs); }},
    {"precision", "float32, bfloat16 (mixed) or auto (measured); default float32",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"float32", "bfloat16", "auto"}, &o->precision);
     }},
    {"momentum", "momentum of sgd, beta 1 of adam; default 0.9",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 0.999999, true, &o->momentum); }},
    {"weight_decay", "default 0",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 1e3, true, &o->weight_decay); }},
    {"optimizer", "sgd, adam or adamw; default sgd",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"sgd", "adam", "adamw"}, &o->optimizer);
     }},
    {"batch_size", "samples in one step of all ranks together; default 64",
     SetInteger<&Options::batch_size, 1, 1 << 24>},
    {"epochs", "passes over the training split; default 30",
     SetInteger<&Options::epochs, 1, 1000000>},
    {"seed", "of the first weights and of the order of samples; default 1",
     SetInteger<&Options::seed, 0, kSeedMax>},
    {"split_seed", "of the split into train, validation and test; default 1",
     SetInteger<&Options::split_seed, 0, kSeedMax>},
    {"validation_fraction", "default 0.2",
     [](absl::string_view v, Options* o) {
       return SetReal(v, 0, 1, false, &o->validation_fraction);
     }},
    {"test_fraction", "default 0.2",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 1, false, &o->test_fraction); }},
    {"clip_norm", "largest norm of all gradients together, 0 for any; default 0",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 1e12, true, &o->clip_norm); }},
    {"accumulate", "backward passes that share a step's batch, to save memory; default 1",
     SetInteger<&Options::accumulate, 1, 1 << 16>},
    {"wire", "gradients travel as float32, float16 or bfloat16; default float32",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"float32", "float16", "bfloat16"}, &o->wire);
     }},
    {"overlap", "reduce during the backward pass: on, off or auto (with spare cores)",
     [](absl::string_view v, Options* o) {
       return SetChoice(v, {"auto", "on", "off"}, &o->overlap);
     }},
    {"shard_optimizer", "yes: each rank keeps a share of the optimiser's state; default no",
     [](absl::string_view v, Options* o) {
       std::string answer;
       std::string fault = SetChoice(v, {"yes", "no"}, &answer);
       o->shard_optimizer = answer == "yes";
       return fault;
     }},
    {"accuracy", "name of the metric with the validation accuracy; default accuracy",
     SetText<&Options::accuracy>},
    {"checkpoint_every", "epochs between checkpoints, 0 for none; default 5",
     SetInteger<&Options::checkpoint_every, 0, 1000000>},
    {"checkpoint_minutes", "a checkpoint after so long at most, inside an epoch too; 0: no limit",
     [](absl::string_view v, Options* o) {
       return SetReal(v, 0, 1e6, true, &o->checkpoint_minutes);
     }},
    {"checkpoint_keep", "newest checkpoints that stay; default 3",
     SetInteger<&Options::checkpoint_keep, 1, 1000000>},
    {"watch_seconds", "ranks compare their speed so often inside an epoch, 0 never; default 60",
     [](absl::string_view v, Options* o) { return SetReal(v, 0, 1e9, true, &o->watch_seconds); }},
    {"job-dir", "folder for history.jsonl, and for model and checkpoints outside a job",
     SetText<&Options::job_dir>},
};

// "job_dir" and "job-dir" are the same flag: both spellings are common.
std::string Canonical(absl::string_view name) {
  std::string text(name);
  for (char& c : text) c = c == '-' ? '_' : c;
  return text;
}

const Flag* FindFlag(absl::string_view name) {
  for (const Flag& flag : kFlags) {
    if (Canonical(flag.name) == Canonical(name)) return &flag;
  }
  return nullptr;
}

void AddFault(absl::string_view reason, std::string message, std::string fix, v1::Faults* faults) {
  v1::Fault* fault = faults->add_faults();
  fault->set_reason(std::string(reason));
  fault->set_message(std::move(message));
  fault->set_fix(std::move(fix));
}

void AddUnknown(absl::string_view argument, absl::string_view name, v1::Faults* faults) {
  std::vector<std::string> names;
  for (const Flag& flag : kFlags) names.push_back(flag.name);
  const std::string nearest = NearestName(name, names);
  AddFault("ARGUMENT_REFUSED", absl::StrCat("unrecognized arguments: ", argument),
           nearest.empty() ? "leave it out, or see trainyard-train --help"
                           : absl::StrCat("did you mean --", nearest, "?"),
           faults);
}

void SetFlag(const Flag& flag, absl::string_view value, Options* options, v1::Faults* faults) {
  const std::string expected = flag.set(value, options);
  options->given.push_back(flag.name);
  if (expected.empty()) return;
  AddFault("BAD_VALUE", absl::StrCat("--", flag.name, "=", value, ": expected ", expected),
           absl::StrCat("give --", flag.name, " another value"), faults);
}

void CheckTogether(const Options& options, v1::Faults* faults) {
  if (options.data.empty()) {
    AddFault("MISSING_FIELD", "no --data given", "name a CSV or text file: --data=FILE", faults);
  }
  if (options.warmup_epochs > static_cast<double>(options.epochs)) {
    AddFault("OUT_OF_RANGE", "--warmup_epochs is longer than --epochs", "warm up for less", faults);
  }
  if (options.validation_fraction + options.test_fraction >= 1) {
    AddFault("OUT_OF_RANGE", "--validation_fraction and --test_fraction leave nothing to train on",
             "make their sum smaller than 1", faults);
  }
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  v1::Faults faults;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (!absl::StartsWith(argument, "--")) {
      AddUnknown(argument, argument, &faults);
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const Flag* flag = FindFlag(name);
    if (flag == nullptr) {
      AddUnknown(argument, name, &faults);
      // Its value, if it stands apart, is no second mistake.
      if (equals == std::string::npos && i + 1 < arguments.size() &&
          !absl::StartsWith(arguments[i + 1], "--")) {
        ++i;
      }
      continue;
    }
    if (equals != std::string::npos) {
      SetFlag(*flag, absl::string_view(argument).substr(equals + 1), &options, &faults);
    } else if (i + 1 < arguments.size()) {
      SetFlag(*flag, arguments[++i], &options, &faults);
    } else {
      AddFault("BAD_VALUE", absl::StrCat(argument, " lacks its value"),
               absl::StrCat("write ", argument, "=VALUE"), &faults);
    }
  }
  CheckTogether(options, &faults);
  if (faults.faults_size() > 0) return MakeError(absl::StatusCode::kInvalidArgument, faults);
  return options;
}

std::string HelpText() {
  std::string text =
      "trainyard-train trains a classifier on a table of numbers, or a language model on the\n"
      "characters of a text, data-parallel over its ranks.\n\n"
      "  trainyard-train --data=digits.csv.gz --model=mlp --hidden=64 --epochs=20\n"
      "  mpirun -np 2 trainyard-train --data=digits.csv.gz --model=resnet --job-dir=out\n"
      "  trainyard-train --data=book.txt --model=transformer --optimizer=adamw "
      "--learning_rate=3e-3\n"
      "  trainyard-train --evaluate=out/model --data=digits.csv.gz\n\n"
      "Prints one line an epoch and at the end: test accuracy 0.97. Inside a job it reports\n"
      "the metrics accuracy and loss, commits checkpoints and stops when it is told to.\n\n";
  for (const Flag& flag : kFlags) {
    absl::StrAppend(&text, "  --", flag.name, std::string(22 - std::string(flag.name).size(), ' '),
                    flag.help, "\n");
  }
  return text;
}

}  // namespace trainyard::trainer
