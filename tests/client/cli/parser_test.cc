// Words to commands: flags, the program's own words untouched, suggestions for what is misspelt.
#include "client/cli/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "client/cli/help.h"
#include "common/errors.h"

namespace trainyard::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

absl::StatusOr<Parsed> ParseLine(const std::string& line) {
  return Parse(std::vector<std::string>(absl::StrSplit(line, ' ', absl::SkipEmpty())));
}

std::string MistakeOf(const std::string& line) {
  const absl::Status status = ParseLine(line).status();
  EXPECT_EQ(ReasonOf(status), "USAGE") << line;
  return std::string(status.message());
}

TEST(ParserTest, ManagedServiceCommandLineIsTakenAsItIs) {
  const auto parsed = ParseLine(
      "ml-engine jobs submit training iris_1 --scale-tier BASIC --module-name trainer.task "
      "--package-path trainer --job-dir gs://team/iris --region us-central1 --runtime-version 2.1 "
      "--stream-logs -- --train_steps 1000 --lr -0.5 -- --help");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_STREQ(parsed->command->words, "jobs submit training");
  EXPECT_FALSE(parsed->help);
  EXPECT_THAT(parsed->arguments.words(), ElementsAre("iris_1"));
  EXPECT_EQ(parsed->arguments.Get("module-name"), "trainer.task");
  EXPECT_TRUE(parsed->arguments.Has("stream-logs"));
  EXPECT_THAT(parsed->arguments.rest(),
              ElementsAre("--train_steps", "1000", "--lr", "-0.5", "--", "--help"));
}

TEST(ParserTest, RunHandsEverythingAfterTheProgramOn) {
  const auto parsed = ParseLine("run --name n -d train.py --name x -d --help -- -o json");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE(parsed->help);
  EXPECT_EQ(parsed->arguments.Get("name"), "n");
  EXPECT_TRUE(parsed->arguments.Has("detach"));
  EXPECT_THAT(parsed->arguments.words(), ElementsAre("train.py"));
  EXPECT_THAT(parsed->arguments.rest(),
              ElementsAre("--name", "x", "-d", "--help", "--", "-o", "json"));
}

TEST(ParserTest, RunTakesDashesBeforeTheProgram) {
  const auto parsed = ParseLine("run -d -- python3 -c x");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_THAT(parsed->arguments.words(), ElementsAre("python3"));
  EXPECT_THAT(parsed->arguments.rest(), ElementsAre("-c", "x"));
}

TEST(ParserTest, FlagsMayComeInAnyForm) {
  const auto parsed =
      ParseLine("--endpoint=h:1 --project p jobs list --limit=5 -ojson --state RUNNING -q");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->arguments.Get("endpoint"), "h:1");
  EXPECT_EQ(parsed->arguments.Get("project"), "p");
  EXPECT_EQ(parsed->arguments.Get("limit"), "5");
  EXPECT_EQ(parsed->arguments.Get("output"), "json");
  EXPECT_TRUE(parsed->arguments.Has("quiet"));
}

TEST(ParserTest, LastOfRepeatedFlagsCountsAndListsAdd) {
  const auto parsed = ParseLine(
      "jobs submit training a --module-name x --module-name y --packages a,b "
      "--packages c --stream-logs --no-stream-logs");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->arguments.Get("module-name"), "y");
  EXPECT_THAT(parsed->arguments.List("packages"), ElementsAre("a", "b", "c"));
  EXPECT_FALSE(parsed->arguments.Has("stream-logs"));
}

TEST(ParserTest, OptionalValuesMayBeLeftOut) {
  EXPECT_EQ(ParseLine("local train --distributed 4")->arguments.Get("distributed"), "4");
  const auto bare = ParseLine("local train --distributed --module-name m -- --distributed 9");
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_TRUE(bare->arguments.Has("distributed"));
  EXPECT_EQ(bare->arguments.Get("distributed"), "");
  EXPECT_EQ(bare->arguments.Get("module-name"), "m");
}

TEST(ParserTest, MisspeltWordsAreAnsweredWithTheNearest) {
  EXPECT_THAT(MistakeOf("jbos list"), HasSubstr("did you mean \"trainyard jobs\"?"));
  EXPECT_THAT(MistakeOf("jobs lsit"), HasSubstr("did you mean \"trainyard jobs list\"?"));
  EXPECT_THAT(MistakeOf("jobs submit training a --modul-name x"),
              HasSubstr("did you mean --module-name?"));
  EXPECT_THAT(MistakeOf("jobs list -o jsno"), HasSubstr("did you mean \"json\"?"));
  EXPECT_THAT(MistakeOf("jobs list --state RUNING"), HasSubstr("did you mean \"RUNNING\"?"));
  EXPECT_THAT(MistakeOf("run --nmae x /bin/true"), HasSubstr("did you mean --name?"));
  EXPECT_THAT(MistakeOf("jobs delete a"), HasSubstr("trainyard jobs cancel JOB"));
  EXPECT_THAT(MistakeOf("zzzzzzzz"), HasSubstr("one of: up, down, run"));
}

TEST(ParserTest, MissingAndSpareWordsAreNamed) {
  EXPECT_THAT(MistakeOf("jobs cancel"), HasSubstr("JOB is missing"));
  EXPECT_THAT(MistakeOf("jobs describe a b"), HasSubstr("unexpected word \"b\""));
  EXPECT_THAT(MistakeOf("jobs submit training a 1000"), HasSubstr("go after \"--\""));
  EXPECT_THAT(MistakeOf("jobs list -- x"), HasSubstr("unexpected word \"x\""));
  EXPECT_THAT(MistakeOf("jobs list --limit"), HasSubstr("--limit needs a value"));
  EXPECT_THAT(MistakeOf("study tell s --trial 1 --metric loss=1"),
              HasSubstr("the trial is a plain word, not a flag"));
  EXPECT_THAT(MistakeOf("study tell s --trial=1"), HasSubstr("trainyard study tell STUDY TRIAL"));
  EXPECT_THAT(MistakeOf("--what jobs list"), HasSubstr("unknown flag \"--what\""));
}

TEST(ParserTest, HelpIsFoundEverywhere) {
  for (const char* line : {"", "--help", "-h", "help", "jobs", "jobs --help", "help jobs",
                           "jobs list --help", "jobs list -h", "help jobs list", "run --help",
                           "jobs submit training a --module-name --help -h"}) {
    const auto parsed = ParseLine(line);
    ASSERT_TRUE(parsed.ok()) << line << ": " << parsed.status();
    EXPECT_TRUE(parsed->help) << line;
  }
  EXPECT_EQ(ParseLine("jobs")->group, "jobs");
  EXPECT_EQ(ParseLine("jobs submit")->group, "jobs submit");
}

TEST(ParserTest, ShortFormsOfTheFirstWord) {
  for (const char* line : {"job list", "j list", "ai-platform jobs list", "beta ai jobs list"}) {
    const auto parsed = ParseLine(line);
    ASSERT_TRUE(parsed.ok()) << line << ": " << parsed.status();
    EXPECT_STREQ(parsed->command->words, "jobs list") << line;
  }
}

TEST(ParserTest, ArgumentsConvertOrSayWhatTheyExpect) {
  const auto parsed = ParseLine("jobs wait a --timeout 90s");
  EXPECT_EQ(*parsed->arguments.Duration("timeout", absl::ZeroDuration()), absl::Seconds(90));
  for (const auto& [text, seconds] : std::vector<std::pair<std::string, double>>{
           {"2d", 172800}, {"1.5h", 5400}, {"10m", 600}, {"30", 30}, {"1h30m", 5400}}) {
    Arguments arguments;
    arguments.Add("t", text);
    EXPECT_EQ(*arguments.Duration("t", absl::ZeroDuration()), absl::Seconds(seconds)) << text;
  }
  for (const char* text : {"5 mins", "-3s", "", "abc", "d"}) {
    Arguments arguments;
    arguments.Add("t", text);
    EXPECT_EQ(ReasonOf(arguments.Duration("t", absl::ZeroDuration()).status()), "USAGE") << text;
  }
  Arguments arguments;
  arguments.Add("n", "7");
  arguments.Add("m", "seven");
  arguments.Add("p", "a=1,b=x=y");
  EXPECT_EQ(*arguments.Int("n", 0, 1, 10), 7);
  EXPECT_EQ(*arguments.Int("absent", 3, 1, 10), 3);
  EXPECT_FALSE(arguments.Int("n", 0, 8, 10).ok());
  EXPECT_FALSE(arguments.Int("m", 0, 8, 10).ok());
  EXPECT_EQ(arguments.Pairs("p")->at("b"), "x=y");
  EXPECT_FALSE(arguments.Pairs("m").ok());
}

TEST(HelpTest, EveryCommandFitsAScreenAndBeginsWithExamples) {
  for (const Command& command : Commands()) {
    const std::vector<std::string> lines = absl::StrSplit(HelpOf(command), '\n');
    EXPECT_LT(lines.size(), 60U) << command.words;
    for (const std::string& line : lines) EXPECT_LE(line.size(), 100U) << line;
    if (command.hidden) continue;
    ASSERT_FALSE(command.examples.empty()) << command.words;
    EXPECT_EQ(lines[2], "Examples:") << command.words;
    EXPECT_THAT(command.summary, testing::EndsWith(".")) << command.words;
  }
  EXPECT_LT(std::vector<std::string>(absl::StrSplit(HelpOfGroup(""), '\n')).size(), 60U);
}

TEST(HelpTest, NoCommandHasAFlagTwice) {
  for (const Command& command : Commands()) {
    std::vector<std::string> names;
    for (const Flag& flag : AllFlagsOf(command)) {
      EXPECT_THAT(names, testing::Not(testing::Contains(flag.name))) << command.words;
      names.push_back(flag.name);
    }
  }
}

}  // namespace
}  // namespace trainyard::cli
