#!/usr/bin/env python3
"""Commands of the client on a real cluster, one thing after the other as a user would.

Plain programs, packages with and without setup.py, custom and tuning jobs with the words of gcloud,
metrics, outputs, pull, the store, tiers, projects, pause and resume, cancel, waiting and its exit
codes, a flood of log lines, `local train` ended by a signal.

Usage: commands_live_test.py BUILD_FOLDER
"""
import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

failures = []

TASK = """
import json, os, sys
print("argv", json.dumps(sys.argv[1:]))
print("to stderr", file=sys.stderr)
open(os.path.join(os.environ["AIP_MODEL_DIR"], "model.txt"), "w").write("m")
"""
CURVE = """
import math, trainyard
for step in range(1, 51):
    trainyard.report(step, loss=1 / step, accuracy=1 - 1 / step)
"""
SLOW = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("begins", flush=True)
time.sleep(120)
"""
FLOOD = "for i in range(200000):\n    print('line', i, 'of a program that prints a lot of text')\n"
TRIAL = """
import argparse, trainyard
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
lr = parser.parse_args().lr
trainyard.report(1, accuracy=1 - abs(lr - 0.01))
"""
SLEEPS = "import time\ntime.sleep(120)\n"
SETUP = "from setuptools import setup\nsetup(name='trainer', version='0.1', packages=['trainer'])\n"
TUNING = """displayName: tuned
trialJobSpec:
  workerPoolSpecs:
  - machineSpec:
      machineType: n1-standard-4
    replicaCount: 1
    pythonPackageSpec:
      packageUris: [trainer]
      pythonModule: trainer.%s
studySpec:
  metrics:
  - metricId: accuracy
    goal: MAXIMIZE
  algorithm: RANDOM_SEARCH
  parameters:
  - parameterId: lr
    doubleValueSpec:
      minValue: 0.001
      maxValue: 0.1
    scaleType: UNIT_LOG_SCALE
"""
CUSTOM = """workerPoolSpecs:
  machineSpec:
    machineType: n1-standard-4
  replicaCount: 1
  pythonPackageSpec:
    packageUris: [trainer]
    pythonModule: trainer.task
    args: [--from, config]
"""


def check(good, what):
    if not good:
        failures.append(what)


class User:
    def __init__(self, build, folder):
        self.program = str(build / "bin" / "trainyard")
        self.folder = pathlib.Path(folder)
        self.work = self.folder / "work"
        self.environment = dict(
            os.environ, HOME=folder, TRAINYARD_STATE=str(self.folder / "state"), TMPDIR=folder,
            NO_COLOR="1", PYTHONDONTWRITEBYTECODE="1")
        for name in ("TRAINYARD_ENDPOINT", "TRAINYARD_TOKEN", "TRAINYARD_PROJECT"):
            self.environment.pop(name, None)
        package = self.work / "trainer"
        package.mkdir(parents=True)
        for name, text in (("__init__", ""), ("task", TASK), ("curve", CURVE), ("slow", SLOW),
                           ("trial", TRIAL), ("sleeps", SLEEPS)):
            (package / f"{name}.py").write_text(text)
        (self.work / "train.py").write_text(TASK)
        (self.work / "flood.py").write_text(FLOOD)
        (self.work / "tuning.yaml").write_text(TUNING % "trial")
        (self.work / "sleeping.yaml").write_text(TUNING % "sleeps")
        (self.work / "config.yaml").write_text(CUSTOM)

    def start(self, *words, **options):
        return subprocess.Popen([self.program, *words], cwd=self.work, env=self.environment,
                                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **options)

    def run(self, *words):
        return subprocess.run([self.program, *words], cwd=self.work, env=self.environment,
                              text=True, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=200, check=False)

    def __call__(self, *words, code=0):
        done = self.run(*words)
        check(done.returncode == code, f"{' '.join(words)}: exit status {done.returncode}, "
                                       f"expected {code}: {done.stdout}{done.stderr}")
        return done

    def json(self, *words):
        out = self(*words, "-o", "json").stdout
        try:
            return json.loads(out)
        except ValueError:
            check(False, f"{' '.join(words)} -o json: {out!r}")
            return {}

    def state(self, job):
        return self.json("jobs", "describe", job).get("state")


def check_run(user):
    done = user("run", "--name", "script", "train.py", "--lr", "0.1")
    check('argv ["--lr", "0.1"]\n' in done.stdout, f"run: {done.stdout}")
    check("to stderr\n" in done.stderr and "to stderr" not in done.stdout, "run: stderr apart")
    check("trainyard pull script DIR" in done.stderr, f"run points at no outputs: {done.stderr}")
    detached = user("run", "-d", "--name", "plain", "/bin/true")
    check(detached.stdout.startswith("jobId: plain\n"), f"run -d: {detached.stdout}")
    user("jobs", "wait", "plain")
    check(user("run", "-q", "--", "echo", "only", "this").stdout == "only this\n", "run -q")
    document = user("run", "-o", "json", "--name", "document", "train.py", "--lr", "0.1")
    check(json.loads(document.stdout).get("state") == "SUCCEEDED",
          f"run -o json: {document.stdout}")
    check('argv ["--lr", "0.1"]\n' in document.stderr, f"run -o json: the log: {document.stderr}")
    failed = user("run", "-o", "json", "--", "sh", "-c", "exit 3", code=8)
    check(json.loads(failed.stdout).get("state") == "FAILED", f"run -o json: {failed.stdout}")
    page = user("jobs", "describe", "plain").stdout
    for line in ("ranks:       1\n", "replicas:    master 1 x 1 core", "time limit:  7d00h\n"):
        check(line in page, f"describe does not say {line!r}: {page}")
    user("run", "--", "sh", "-c", "exit 3", code=8)
    for number, words in enumerate((("python3", "-u", "train.py"), ("python3", "trainer/task.py"),
                                    ("python3", "-m", "trainer.task"))):
        done = user("run", "--name", f"interpreted_{number}", *words, "--lr", "0.1")
        check('argv ["--lr", "0.1"]\n' in done.stdout, f"run {words}: {done.stdout}{done.stderr}")


def check_training(user):
    words = ("--module-name", "trainer.task", "--package-path", "trainer", "--stream-logs", "--",
             "--train_steps", "10")
    plain = user("jobs", "submit", "training", "plain_package", *words)
    check('argv ["--train_steps", "10"]' in plain.stdout, f"submit training: {plain.stdout}")
    (user.work / "setup.py").write_text(SETUP)
    built = user("ai-platform", "jobs", "submit", "training", "set_up", "--region", "us-central1",
                 "--staging-bucket", "gs://b", "--job-dir", "gs://team/set_up", "--scale-tier",
                 "basic", "--runtime-version", "2.1", *words)
    argv = json.loads(built.stdout.split("argv ", 1)[1].splitlines()[0]) if (
        "argv " in built.stdout) else []
    check(argv[:2] == ["--train_steps", "10"] and argv[2].startswith("--job-dir="),
          f"submit training with setup.py: {built.stdout}{built.stderr}")
    (user.work / "setup.py").unlink()
    two = user("jobs", "submit", "training", "two_ranks", "--worker-count", "1", *words)
    lines = [line for line in two.stdout.splitlines() if "argv" in line]
    check(sorted(line[:9] for line in lines) == ["[rank 0] ", "[rank 1] "],
          f"whose lines are these: {two.stdout}")
    whole = json.loads(user("jobs", "submit", "training", "whole", "-o", "json", *words[:4],
                            *words[5:]).stdout)
    check(whole["spec"].get("program", {}).get("pythonModule") == "trainer.task",
          f"submit -o json has no spec: {whole}")


def check_custom(user):
    user("ai", "custom-jobs", "create", "--display-name", "from_map", "--config", "config.yaml",
         "--region", "us-central1", "--stream")
    check('"--from", "config"' in user("logs", "from_map").stdout, "custom job from a single map")
    pool = ("--worker-pool-spec=replica-count=1,machine-type=n1-standard-4,"
            "python-module=trainer.task,local-package-path=trainer")
    user("custom-jobs", "create", "--display-name", "from_flags", pool, "--args=--a,1", "--stream")
    around = pool.replace("local-package-path=trainer", "local-package-path=.")
    user("custom-jobs", "create", "--display-name", "around", around, "--args=--b,2", "--stream")
    check('"--b", "2"' in user("custom-jobs", "stream-logs", "around").stdout, "package path .")
    check('"--a", "1"' in user("custom-jobs", "stream-logs", "from_flags").stdout, "custom flags")


def check_tuning(user):
    user("ai", "hp-tuning-jobs", "create", "--display-name", "tuned", "--config", "tuning.yaml",
         "--max-trial-count", "3", "--parallel-trial-count", "2", "--algorithm", "random-search",
         "--region", "us-central1", "--stream")
    trials = user.json("trials", "tuned")
    check([trial["id"] for trial in trials] == [1, 2, 3], f"trials: {trials}")
    best = user.json("best", "tuned")
    check(best.get("lastMetrics", {}).get("accuracy", 0) > 0.8, f"best: {best}")
    check("3/3" in user("jobs", "list").stdout, "the list does not count trials")
    listed = user("hp-tuning-jobs", "list", "-o", "name").stdout
    check(listed == "projects/default/jobs/tuned\n", f"hp-tuning-jobs list: {listed}")
    check("accuracy" in user("metrics", "tuned", "--trial", "2").stdout, "metrics of a trial")


def check_cancelled_trials(user):
    user("hp-tuning-jobs", "create", "ends", "--config", "sleeping.yaml", "--max-trial-count", "4",
         "--parallel-trial-count", "2")
    user("jobs", "wait", "ends", "--for", "running", "--timeout", "100s")
    user("hp-tuning-jobs", "cancel", "ends", "--wait")
    states = {row.split()[1] for row in user("trials", "ends").stdout.splitlines()[1:]}
    check(states <= {"CANCELLED", "INFEASIBLE"} and "CANCELLED" in states, f"trials: {states}")
    for words in (("best", "ends"), ("pull", "ends", "nowhere"), ("outputs", "ends")):
        said = user(*words, code=3).stderr
        check("ends ended as CANCELLED and no trial of it succeeded" in said, f"{words}: {said}")
    said = user("logs", "-f", "ends", code=8).stderr
    check("ends ended as CANCELLED" in said, f"logs -f: {said}")


def check_metrics(user):
    user("jobs", "submit", "training", "curve", "--module-name", "trainer.curve", "--package-path",
         "trainer", "--stream-logs")
    table = user("metrics", "curve").stdout
    rows = [line.split() for line in table.splitlines()]
    check(rows[0] == ["METRIC", "STEP", "LAST", "MIN", "MAX", "CURVE"], f"metrics: {table}")
    check(rows[2][:5] == ["loss", "50", "0.02", "0.02", "1"], f"metrics: {table}")
    check(user("metrics", "curve", "-o", "name").stdout == "accuracy\nloss\n", "metrics -o name")
    points = list(csv.DictReader(io.StringIO(
        user("metrics", "curve", "--metric", "loss", "-o", "csv").stdout)))
    check([float(p["VALUE"]) for p in points] == [1 / s for s in range(1, 51)], f"{points[:3]}")
    page = user("jobs", "describe", "curve").stdout
    check("metrics:\n" in page and "loss" in page, f"describe has no metrics: {page}")


def check_outputs(user):
    names = user("outputs", "script", "-o", "name").stdout
    check(names == "model/model.txt\n", f"outputs: {names}")
    check("trainyard pull script DIR" in user("jobs", "describe", "script").stdout, "describe")
    folders = user.json("pull", "script", "out")
    check([folder["kind"] for folder in folders] == ["model"], f"pull: {folders}")
    check((user.work / "out" / "model" / "model.txt").read_text() == "m", "pull")
    user("pull", "script", "out", code=4)
    user("pull", "script", "out", "--force")
    for words in (("pull", "script", "elsewhere"), ("outputs", "script")):
        user(*words, "--trial", "3", code=3)  # a plain job that has published something


def check_store(user):
    (user.work / "data.csv").write_text("1,2\n")
    user("store", "cp", "data.csv", "gs://team-data/in/step_10/")
    user("store", "cp", "data.csv", "gs://team-data/in/step_2/")
    listed = user("store", "ls", "gs://team-data/in/").stdout
    check(listed.index("step_2/") < listed.index("step_10/"), f"store ls: {listed}")
    user("store", "ls", "gs://team-data/none", code=3)
    user("store", "cp", "data.csv", "gs://team-data/in/")
    listed = user.json("store", "ls", "gs://team-data")
    check([item["name"] for item in listed] == ["in/data.csv", "in/step_10/data.csv",
                                              "in/step_2/data.csv"], f"store ls: {listed}")
    user("store", "cp", "gs://team-data/in/data.csv", "copy.csv")
    check((user.work / "copy.csv").read_text() == "1,2\n", "store cp")
    (user.work / "copy.csv").write_text("mine")
    user("store", "cp", "gs://team-data/in/data.csv", "copy.csv", code=4)
    check((user.work / "copy.csv").read_text() == "mine", "store cp replaced a file unasked")
    user("store", "cp", "gs://team-data/in/data.csv", "copy.csv", "--force")
    check((user.work / "copy.csv").read_text() == "1,2\n", "store cp --force")
    user("store", "cp", "trainer", "gs://team-data/", code=4)
    user("store", "cp", "a", "b", code=2)
    user("store", "cp", "gs://team-data/in/dat.csv", "copy.csv", code=3)


def check_shared_output(user):
    """Who publishes where something is already, or where another job will, is told so."""
    words = ("--module-name", "trainer.task", "--package-path", "trainer", "--job-dir")
    first = user("jobs", "submit", "training", "shares_1", *words, "gs://shared/out", "--hold")
    check("publishes into" not in first.stderr, f"alone there: {first.stderr}")
    second = user("jobs", "submit", "training", "shares_2", *words, "gs://shared/out/", "--hold")
    check("job shares_1 (QUEUED) publishes into gs://shared/out too" in second.stderr,
          f"two at once: {second.stderr}")
    user("jobs", "cancel", "shares_1", "shares_2", "--wait")
    user("store", "cp", "data.csv", "gs://shared/out/")
    third = user("jobs", "submit", "training", "shares_3", *words, "gs://shared/out", "--hold")
    check("gs://shared/out is not empty (gs://shared/out/data.csv)" in third.stderr,
          f"something is there: {third.stderr}")
    check("publishes into" not in third.stderr, f"the others have ended: {third.stderr}")
    user("jobs", "cancel", "shares_3", "--wait")


def check_settings(user):
    tiers = user("tiers").stdout
    for word in ("BASIC", "STANDARD_1", "4 workers", "PREMIUM_1", "CUSTOM"):
        check(word in tiers, f"tiers: {word} is missing in {tiers}")
    user("tiers", "set", "TINY", "--cores", "0.1", "--memory", "64MiB", "--request-id", "tiny")
    names = user("tiers", "list", "-o", "name").stdout.splitlines()
    check("TINY" in names, f"tiers set: {names}")
    user("run", "--scale-tier", "tiny", "-q", "/bin/true")
    user("projects", "create", "vision")
    check(user("projects", "-o", "name").stdout == "projects/default\nprojects/vision\n",
          "projects")
    user("run", "--project", "projects/vision", "--name", "there", "-q", "/bin/true")
    check(user("jobs", "list", "--project", "vision", "-o", "name").stdout ==
          "projects/vision/jobs/there\n", "a job in another project")
    user("jobs", "describe", "there", code=3)
    user("token", "create", "brief", "--ttl", "1s")
    wait_for("EXPIRED", lambda: "EXPIRED" in user("token", "list").stdout)
    version = user.json("version")
    check(version["client"]["version"] == version["server"]["version"], f"version: {version}")


def wait_for(what, condition):
    deadline = time.monotonic() + 90
    while not condition():
        if time.monotonic() > deadline:
            check(False, f"waited in vain: {what}")
            return
        time.sleep(0.1)


def check_pause(user):
    user("jobs", "submit", "training", "pausing", "--module-name", "trainer.slow",
         "--package-path", "trainer")
    user("jobs", "wait", "pausing", "--for", "running")
    paused = user.json("jobs", "pause", "pausing", "--request-id", "p1")
    check(paused and paused[0]["name"].endswith("/pausing"), f"pause: {paused}")
    wait_for("PAUSED", lambda: user.state("pausing") == "PAUSED")
    page = user("jobs", "describe", "pausing").stdout
    check("\ntime: " not in page, f"the time runs on while it rests: {page}")
    user("jobs", "wait", "pausing", "--timeout", "1s", code=7)
    user("jobs", "resume", "pausing")
    user("jobs", "wait", "pausing", "--for", "running")
    user("jobs", "cancel", "pausing", "--wait", "--reason", "enough")
    page = user("jobs", "describe", "pausing").stdout
    check("CANCELLED" in page and "enough" in page, f"cancelled: {page}")
    check("pause asked for" in page, f"timeline: {page}")


def check_waiting(user):
    """A job that fits no node: said while it is followed, exit status 9, still there."""
    big = ("custom-jobs", "create", "big", "--config", "config.yaml",
           "--worker-pool-spec=replica-count=1,accelerator-type=NVIDIA_H100_80GB,"
           "accelerator-count=8,python-module=trainer.task,local-package-path=trainer")
    done = user(*big, "--stream", code=9)
    check("no node has a GPU" in done.stderr and "trainyard jobs cancel big" in done.stderr,
          done.stderr)
    check(user.state("big") == "QUEUED", "a job without capacity does not wait")
    user("jobs", "wait", "big", code=9)
    user("jobs", "wait", "big", "--patient", "--timeout", "6s", code=7)
    check("NO_CAPACITY" in user("jobs", "why", "big").stdout, "why")
    user("jobs", "cancel", "big")
    (user.work / "short.yaml").write_text(CUSTOM + "scheduling: {maxWaitDuration: 1s}\ntrainyard: "
                                          "{resources: {gpus: 8}}\n")
    expired = user("custom-jobs", "create", "late", "--config", "short.yaml", "--stream",
                   "--patient", code=9)
    user("custom-jobs", "create", "big_alone", "--config", "short.yaml", code=9)
    check("EXPIRED" in expired.stderr, f"maxWait: {expired.stderr}")


def check_flood(user):
    begin = time.monotonic()
    done = user("run", "--name", "flood", "flood.py")
    took = time.monotonic() - begin
    lines = done.stdout.splitlines()
    check(len(lines) == 200000 and lines[-1].startswith("line 199999 "), f"{len(lines)} lines")
    print(f"200000 lines followed in {took:.1f} s")
    tail = user("jobs", "logs", "flood", "--tail", "3").stdout.splitlines()
    check([line.split()[1] for line in tail] == ["199997", "199998", "199999"], f"tail: {tail}")


def check_local_ended(user):
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        process = user.start("local", "train", "--module-name", "trainer.slow", "--package-path",
                             "trainer", start_new_session=True)
        check(process.stdout.readline() == "begins\n", "local train")
        process.send_signal(ending)
        process.communicate(timeout=60)
        check(process.returncode == -ending, f"local train after {ending}: {process.returncode}")
        alive = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        mine = [line for line in alive.stdout.splitlines() if str(user.folder) in line and
                "trainyard-local" in line]
        check(not mine, f"after {ending} there is still {mine}")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="trainyard-cli-") as folder:
        user = User(build, folder)
        check_local_ended(user)
        try:
            user("up")
            for part in (check_run, check_training, check_custom, check_tuning,
                         check_cancelled_trials, check_metrics, check_outputs, check_store,
                         check_shared_output, check_settings, check_pause, check_waiting,
                         check_flood):
                part(user)
        finally:
            user.run("down", "--kill")
    for failure in failures:
        print("FAILED", failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
