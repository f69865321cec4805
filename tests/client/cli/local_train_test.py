#!/usr/bin/env python3
"""`trainyard local train` with the real supervisor.

Argv and environment as a job gets them, exit codes, the account of a refused argument, two ranks
under mpirun.

Usage: local_train_test.py BUILD_FOLDER
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TASK = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "rank": os.environ["RANK"], "cwd": os.getcwd(),
                  "job_dir": os.environ["TRAINYARD_JOB_DIR"]}))
print("to stderr", file=sys.stderr)
open(os.path.join(os.environ["AIP_MODEL_DIR"], "model.txt"), "w").write("m")
if "--fail" in sys.argv:
    sys.exit(3)
"""
STRICT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
print(parser.parse_args())
"""
failures = []


def check(good, what):
    if not good:
        failures.append(what)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder, "proj")
        package = project / "trainer"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "task.py").write_text(TASK)
        (package / "strict.py").write_text(STRICT)
        environment = dict(os.environ, HOME=folder, TMPDIR=folder, OMPI_ALLOW_RUN_AS_ROOT="1",
                           OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")

        def train(*words):
            return subprocess.run(
                [str(build / "bin" / "trainyard"), "local", "train", "--package-path", "trainer",
                 *words], cwd=project, env=environment, capture_output=True, text=True, timeout=100)

        plain = train("--module-name", "trainer.task", "--job-dir", "out", "--",
                      "--train_steps", "10", "a b")
        check(plain.returncode == 0, f"plain run: {plain.returncode} {plain.stderr}")
        said = json.loads(plain.stdout.splitlines()[0]) if plain.stdout else {}
        check(said.get("argv", [])[:3] == ["--train_steps", "10", "a b"], f"argv {said}")
        check(said.get("argv", [""])[-1] == f"--job-dir={said.get('job_dir')}",
              f"job dir {said}")
        check(os.path.realpath(said.get("cwd", "/")) == os.path.realpath(project),
              f"work folder {said}")
        check("to stderr" in plain.stderr and "to stderr" not in plain.stdout, "streams are mixed")
        check("outputs:" in plain.stderr, "the outputs are not named")
        check((project / "out").is_dir(), "a local job dir is not made")

        failed = train("--module-name", "trainer.task", "--", "--fail")
        check(failed.returncode == 8, f"failing run: {failed.returncode}")
        check("exit code 3" in failed.stderr, f"failing run: {failed.stderr}")

        refused = train("--module-name", "trainer.strict", "--job-dir", "out", "--", "--steps", "1")
        check(refused.returncode == 8, f"refused argument: {refused.returncode}")
        check("--job-dir" in refused.stderr, f"refused argument: {refused.stderr}")

        absent = train("--module-name", "trainer.tusk")
        check(absent.returncode == 4 and "trainer.task" in absent.stderr,
              f"absent module: {absent.stderr}")

        if shutil.which("mpirun"):
            gang = train("--module-name", "trainer.task", "--distributed", "2")
            ranks = sorted(line.split("]")[0] for line in gang.stdout.splitlines())
            check(gang.returncode == 0, f"gang: {gang.returncode} {gang.stderr}")
            check(ranks == ["[rank 0", "[rank 1"], f"gang: {gang.stdout}")
        else:
            print("skipped: two ranks, because mpirun is not installed")
    for failure in failures:
        print("FAILED", failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
