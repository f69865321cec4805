// Wheels and source distributions made importable; what cannot be is refused with a way out.
#include "worker/agent/installer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <map>

#include "common/errors.h"
#include "common/file.h"

namespace trainyard::worker {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class InstallerTest : public testing::Test {
 protected:
  InstallerTest() {
    char name[] = "/tmp/trainyard-installer-test-XXXXXX";
    folder_ = mkdtemp(name);
    target_ = folder_ + "/installed";
  }
  ~InstallerTest() override { fs::remove_all(folder_); }

  // Packs path -> content with the tools that packages are made with.
  std::string Pack(const std::map<std::string, std::string>& files, bool wheel) {
    const std::string source = folder_ + "/source";
    fs::create_directories(source);
    for (const auto& [path, content] : files) {
      fs::create_directories(fs::path(source + "/" + path).parent_path());
      EXPECT_TRUE(WriteFileAtomically(source + "/" + path, content).ok());
    }
    const std::string archive = folder_ + (wheel ? "/p.whl" : "/p.tar.gz");
    const std::string command = wheel
                                    ? "cd " + source + " && python3 -m zipfile -c " + archive + " *"
                                    : "tar -C " + source + " -czf " + archive + " .";
    EXPECT_EQ(system(command.c_str()), 0);
    return archive;
  }
  bool Imports(const std::string& module) const {
    return system(("PYTHONPATH=" + target_ + " python3 -c 'import " + module + "'").c_str()) == 0;
  }

  std::string folder_;
  std::string target_;
};

TEST_F(InstallerTest, ASourceDistributionIsImportableFromItsTop) {
  const std::string archive = Pack({{"trainer-0.1/setup.py", "from setuptools import setup"},
                                    {"trainer-0.1/PKG-INFO", "Name: trainer"},
                                    {"trainer-0.1/trainer/__init__.py", ""},
                                    {"trainer-0.1/trainer/task.py", "x = 1"}},
                                   false);
  const absl::Status status = InstallArchive(archive, v1::PackageRef::SDIST, target_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Imports("trainer.task"));
  EXPECT_FALSE(Exists(target_ + ".source"));
}

TEST_F(InstallerTest, ASourceFolderInsideIsFound) {
  const std::string archive = Pack({{"lib-1/setup.cfg", "[metadata]"},
                                    {"lib-1/setup.py", "import setuptools"},
                                    {"lib-1/src/lib/__init__.py", ""}},
                                   false);
  ASSERT_TRUE(InstallArchive(archive, v1::PackageRef::SDIST, target_).ok());
  EXPECT_TRUE(Imports("lib"));
}

TEST_F(InstallerTest, AWheelIsImportableWithItsDataParts) {
  const std::string archive = Pack({{"lib/__init__.py", ""},
                                    {"lib-1.data/purelib/extra.py", "y = 2"},
                                    {"lib-1.dist-info/WHEEL", "Wheel-Version: 1.0"}},
                                   true);
  const absl::Status status = InstallArchive(archive, v1::PackageRef::WHEEL, target_);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Imports("lib"));
  EXPECT_TRUE(Imports("extra"));
}

TEST_F(InstallerTest, CodeToBeCompiledIsRefusedWithAWayOut) {
  const std::string archive = Pack(
      {{"fast-1/setup.py", "setup(ext_modules=[Extension('f')])"}, {"fast-1/fast/__init__.py", ""}},
      false);
  const absl::Status status = InstallArchive(archive, v1::PackageRef::SDIST, target_);
  EXPECT_EQ(ReasonOf(status), "PACKAGE_INVALID");
  EXPECT_THAT(FaultsOf(status).faults(0).fix(), HasSubstr("wheel"));
  EXPECT_FALSE(Exists(target_));
}

TEST_F(InstallerTest, WhatIsNoPackageIsRefused) {
  const std::string no_python = Pack({{"data-1/readme.txt", "x"}}, false);
  EXPECT_EQ(ReasonOf(InstallArchive(no_python, v1::PackageRef::SDIST, target_)), "PACKAGE_INVALID");
  const std::string rubbish = folder_ + "/rubbish.whl";
  ASSERT_TRUE(WriteFileAtomically(rubbish, "this is no archive").ok());
  EXPECT_FALSE(InstallArchive(rubbish, v1::PackageRef::WHEEL, target_).ok());
  EXPECT_FALSE(Exists(target_));
}

}  // namespace
}  // namespace trainyard::worker
