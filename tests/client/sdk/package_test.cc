// Packages: what goes along, and what is told when something is missing.
#include "client/sdk/package.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "absl/strings/match.h"
#include "common/errors.h"
#include "common/file.h"

namespace trainyard::client {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class PackageTest : public testing::Test {
 protected:
  PackageTest() {
    std::string path = "/tmp/trainyard-package-XXXXXX";
    root_ = mkdtemp(path.data());
    Write("proj/trainer/__init__.py");
    Write("proj/trainer/task.py");
    Write("proj/trainer/model.py");
    Write("proj/data/big.csv");
    Write("proj/notes.py");
  }
  ~PackageTest() override { (void)RemoveTree(root_); }
  void Write(const std::string& name, const std::string& text = "x = 1\n") {
    const std::string path = root_ + "/" + name;
    ASSERT_TRUE(MakeFolders(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(WriteFileAtomically(path, text).ok());
  }
  std::string root_;
};

TEST_F(PackageTest, FolderWithoutSetupTakesThePackageAlone) {
  const auto plan = PlanPackagePath(root_ + "/proj/trainer");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->folder, root_ + "/proj");
  EXPECT_THAT(plan->only, ElementsAre("trainer"));
  EXPECT_TRUE(PlanPackagePath(root_ + "/proj/trainer/").ok());
}

TEST_F(PackageTest, FolderBesideSetupTakesTheProject) {
  Write("proj/setup.py");
  Write("proj/helpers/__init__.py");
  Write("proj/README.md");
  const auto plan = PlanPackagePath(root_ + "/proj/trainer");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->build_file, "setup.py");
  EXPECT_THAT(plan->only,
              UnorderedElementsAre("trainer", "helpers", "setup.py", "notes.py", "README.md"));
  EXPECT_EQ(ReasonOf(CheckModule("trainer.tusk", {*plan})), "MODULE_NOT_FOUND");
  EXPECT_TRUE(CheckModule("renamed.task", {*plan}).ok());
}

TEST_F(PackageTest, OnlyAPyprojectThatBuildsSomethingMakesAProject) {
  const std::string path = root_ + "/proj/pyproject.toml";
  ASSERT_TRUE(WriteFileAtomically(path, "[tool.black]\nline-length = 100\n").ok());
  EXPECT_EQ(PlanPackagePath(root_ + "/proj/trainer")->build_file, "");
  ASSERT_TRUE(WriteFileAtomically(path, "[project]\nname = 'trainer'\n").ok());
  EXPECT_EQ(PlanPackagePath(root_ + "/proj/trainer")->build_file, "pyproject.toml");
}

TEST_F(PackageTest, AbsentAndWrongPathsAreNamed) {
  EXPECT_EQ(ReasonOf(PlanPackagePath(root_ + "/nothing").status()), "PACKAGE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(PlanPackagePath(root_ + "/proj/notes.py").status()), "PACKAGE_INVALID");
  EXPECT_EQ(ReasonOf(PlanPackageFile(root_ + "/proj/notes.py").status()), "PACKAGE_INVALID");
  EXPECT_EQ(ReasonOf(PlanPackageFile(root_ + "/a.whl").status()), "PACKAGE_NOT_FOUND");
  Write("c-1.0.tar.gz", "no archive");
  EXPECT_EQ(ReasonOf(PlanPackageFile(root_ + "/c-1.0.tar.gz").status()), "PACKAGE_INVALID");
}

TEST_F(PackageTest, ArchivesAreKnownByTheirNames) {
  Write("a-1.0.tar.gz", "\x1f\x8b");
  Write("b-1.0-py3-none-any.whl", "PK");
  EXPECT_EQ(PlanPackageFile(root_ + "/a-1.0.tar.gz")->kind, v1::PackageRef::SDIST);
  EXPECT_EQ(PlanPackageFile(root_ + "/b-1.0-py3-none-any.whl")->kind, v1::PackageRef::WHEEL);
}

TEST_F(PackageTest, ModuleIsLookedForAndTheNearestNamed) {
  const auto plan = PlanPackagePath(root_ + "/proj/trainer");
  EXPECT_TRUE(CheckModule("trainer.task", {*plan}).ok());
  const absl::Status status = CheckModule("trainer.tusk", {*plan});
  EXPECT_EQ(ReasonOf(status), "MODULE_NOT_FOUND");
  EXPECT_TRUE(absl::StrContains(status.message(), "trainer.model")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "did you mean --module-name trainer.task?"));
}

TEST_F(PackageTest, ModuleOutsideThePackageIsNotFound) {
  const auto plan = PlanPackagePath(root_ + "/proj/trainer");
  EXPECT_EQ(ReasonOf(CheckModule("notes", {*plan})), "MODULE_NOT_FOUND");
  EXPECT_EQ(ReasonOf(CheckModule("trainer", {*plan})), "MODULE_NOT_FOUND");
  Write("proj/trainer/__main__.py");
  EXPECT_TRUE(CheckModule("trainer", {*plan}).ok());
}

TEST_F(PackageTest, ArchivesMayHoldTheModule) {
  Write("a-1.0.tar.gz", "\x1f\x8b");
  EXPECT_TRUE(CheckModule("anything", {*PlanPackageFile(root_ + "/a-1.0.tar.gz")}).ok());
}

TEST_F(PackageTest, WholeFolderLeavesTheStateFolderBehind) {
  const auto everything = PlanFolder(root_ + "/proj", "/elsewhere/state");
  EXPECT_TRUE(everything->only.empty());
  const auto inside = PlanFolder(root_ + "/proj", root_ + "/proj/data/state");
  EXPECT_THAT(inside->only, UnorderedElementsAre("trainer", "notes.py"));
}

}  // namespace
}  // namespace trainyard::client
