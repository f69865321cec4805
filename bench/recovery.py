#!/usr/bin/env python3
"""What faults cost: memory and restart of a scheduler with many waiting jobs, how soon a dead rank
is seen and its gang stopped, and how often the cause of an end is told right.
"""
import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import benchlib

PYTHON = "/usr/bin/python3"
# Writes its pid, then stays.
STAYS = ("import os, sys, time\n"
         "open(sys.argv[1] + '.' + os.environ['RANK'], 'w').write(f'{os.getpid()}\\n')\n"
         "time.sleep(600)\n")


def pid_of(cluster, daemon):
    return int((pathlib.Path(cluster.state) / "run" / f"{daemon}.pid").read_text().split()[0])


def memory_of(pid):
    """Resident MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{pid} has no resident memory")


def submit(cluster, folder, name, command, ranks=1, **settings):
    """A job of `ranks` replicas that runs `command` once; its settings as in a spec's `trainyard`
    section."""
    config = pathlib.Path(folder) / f"{name}.json"
    config.write_text(
        json.dumps(
            {
                "workerPoolSpecs": [{"replicaCount": ranks}],
                "trainyard": {"command": command, "resources": {"cpu": 0.1}, **settings},
            }
        )
    )
    cluster.run("custom-jobs", "create", name, "--config", str(config), "-q", check=True)
    return name


def describe(cluster, name):
    return json.loads(cluster.run("jobs", "describe", name, "-o", "json", check=True).stdout)


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def seconds_until_gone(pids, begin, limit=60):
    while any(map(is_alive, pids)) and time.perf_counter() - begin < limit:
        time.sleep(0.001)
    return time.perf_counter() - begin


def restart(cluster, folder, repeats):
    """Seconds from the start of a scheduler, killed before, to its first answers."""
    resident = submit(cluster, folder, "resident", [PYTHON, "-c", STAYS, f"{folder}/resident"])
    pid = int(benchlib.wait_for(f"{folder}/resident.0"))
    times = []
    for _ in range(repeats):
        os.kill(pid_of(cluster, "scheduler"), signal.SIGKILL)
        seconds_until_gone([pid_of(cluster, "scheduler")], time.perf_counter())
        begin = time.perf_counter()
        # The dead one's threads may hold the lock of its folder for a moment longer.
        while cluster.run("up").returncode and time.perf_counter() - begin < 60:
            time.sleep(0.01)
        cluster.run("jobs", "describe", resident, check=True)
        times.append((time.perf_counter() - begin) * 1e3)
    job = describe(cluster, resident)
    untouched = is_alive(pid) and job["state"] == "RUNNING" and len(job["attempts"]) == 1
    return times, untouched


def many_jobs(report, jobs, repeats, folder):
    with benchlib.Cluster() as cluster:
        time.sleep(1)
        empty = memory_of(pid_of(cluster, "scheduler"))
        subprocess.run(
            [
                str(benchlib.BENCH_BIN / "submit_rate"),
                f"--state={cluster.state}",
                f"--count={jobs}",
            ],
            check=True,
            capture_output=True,
        )
        time.sleep(3)  # rows are written in the background
        full = memory_of(pid_of(cluster, "scheduler"))
        times, untouched = restart(cluster, folder, repeats)
        again = memory_of(pid_of(cluster, "scheduler"))
        # An orderly end would cancel every waiting job first.
        cluster.run("jobs", "cancel", "resident")
        cluster.run("jobs", "wait", "resident", "-q", "--timeout", "60s")
        cluster.run("down")
    report.figure("scheduler without jobs", empty, "MiB")
    report.bar(f"more with {jobs} waiting jobs, MiB", max(full, again) - empty, at_most=95.3)
    report.row(f"killed with {jobs} jobs: start to first answers", times)
    report.bar("median of those, s", benchlib.percentile(times, 0.5) / 1e3, at_most=1)
    report.bar("running programs untouched by it (1: yes)", int(untouched), at_least=1)


def dead_ranks(report, count, folder):
    stopped, told, right = [], [], 0
    with benchlib.Cluster() as cluster:
        for i in range(count):
            prefix = f"{folder}/gang{i}"
            name = submit(cluster, folder, f"gang{i}", [PYTHON, "-c", STAYS, prefix], ranks=3)
            pids = [int(benchlib.wait_for(f"{prefix}.{rank}")) for rank in range(3)]
            cluster.run("jobs", "wait", name, "--for", "running", check=True)
            waiter = subprocess.Popen(
                [str(benchlib.BIN / "trainyard"), "jobs", "wait", name, "-q"],
                env=cluster.env,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(0.2)  # it follows by now
            begin = time.perf_counter()
            os.kill(pids[i % 3], signal.SIGKILL)
            stopped.append(seconds_until_gone(pids, begin) * 1e3)
            waiter.wait(timeout=60)
            told.append((time.perf_counter() - begin) * 1e3)
            right += describe(cluster, name)["error"].get("rank", 0) == i % 3
    report.row("a rank of three killed: all of its gang gone", stopped)
    report.row("a rank of three killed: a waiting client told", told)
    report.bar("median to the gang's stop, ms", benchlib.percentile(stopped, 0.5), at_most=200)
    report.bar("first failing rank named right, share", right / count, at_least=0.99)


# Fault -> command, cause, what the message must hold, settings.
FAULTS = {
    "exit code 3": (["sh", "-c", "echo the sum is wrong >&2; exit 3"], "USER_ERROR",
                    "the sum is wrong", {}),
    "exception": ([PYTHON, "-c", "raise ValueError('no such column')"], "USER_ERROR",
                  "no such column", {}),
    "segmentation fault": (["sh", "-c", "kill -SEGV $$"], "USER_ERROR", "SIGSEGV", {}),
    "killed from outside": (["sh", "-c", "kill -KILL $$"], "USER_ERROR", "SIGKILL", {}),
    "memory refused": ([PYTHON, "-c", "import resource\n"
                        "resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\n"
                        "bytearray(1 << 30)"], "OOM_HOST", "memory", {}),
    "module missing": ([PYTHON, "-c", "import no_such_module"], "USER_ERROR", "no_such_module",
                       {}),
    "argument refused": ([PYTHON, "-c", "import argparse\n"
                          "argparse.ArgumentParser().parse_args(['--job-dir=x'])"], "USER_ERROR",
                         "--job-dir", {}),
    "interpreter missing": (["FOLDER/program"], "LAUNCH", "program", {}),
    "time limit": (["sleep", "600"], "TIMED_OUT", "time limit",
                   {"timeout": "1s", "grace": "1s"}),
    "device memory": (["sh", "-c", "echo RuntimeError: CUDA out of memory >&2; exit 1"],
                      "OOM_DEVICE", "memory", {}),
}


def cause_is_right(cluster, folder, name, fault):
    command, cause, words, settings = FAULTS[fault]
    command = [word.replace("FOLDER", folder) for word in command]
    submit(cluster, folder, name, command, **settings)
    cluster.run("jobs", "wait", name, "-q", "--timeout", "120s")
    error = describe(cluster, name).get("error", {})
    return error.get("cause") == cause and words in error.get("message", "")


def causes(report, count, folder):
    program = pathlib.Path(folder) / "program"  # that it is not there would be seen at submit
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    with benchlib.Cluster() as cluster, concurrent.futures.ThreadPoolExecutor(8) as pool:
        for number, fault in enumerate(FAULTS):
            runs = [
                pool.submit(cause_is_right, cluster, folder, f"f{number}_{i}", fault)
                for i in range(count)
            ]
            share = sum(run.result() for run in runs) / count
            report.bar(f"cause told right: {fault}, share of {count}", share, at_least=0.99)


def main():
    args = benchlib.arguments(
        __doc__.splitlines()[0],
        jobs=(100000, "waiting jobs"),
        repeats=(3, "restarts"),
        gangs=(20, "killed ranks"),
        faults=(100, "faults of each kind"),
    )
    report = benchlib.Report("faults and recovery", args.json)
    with tempfile.TemporaryDirectory() as folder:
        many_jobs(report, args.jobs, args.repeats, folder)
        dead_ranks(report, args.gangs, folder)
        causes(report, args.faults, folder)
    report.close()


if __name__ == "__main__":
    main()
