// The config file: what is read is what was written; mistakes name file, line and the nearest key.
#include "client/sdk/settings.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/errors.h"
#include "common/file.h"

namespace trainyard::client {
namespace {

class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    std::string path = "/tmp/trainyard-settings-XXXXXX";
    folder_ = mkdtemp(path.data());
    file_ = folder_ + "/sub/config.yaml";
  }
  ~SettingsTest() override { (void)RemoveTree(folder_); }
  absl::StatusOr<Settings> Read(const std::string& text) {
    (void)MakeFolders(folder_ + "/sub");
    (void)WriteFileAtomically(file_, text);
    return ReadSettings(file_);
  }
  std::string folder_;
  std::string file_;
};

TEST_F(SettingsTest, AbsentFileIsEmpty) {
  const auto settings = ReadSettings(file_);
  ASSERT_TRUE(settings.ok());
  EXPECT_TRUE(settings->empty());
}

TEST_F(SettingsTest, WrittenSettingsReadBackAndAreThePersonsOwn) {
  const Settings settings = {{"endpoint", "a: b # c"}, {"token", "'quoted' \"twice\""}};
  ASSERT_TRUE(WriteSettings(file_, settings).ok());
  EXPECT_EQ(*ReadSettings(file_), settings);
  struct stat info {};
  ASSERT_EQ(stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(SettingsTest, UnknownKeyNamesPlaceAndNearest) {
  const absl::Status status = Read("project: p\nendpont: x:1\n").status();
  const v1::Fault fault = FaultsOf(status).faults(0);
  EXPECT_EQ(fault.reason(), "UNKNOWN_FIELD");
  EXPECT_EQ(fault.file(), file_);
  EXPECT_EQ(fault.line(), 2);
  EXPECT_NE(fault.fix().find("endpoint"), std::string::npos);
}

TEST_F(SettingsTest, NoMapAndBadYamlAreRefused) {
  EXPECT_EQ(ReasonOf(Read("- a\n- b\n").status()), "WRONG_TYPE");
  EXPECT_EQ(ReasonOf(Read("endpoint: {a: 1}\n").status()), "WRONG_TYPE");
  EXPECT_EQ(ReasonOf(Read("endpoint: [\n").status()), "SPEC_SYNTAX");
  EXPECT_TRUE(Read("").ok());
}

}  // namespace
}  // namespace trainyard::client
