// What goes into the store and comes out of it: packages, checkpoints, outputs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "common/file.h"
#include "tests/worker/agent/agent_fixture.h"

namespace trainyard::worker {
namespace {

using testing::Contains;
using testing::Each;
using testing::HasSubstr;

void AddTree(const std::string& digest, agent::v1::Assignment* assignment) {
  v1::PackageRef* const package = assignment->mutable_program()->add_packages();
  package->set_kind(v1::PackageRef::TREE);
  package->set_digest(digest);
  package->set_uri("trainer");
}

agent::v1::Assignment ModuleAssignment(agent::v1::Assignment assignment) {
  assignment.mutable_program()->clear_command();
  assignment.mutable_program()->set_python_module("trainer.task");
  assignment.mutable_program()->set_interpreter("/usr/bin/python3");
  return assignment;
}

TEST_F(AgentTest, APackageIsFetchedOncePerNodeAndFound) {
  const std::string tree = store_.PutFolder(
      {{"data.txt", "beside"},
       {"trainer/__init__.py", ""},
       {"trainer/task.py", "import sys; print(sys.argv[1:], open('data.txt').read())"}});
  StartAgent();
  for (int i = 0; i < 3; ++i) {
    agent::v1::Assignment assignment = ModuleAssignment(Assign({}));
    assignment.mutable_program()->add_args("--train_steps");
    assignment.mutable_program()->add_args("5");
    assignment.set_pass_job_dir(true);
    assignment.set_job_dir("gs://team/x");
    v1::ParameterValue* const rate = assignment.add_parameters();
    rate->set_parameter_id("rate");
    rate->set_number(0.1);
    AddTree(tree, &assignment);
    const auto key = Run(assignment);
    const agent::v1::Exited exited = scheduler_.WaitForExit(key);
    EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().stderr_tail();
    EXPECT_EQ(scheduler_.Log(key, 0, false),
              "['--train_steps', '5', '--job-dir=" + AttemptPath(key) +
                  "/job_dir', '--rate=0.1'] beside\n");
  }
  EXPECT_EQ(store_.downloads(), 1);
  EXPECT_THAT(store_.tokens(), Each("attempt-token"));
}

// What one attempt does to its packages, by whatever path, no other attempt sees.
TEST_F(AgentTest, APackageIsTheMembersOwnCopy) {
  const std::string tree = store_.PutFolder({{"data.txt", "as sent"}, {"trainer/task.py", "x"}});
  StartAgent();
  for (int i = 0; i < 2; ++i) {
    agent::v1::Assignment assignment =
        Assign(Shell("cat data.txt; ls ../package/0; echo spoilt > data.txt; "
                     "echo spoilt > ../package/0/trainer/task.py; echo more > trainer/new.py"));
    AddTree(tree, &assignment);
    const auto key = Run(assignment);
    const agent::v1::Exited exited = scheduler_.WaitForExit(key);
    EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().stderr_tail();
    EXPECT_EQ(scheduler_.Log(key, 0, false), "as sentdata.txt\ntrainer\n") << i;
  }
  EXPECT_EQ(store_.downloads(), 1);
}

TEST_F(AgentTest, TheOldestPackagesLeaveTheCache) {
  StartAgent();
  const std::string cache = options_.work_dir + "/cache";
  for (int i = 0; i < 205; ++i) {
    const std::string name = cache + "/" + std::to_string(i) + "-TREE";
    ASSERT_TRUE(MakeFolders(name).ok());
    const timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, name.c_str(), times, 0), 0);
  }
  agent::v1::Assignment assignment = Assign(Shell("cat data.txt"));
  AddTree(store_.PutFolder({{"data.txt", "new"}}), &assignment);
  scheduler_.WaitForExit(Run(assignment));
  EXPECT_EQ(scheduler_.Log(assignment.key(), 0, false), "new");
  EXPECT_EQ(ListFolder(cache)->size(), 200u);
  EXPECT_FALSE(Exists(cache + "/5-TREE"));
  EXPECT_TRUE(Exists(cache + "/6-TREE"));
}

TEST_F(AgentTest, ThePackagesOfTheCacheAreBoundedByBytesToo) {
  options_.packages.bytes = 64 << 10;
  StartAgent();
  const std::string cache = options_.work_dir + "/cache";
  for (int i = 0; i < 3; ++i) {
    agent::v1::Assignment assignment = Assign(Shell("cat data.txt | wc -c"));
    AddTree(store_.PutFolder({{"data.txt", std::string(40'000, static_cast<char>('a' + i))}}),
            &assignment);
    scheduler_.WaitForExit(Run(assignment));
    EXPECT_EQ(scheduler_.Log(assignment.key(), 0, false), "40000\n");
    EXPECT_TRUE(WaitForReleased(assignment.key()));
  }
  EXPECT_EQ(ListFolder(cache)->size(), 1u) << "two of them are more than the cache may hold";
}

TEST_F(AgentTest, AProjectIsInstalledOncePerNode) {
  const std::string tree = store_.PutFolder(
      {{"setup.py",
        "from setuptools import setup\n"
        "setup(name='trainer', packages=['trainer'], package_dir={'trainer': 'code'})"},
       {"code/__init__.py", ""},
       {"code/task.py", "import trainer.task as t; print(t.__name__)"}});
  StartAgent();
  for (int i = 0; i < 2; ++i) {
    agent::v1::Assignment assignment = ModuleAssignment(Assign({}));
    AddTree(tree, &assignment);
    assignment.mutable_program()->mutable_packages(0)->set_file_name("setup.py");
    const auto key = Run(assignment);
    const agent::v1::Exited exited = scheduler_.WaitForExit(key);
    EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().message();
    EXPECT_EQ(scheduler_.Log(key, 0, false), "trainer.task\ntrainer.task\n");
  }
  EXPECT_EQ(store_.downloads(), 1);
}

TEST_F(AgentTest, AProjectThatCannotBeInstalledIsFinalAndSaysWhy) {
  const std::string tree =
      store_.PutFolder({{"setup.py", "raise RuntimeError('wrong phase of the moon')"}});
  StartAgent();
  agent::v1::Assignment assignment = ModuleAssignment(Assign({}));
  AddTree(tree, &assignment);
  assignment.mutable_program()->mutable_packages(0)->set_file_name("setup.py");
  const agent::v1::Exited exited = scheduler_.WaitForExit(Run(assignment));
  EXPECT_EQ(exited.record().cause(), v1::STAGING);
  EXPECT_NE(exited.record().exit_code(), 0) << "not to be tried elsewhere";
  EXPECT_THAT(exited.record().message(), HasSubstr("package trainer"));
  EXPECT_THAT(exited.record().message(), HasSubstr("wrong phase of the moon"));
}

TEST_F(AgentTest, APackageThatIsGoneRefusesTheMemberByName) {
  StartAgent();
  agent::v1::Assignment assignment = ModuleAssignment(Assign({}));
  AddTree(std::string(32, 'x'), &assignment);
  const agent::v1::Exited exited = scheduler_.WaitForExit(Run(assignment));
  EXPECT_EQ(exited.record().cause(), v1::STAGING);
  EXPECT_TRUE(exited.refused());
  EXPECT_THAT(exited.record().message(), HasSubstr("package trainer"));
  EXPECT_TRUE(WaitForReleased(assignment.key()));
}

TEST_F(AgentTest, OutputsAreDurableBeforeTheEndIsTold) {
  StartAgent();
  agent::v1::Assignment assignment =
      Assign(Shell("echo m > $AIP_MODEL_DIR/model.bin; mkdir $AIP_CHECKPOINT_DIR/step_4; "
                   "echo c > $AIP_CHECKPOINT_DIR/step_4/w; echo j > $TRAINYARD_JOB_DIR/out"));
  assignment.set_trial(3);
  assignment.set_job_dir("gs://team/iris/");
  const auto key = Run(assignment);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  std::map<std::string, v1::OutputTree> outputs;
  for (const v1::OutputTree& output : exited.outputs()) outputs[output.kind()] = output;
  ASSERT_EQ(outputs.size(), 3u);
  EXPECT_EQ(store_.GetFolder(outputs["model"].digest())["model.bin"], "m\n");
  EXPECT_EQ(store_.GetFolder(outputs["checkpoint"].digest())["step_4/w"], "c\n");
  EXPECT_EQ(store_.GetFolder(outputs["job_dir"].digest())["out"], "j\n");
  using Names = std::map<std::string, std::string>;
  EXPECT_EQ(store_.published(),
            (Names{{"team/iris/3", outputs["job_dir"].digest()},
                   {"team/iris/3/model", outputs["model"].digest()},
                   {"team/iris/3/checkpoints", outputs["checkpoint"].digest()}}));
  EXPECT_EQ(outputs["model"].trial(), 3);
  EXPECT_EQ(outputs["model"].epoch(), key.epoch());
}

TEST_F(AgentTest, AStoreThatIsAwayForAMomentLosesNothing) {
  StartAgent();
  store_.Fail(3, absl::UnavailableError("store is away"));
  const agent::v1::Exited exited =
      scheduler_.WaitForExit(Run(Assign(Shell("echo m > $AIP_MODEL_DIR/m"))));
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().message();
  EXPECT_EQ(exited.outputs_size(), 1);
}

TEST_F(AgentTest, OutputsThatCannotBeStoredAreNoSuccess) {
  StartAgent();
  store_.Fail(1000, absl::PermissionDeniedError("wrong token"));
  const agent::v1::Exited exited =
      scheduler_.WaitForExit(Run(Assign(Shell("echo m > $AIP_MODEL_DIR/m"))));
  EXPECT_EQ(exited.record().cause(), v1::INTERNAL);
  EXPECT_THAT(exited.record().message(), HasSubstr("wrong token"));
}

constexpr char kCheckpointing[] = R"(
import json, os, socket
root = os.environ['AIP_CHECKPOINT_DIR']
print('found', sorted(os.listdir(root)), os.environ.get('TRAINYARD_RESUME_STEP'))
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['TRAINYARD_SOCKET'])
f = s.makefile('rw')
os.mkdir(root + 'step_7')
with open(root + 'step_7/weights', 'w') as w:
    w.write('w7')
f.write(json.dumps({'checkpoint': {'step': 7, 'path': 'step_7'}}) + '\n'); f.flush()
print('answer', f.readline().strip())
f.write(json.dumps({'checkpoint': {'step': 8, 'path': '../x'}}) + '\n'); f.flush()
print('answer', f.readline().strip())
)";

TEST_F(AgentTest, ACheckpointBecomesAFactAndIsRestoredWhereItLay) {
  StartAgent();
  agent::v1::Assignment first = Assign({"/usr/bin/python3", "-c", kCheckpointing});
  const agent::v1::Exited exited = scheduler_.WaitForExit(Run(first));
  ASSERT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().stderr_tail();
  EXPECT_THAT(scheduler_.Log(first.key(), 0, false), HasSubstr("found [] None"));
  EXPECT_THAT(scheduler_.Log(first.key(), 0, false), HasSubstr("answer {\"ok\":true}"));
  EXPECT_THAT(scheduler_.Log(first.key(), 0, false), HasSubstr("AIP_CHECKPOINT_DIR"));
  std::string tree;
  for (const agent::v1::Fact& fact : scheduler_.received().facts) {
    if (!fact.has_checkpoint_part()) continue;
    EXPECT_EQ(fact.checkpoint_part().step(), 7);
    tree = fact.checkpoint_part().tree();
  }
  ASSERT_FALSE(tree.empty());
  EXPECT_EQ(store_.GetFolder(tree)["step_7/weights"], "w7");

  agent::v1::Assignment second =
      Assign(Shell("cat $AIP_CHECKPOINT_DIR/step_7/weights; echo \" $TRAINYARD_RESUME_STEP\""));
  second.set_checkpoint_tree(tree);
  second.set_checkpoint_step(7);
  EXPECT_EQ(scheduler_.WaitForExit(Run(second)).record().cause(), v1::EXIT_CAUSE_UNSPECIFIED);
  EXPECT_EQ(scheduler_.Log(second.key(), 0, false), "w7 7\n");
}

// A program that keeps only its newest checkpoint removes the one before while a slow store takes
// it.
constexpr char kPruning[] = R"(
import json, os, shutil, socket, time
root = os.environ['AIP_CHECKPOINT_DIR']
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['TRAINYARD_SOCKET'])
f = s.makefile('rw')
os.makedirs(root + 'kept/step_7')
for name in ('weights', 'moments'):
    with open(root + 'kept/step_7/' + name, 'w') as out:
        out.write(name[0] + '7')
f.write(json.dumps({'checkpoint': {'step': 7, 'path': 'kept/step_7'}}) + '\n'); f.flush()
print('answer', f.readline().strip(), flush=True)
while not os.path.exists(root + 'prune'):
    time.sleep(0.01)
shutil.rmtree(root + 'kept')
os.remove(root + 'prune')
os.makedirs(root + '.step_9.partial')
os.makedirs(root + '.step_5.old/below')
print('pruned', flush=True)
)";

TEST_F(AgentTest, ADeclaredCheckpointMayBeRemovedWhileItIsUploaded) {
  StartAgent();
  store_.Stall("up", true);
  const auto key = Run(Assign({"/usr/bin/python3", "-c", kPruning}));
  ASSERT_TRUE(WaitForFile(AttemptPath(key) + "/declared/0/kept/step_7/weights"));
  ASSERT_TRUE(WriteFileAtomically(AttemptPath(key) + "/checkpoints/prune", "").ok());
  ASSERT_TRUE(WaitForLog(key, "pruned"));
  store_.Stall("up", false);
  const agent::v1::Exited exited = scheduler_.WaitForExit(key);
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().stderr_tail();
  EXPECT_EQ(exited.outputs_size(), 0) << "what a killed writer leaves is no output";
  std::string tree;
  for (const agent::v1::Fact& fact : scheduler_.received().facts) {
    if (fact.has_checkpoint_part()) tree = fact.checkpoint_part().tree();
  }
  ASSERT_FALSE(tree.empty()) << "the checkpoint is lost";
  EXPECT_EQ(store_.GetFolder(tree)["kept/step_7/weights"], "w7");
  EXPECT_EQ(store_.GetFolder(tree)["kept/step_7/moments"], "m7");
  EXPECT_FALSE(Exists(AttemptPath(key) + "/declared/0"));
}

// One thread for each kind of work: what hangs of one kind keeps back no other, and has an end.
TEST_F(AgentTest, AnInstallationThatHangsKeepsBackNoOtherWork) {
  options_.pool_threads = 1;
  StartAgent();
  const std::string hanging = store_.PutFolder({{"setup.py", "import time; time.sleep(4325)"}});
  agent::v1::Assignment stuck = ModuleAssignment(Assign({}));
  AddTree(hanging, &stuck);
  stuck.mutable_program()->mutable_packages(0)->set_file_name("setup.py");
  stuck.set_staging_timeout_ms(8000);
  Run(stuck);
  agent::v1::Assignment same = ModuleAssignment(Assign({}));
  *same.mutable_program()->mutable_packages() = stuck.program().packages();
  same.set_staging_timeout_ms(8000);
  Run(same);
  agent::v1::Assignment plain = Assign({"/bin/sh", "run.sh"});
  AddTree(store_.PutFolder({{"run.sh", "echo m > $AIP_MODEL_DIR/m"}}), &plain);
  agent::v1::Exited exited = scheduler_.WaitForExit(Run(plain));
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().message();
  EXPECT_EQ(exited.outputs_size(), 1);
  EXPECT_TRUE(WaitForReleased(plain.key()));
  exited = scheduler_.WaitForExit(Run(Assign({"/usr/bin/python3", "-c", kCheckpointing})));
  EXPECT_EQ(exited.record().cause(), v1::EXIT_CAUSE_UNSPECIFIED) << exited.record().message();
  for (const auto* assignment : {&stuck, &same}) {
    exited = scheduler_.WaitForExit(assignment->key());
    EXPECT_TRUE(exited.refused());
    EXPECT_EQ(exited.record().cause(), v1::STAGING);
    EXPECT_TRUE(WaitForReleased(assignment->key()));
  }
}

TEST_F(AgentTest, AStoreThatHangsIsGivenUpInTime) {
  options_.pool_threads = 1;
  StartAgent();
  agent::v1::Assignment late = Assign({"/bin/true"});
  AddTree(store_.PutFolder({{"a", "b"}}), &late);
  late.set_staging_timeout_ms(500);
  store_.Stall("down", true);
  agent::v1::Exited exited = scheduler_.WaitForExit(Run(late));
  EXPECT_TRUE(exited.refused());
  EXPECT_EQ(exited.record().cause(), v1::STAGING);
  store_.Stall("down", false);
  store_.Stall("up", true);
  for (const char* where : {"AIP_MODEL_DIR", "AIP_CHECKPOINT_DIR"}) {
    agent::v1::Assignment full = Assign(Shell(std::string("echo m > $") + where + "/m"));
    full.set_publish_timeout_ms(500);
    exited = scheduler_.WaitForExit(Run(full));
    EXPECT_EQ(exited.record().cause(), v1::INTERNAL) << where;
    EXPECT_THAT(exited.record().message(), HasSubstr("could not be stored"));
  }
  // The end of a member does not wait for a checkpoint that hangs.
  agent::v1::Assignment part = Assign({"/usr/bin/python3", "-c", kCheckpointing});
  part.set_publish_timeout_ms(500);
  scheduler_.WaitForExit(Run(part));
  EXPECT_TRUE(WaitForReleased(part.key()));
}

TEST_F(AgentTest, WhatIsTooMuchToStageIsRefusedAndNotForgotten) {
  options_.pool_threads = 1;
  options_.pool_waiting_max = 1;
  StartAgent();
  store_.Stall("down", true);
  std::vector<agent::v1::Assignment> many;
  for (int i = 0; i < 4; ++i) {
    many.push_back(Assign({"/bin/true"}));
    AddTree(store_.PutFolder({{"a", std::to_string(i)}}), &many.back());
    Run(many.back());
  }
  const agent::v1::Exited exited = scheduler_.WaitForExit(many.back().key());
  EXPECT_TRUE(exited.refused());
  EXPECT_THAT(exited.record().message(), HasSubstr("too many members"));
  store_.Stall("down", false);
  EXPECT_EQ(scheduler_.WaitForExit(many.front().key()).record().cause(),
            v1::EXIT_CAUSE_UNSPECIFIED);
}

TEST_F(AgentTest, TwoPhasesPrepareThenRun) {
  StartAgent();
  const std::string tree = store_.PutFolder({{"run.sh", "echo from the package"}});
  agent::v1::Assignment assignment = Assign({"/bin/sh", "run.sh"});
  AddTree(tree, &assignment);
  agent::v1::DesiredMember desired;
  *desired.mutable_key() = assignment.key();
  desired.set_want(agent::v1::PREPARED);
  *desired.mutable_assignment() = assignment;
  scheduler_.Want(desired);
  int32_t port = 0;
  ASSERT_TRUE(scheduler_.WaitFor([&port](const auto& received) {
    for (const agent::v1::Fact& fact : received.facts) {
      if (fact.has_prepared()) port = fact.prepared().port();
    }
    return port > 0;
  }));
  EXPECT_FALSE(Exists(AttemptPath(assignment.key()) + "/launch.json"));
  Want(assignment.key(), agent::v1::RUN);
  EXPECT_EQ(scheduler_.WaitForExit(assignment.key()).record().cause(), v1::EXIT_CAUSE_UNSPECIFIED);
  EXPECT_EQ(scheduler_.Log(assignment.key(), 0, false), "from the package\n");
}

}  // namespace
}  // namespace trainyard::worker
