// Packages of every kind made importable, by the node's pip where they ask for it; what cannot be
// is refused with a way out.
#include "worker/agent/installer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "absl/strings/numbers.h"
#include "common/errors.h"
#include "common/file.h"
#include "worker/agent/copy_folder.h"

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

  void Write(const std::map<std::string, std::string>& files, const std::string& to) {
    for (const auto& [path, content] : files) {
      fs::create_directories(fs::path(to + "/" + path).parent_path());
      EXPECT_TRUE(WriteFileAtomically(to + "/" + path, content).ok());
    }
  }
  // Packs path -> content with the tools that packages are made with.
  std::string Pack(const std::map<std::string, std::string>& files, bool wheel) {
    const std::string source = folder_ + "/source";
    fs::create_directories(source);
    Write(files, source);
    const std::string archive = folder_ + (wheel ? "/lib-1-py3-none-any.whl" : "/p.tar.gz");
    const std::string command = wheel
                                    ? "cd " + source + " && python3 -m zipfile -c " + archive + " *"
                                    : "tar -C " + source + " -czf " + archive + " .";
    EXPECT_EQ(system(command.c_str()), 0);
    return archive;
  }
  absl::Status Install(const std::string& path, v1::PackageRef::Kind kind) {
    const PipOptions options = Options();
    const std::string name = fs::is_directory(path) ? "setup.py" : fs::path(path).filename();
    return InstallPackage({kind, name, path}, target_, options);
  }
  static PipOptions Options() {
    PipOptions options;
    options.keeper = TRAINYARD_SUPERVISOR;
    options.env["PATH"] = "/usr/bin:/bin";
    return options;
  }
  bool Imports(const std::string& module) const {
    const std::string command =
        "cd / && PYTHONPATH=" + target_ + " /usr/bin/python3 -c 'import " + module + "'";
    return system(command.c_str()) == 0;
  }

  std::string folder_;
  std::string target_;
};

TEST_F(InstallerTest, PureCodeWithoutSetupIsImportableFromItsTop) {
  const std::string archive = Pack({{"trainer-0.1/PKG-INFO", "Name: trainer"},
                                    {"trainer-0.1/trainer/__init__.py", ""},
                                    {"trainer-0.1/trainer/task.py", "x = 1"}},
                                   false);
  const absl::Status status = Install(archive, v1::PackageRef::SDIST);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Imports("trainer.task"));
  EXPECT_FALSE(Exists(target_ + ".build"));
}

TEST_F(InstallerTest, ASourceFolderInsideIsFound) {
  const std::string archive =
      Pack({{"lib-1/setup.cfg", "[metadata]"}, {"lib-1/src/lib/__init__.py", ""}}, false);
  ASSERT_TRUE(Install(archive, v1::PackageRef::SDIST).ok());
  EXPECT_TRUE(Imports("lib"));
}

// Only an installation knows that the module lies elsewhere and what is generated.
TEST_F(InstallerTest, SetupIsRunByPip) {
  const std::string archive =
      Pack({{"trainer-0.1/setup.py",
             "import pathlib\nfrom setuptools import setup\n"
             "pathlib.Path('code/made.py').write_text('y = 2')\n"
             "setup(name='trainer', version='0.1', packages=['trainer'],\n"
             "      package_dir={'trainer': 'code'}, install_requires=['of-another-world'])"},
            {"trainer-0.1/code/__init__.py", ""},
            {"trainer-0.1/code/task.py", "from trainer.made import y"}},
           false);
  const absl::Status status = Install(archive, v1::PackageRef::SDIST);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Imports("trainer.task"));
  EXPECT_FALSE(Exists(target_ + ".build"));
}

TEST_F(InstallerTest, AProjectFolderIsInstalledToo) {
  const std::string source = folder_ + "/project";
  Write({{"pyproject.toml",
          "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
          "[project]\nname = 'trainer'\nversion = '1'\n"
          "[tool.setuptools]\npackages = ['trainer']\n"},
         {"trainer/__init__.py", ""}},
        source);
  const absl::Status status = Install(source, v1::PackageRef::TREE);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Imports("trainer"));
}

TEST_F(InstallerTest, AFailingSetupIsToldInItsOwnWords) {
  const std::string archive =
      Pack({{"bad-1/setup.py", "raise RuntimeError('the moon is not full')"}}, false);
  const absl::Status status = Install(archive, v1::PackageRef::SDIST);
  EXPECT_EQ(ReasonOf(status), "PACKAGE_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr("RuntimeError: the moon is not full"));
  EXPECT_THAT(FaultsOf(status).faults(0).fix(), HasSubstr("pip install"));
  EXPECT_FALSE(Exists(target_));
}

TEST_F(InstallerTest, AnEndlessSetupIsEnded) {
  const std::string archive = Pack({{"slow-1/setup.py",
                                     "import os, subprocess, time\n"
                                     "subprocess.Popen(['sleep', '4321'])\n"
                                     "open(os.environ['MARK'], 'w').write(str(os.getpid()))\n"
                                     "time.sleep(4321)"}},
                                   false);
  const std::string mark = folder_ + "/mark";
  PipOptions options = Options();
  options.env["MARK"] = mark;
  pid_t setup = 0;
  options.give_up = [&] {
    const absl::StatusOr<std::string> text = ReadFile(mark);
    return text.ok() && absl::SimpleAtoi(*text, &setup);
  };
  const absl::Status status =
      InstallPackage({v1::PackageRef::SDIST, "slow.tar.gz", archive}, target_, options);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_FALSE(Exists(target_));
  for (int i = 0; i < 1000 && Exists("/proc/" + std::to_string(setup)); ++i) usleep(10000);
  EXPECT_FALSE(Exists("/proc/" + std::to_string(setup)));
}

// A setup.py may leave what it started in sessions of its own; none of it outlives the
// installation, whether that succeeds or is given up.
TEST_F(InstallerTest, NothingThatASetupStartedIsLeft) {
  const std::string archive =
      Pack({{"quick-1/setup.py",
             "import os, subprocess, time\n"
             "from setuptools import setup\n"
             "mark = os.environ['MARK']\n"
             "quiet = {'start_new_session': True, 'stdout': subprocess.DEVNULL,\n"
             "         'stderr': subprocess.DEVNULL}\n"
             "sleeper = subprocess.Popen(['setsid', 'sleep', '4322'], **quiet)\n"
             "second = subprocess.Popen(['sh', '-c', 'sleep 4323 & echo $! > ' + mark + '.2'],\n"
             "                          **quiet)\n"
             "second.wait()\n"
             "open(mark, 'w').write(str(sleeper.pid))\n"
             "if os.environ.get('HANG'): time.sleep(4324)\n"
             "setup(name='quick', version='1', py_modules=['quick'])\n"},
            {"quick-1/quick.py", ""}},
           false);
  const std::string mark = folder_ + "/mark";
  for (const bool hangs : {false, true}) {
    PipOptions options = Options();
    options.env["MARK"] = mark;
    if (hangs) options.env["HANG"] = "1";
    options.give_up = [&] { return hangs && Exists(mark); };
    const absl::Status status =
        InstallPackage({v1::PackageRef::SDIST, "quick.tar.gz", archive}, target_, options);
    EXPECT_EQ(status.code(), hangs ? absl::StatusCode::kDeadlineExceeded : absl::StatusCode::kOk)
        << status;
    for (const char* name : {"", ".2"}) {
      pid_t pid = 0;
      ASSERT_TRUE(absl::SimpleAtoi(ReadFile(mark + name).value(), &pid)) << name;
      EXPECT_FALSE(Exists("/proc/" + std::to_string(pid))) << "hangs " << hangs << name;
      fs::remove(mark + name);
    }
    fs::remove_all(target_);
  }
}

TEST_F(InstallerTest, ThousandsOfLinesOfASetupAreCutToTheLast) {
  const std::string archive = Pack({{"loud-1/setup.py",
                                     "import sys\n"
                                     "for i in range(200000): sys.stderr.write('line %d\\n' % i)\n"
                                     "raise RuntimeError('after many words')"}},
                                   false);
  const absl::Status status = Install(archive, v1::PackageRef::SDIST);
  EXPECT_EQ(ReasonOf(status), "PACKAGE_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr("RuntimeError: after many words"));
}

TEST_F(InstallerTest, AKeeperThatIsMissingIsNoFaultOfThePackage) {
  const std::string archive = Pack({{"a-1/setup.py", "x = 1"}}, false);
  PipOptions options = Options();
  options.keeper = folder_ + "/nothing";
  const absl::Status status =
      InstallPackage({v1::PackageRef::SDIST, "a.tar.gz", archive}, target_, options);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(ReasonOf(status), "PACKAGE_INVALID");
}

TEST_F(InstallerTest, AWheelForAnotherMachineIsRefused) {
  const std::string archive = Pack({{"lib/__init__.py", ""}}, true);
  const std::string other = folder_ + "/lib-1-cp27-cp27m-win32.whl";
  fs::rename(archive, other);
  const absl::Status status = Install(other, v1::PackageRef::WHEEL);
  EXPECT_EQ(ReasonOf(status), "PACKAGE_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr("not a supported wheel"));
}

TEST_F(InstallerTest, AWheelIsImportableWithItsDataParts) {
  const std::string archive = Pack({{"lib/__init__.py", ""},
                                    {"lib-1.data/purelib/extra.py", "y = 2"},
                                    {"lib-1.dist-info/WHEEL", "Wheel-Version: 1.0"}},
                                   true);
  const absl::Status status = Install(archive, v1::PackageRef::WHEEL);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(Imports("lib"));
  EXPECT_TRUE(Imports("extra"));
}

TEST_F(InstallerTest, ACopyLeavesTheOriginalAloneAndFollowsNoLink) {
  const std::string from = folder_ + "/from";
  Write({{"a/b.py", "x = 1"}, {"run", "#!"}}, from);
  fs::permissions(from + "/run", fs::perms(0700));
  fs::create_symlink("a/b.py", from + "/link");
  fs::create_symlink("/etc/passwd", from + "/out");
  ASSERT_TRUE(CopyFolder(from, target_).ok());
  EXPECT_EQ(ReadFile(target_ + "/a/b.py").value(), "x = 1");
  EXPECT_EQ(fs::read_symlink(target_ + "/out"), "/etc/passwd");
  EXPECT_EQ(fs::read_symlink(target_ + "/link"), "a/b.py");
  EXPECT_EQ(fs::status(target_ + "/run").permissions(), fs::perms(0755));
  EXPECT_EQ(fs::last_write_time(target_ + "/run"), fs::last_write_time(from + "/run"));
  ASSERT_TRUE(WriteFileAtomically(target_ + "/a/b.py", "x = 2").ok());
  EXPECT_EQ(ReadFile(from + "/a/b.py").value(), "x = 1");
  EXPECT_FALSE(CopyFolder(from, target_).ok()) << "it is there already";
  ASSERT_EQ(mkfifo((from + "/pipe").c_str(), 0600), 0);
  EXPECT_FALSE(CopyFolder(from, folder_ + "/second").ok());
}

TEST_F(InstallerTest, LinksKeepWhatIsRemovedAndLeadNowhereElse) {
  const std::string from = folder_ + "/from";
  Write({{"kept/step_7/a/weights", "w"}, {"single", "s"}}, from);
  fs::create_symlink("/etc/passwd", from + "/kept/step_7/out");
  fs::create_directory_symlink("/etc", from + "/elsewhere");
  ASSERT_TRUE(LinkBelow(from, "kept/step_7", target_).ok());
  fs::remove_all(from + "/kept");
  EXPECT_EQ(ReadFile(target_ + "/kept/step_7/a/weights").value(), "w");
  EXPECT_EQ(fs::read_symlink(target_ + "/kept/step_7/out"), "/etc/passwd");
  ASSERT_TRUE(LinkBelow(from, "single", target_).ok()) << "in place of what was there";
  EXPECT_EQ(fs::hard_link_count(target_ + "/single"), 2u);
  EXPECT_FALSE(Exists(target_ + "/kept"));
  for (const char* path : {"elsewhere/passwd", "../from/single", "/etc/passwd", "", "absent"}) {
    EXPECT_FALSE(LinkBelow(from, path, target_).ok()) << path;
  }
  EXPECT_FALSE(Exists(target_ + "/elsewhere/passwd"));
}

TEST_F(InstallerTest, WhatIsNoPackageIsRefused) {
  const std::string no_python = Pack({{"data-1/readme.txt", "x"}}, false);
  EXPECT_EQ(ReasonOf(Install(no_python, v1::PackageRef::SDIST)), "PACKAGE_INVALID");
  const std::string rubbish = folder_ + "/rubbish.whl";
  ASSERT_TRUE(WriteFileAtomically(rubbish, "this is no archive").ok());
  EXPECT_FALSE(Install(rubbish, v1::PackageRef::WHEEL).ok());
  EXPECT_FALSE(Exists(target_));
}

}  // namespace
}  // namespace trainyard::worker
