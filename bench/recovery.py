#!/usr/bin/env python3
"""What faults cost: memory and restart of a scheduler with many waiting jobs, and how soon a dead
rank or a lost host is seen and its gang stopped.
"""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import benchlib
import multinode

PYTHON = "/usr/bin/python3"
# Writes its pid, then stays.
STAYS = ("import os, sys, time\n"
         "open(sys.argv[1] + '.' + os.environ['RANK'], 'w').write(f'{os.getpid()}\\n')\n"
         "time.sleep(600)\n")


def memory_of(pid):
    """Resident MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"{pid} has no resident memory")


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
    stays = [PYTHON, "-c", STAYS, f"{folder}/resident"]
    resident = benchlib.submit(cluster, folder, "resident", stays)
    pid = int(benchlib.wait_for(f"{folder}/resident.0"))
    times = []
    for _ in range(repeats):
        os.kill(cluster.pid("scheduler"), signal.SIGKILL)
        seconds_until_gone([cluster.pid("scheduler")], time.perf_counter())
        begin = time.perf_counter()
        # The dead one's threads may hold the lock of its folder for a moment longer.
        while cluster.run("up").returncode and time.perf_counter() - begin < 60:
            time.sleep(0.01)
        cluster.run("jobs", "describe", resident, check=True)
        times.append((time.perf_counter() - begin) * 1e3)
    job = benchlib.describe(cluster, resident)
    untouched = is_alive(pid) and job["state"] == "RUNNING" and len(job["attempts"]) == 1
    return times, untouched


def many_jobs(report, jobs, repeats, folder):
    with benchlib.Cluster() as cluster:
        time.sleep(1)
        empty = memory_of(cluster.pid("scheduler"))
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
        full = memory_of(cluster.pid("scheduler"))
        times, untouched = restart(cluster, folder, repeats)
        again = memory_of(cluster.pid("scheduler"))
        # An orderly end would cancel every waiting job first.
        cluster.run("jobs", "cancel", "resident")
        cluster.run("jobs", "wait", "resident", "-q", "--timeout", "60s")
        cluster.run("down")
    report.figure("scheduler without jobs", empty, "MiB")
    report.bar(f"more with {jobs} waiting jobs, MiB", max(full, again) - empty, at_most=95.3)
    report.row(f"killed with {jobs} jobs: start to first answers", times)
    report.bar("median of those, s", benchlib.percentile(times, 0.5) / 1e3, at_most=1)
    report.bar("running programs untouched by it (1: yes)", int(untouched), at_least=1)


def wait_for_end(name, env):
    """A client that waits for the job's end, and follows it by now."""
    waiter = subprocess.Popen(
        [str(benchlib.BIN / "trainyard"), "jobs", "wait", name, "-q"],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(0.2)
    return waiter


def dead_ranks(report, count, folder):
    stopped, told, right = [], [], 0
    with benchlib.Cluster() as cluster:
        for i in range(count):
            prefix = f"{folder}/gang{i}"
            stays = [PYTHON, "-c", STAYS, prefix]
            name = benchlib.submit(cluster, folder, f"gang{i}", stays, ranks=3)
            pids = [int(benchlib.wait_for(f"{prefix}.{rank}")) for rank in range(3)]
            cluster.run("jobs", "wait", name, "--for", "running", check=True)
            waiter = wait_for_end(name, cluster.env)
            begin = time.perf_counter()
            os.kill(pids[i % 3], signal.SIGKILL)
            stopped.append(seconds_until_gone(pids, begin) * 1e3)
            waiter.wait(timeout=60)
            told.append((time.perf_counter() - begin) * 1e3)
            right += benchlib.describe(cluster, name)["error"].get("rank", 0) == i % 3
    report.row("a rank of three killed: all of its gang gone", stopped)
    report.row("a rank of three killed: a waiting client told", told)
    report.bar("slowest of those to the gang's stop, ms", max(stopped), at_most=200)
    report.bar("first failing rank named right, share", right / count, at_least=0.99)


def names_lost(nodes, name, lost):
    """Whether the job that has ended says which node was lost."""
    job = json.loads(nodes.client("jobs", "describe", name, "-o", "json"))
    error = job.get("error", {})
    return error.get("cause") == "NODE_LOST" and error.get("node") == lost


def lost_hosts(report, count, lease, folder):
    """A gang over two nodes, the link of the one goes down: the rank on the other must end."""
    why_not = multinode.why_not()
    if why_not:
        report.skip(f"a host of two lost, lease {lease}", why_not, promised=True)
        return
    gone, told, right = [], [], 0
    with multinode.Network() as network, multinode.Nodes(network, f"--lease={lease}") as nodes:
        for i in range(count):
            nodes.await_ready()
            prefix = f"{folder}/wide{lease}{i}"
            config = pathlib.Path(folder) / "wide.json"
            config.write_text(
                json.dumps(
                    {
                        "workerPoolSpecs": [{"replicaCount": 2}],
                        "trainyard": {
                            "command": [PYTHON, "-c", STAYS, prefix],
                            "resources": {"cpu": 1},
                            "infrastructureRetries": 0,
                        },
                    }
                )
            )
            name = f"wide{i}"
            nodes.client("custom-jobs", "create", name, "--config", str(config), "-q")
            pids = [int(benchlib.wait_for(f"{prefix}.{rank}")) for rank in range(2)]
            nodes.client("jobs", "wait", name, "--for", "running")
            waiter = wait_for_end(name, nodes.env)
            lost = i % 2
            kept = [pid for pid in pids if not network.holds(lost, pid)]
            begin = time.perf_counter()
            network.link(lost, "down")
            gone.append(seconds_until_gone(kept, begin) * 1e3)
            waiter.wait(timeout=60)
            told.append((time.perf_counter() - begin) * 1e3)
            right += names_lost(nodes, name, f"n{lost}")
            network.link(lost, "up")
            seconds_until_gone(pids, begin)
    report.row(f"a host of two lost, lease {lease}: its gang gone", gone)
    report.row(f"a host of two lost, lease {lease}: a waiting client told", told)
    report.bar("slowest of those to the gang's stop, s", max(gone) / 1e3, at_most=3)
    report.bar("slowest of those to the cause told, s", max(told) / 1e3, at_most=3)
    report.bar("the lost host named, share", right / count, at_least=0.99)


def main():
    args = benchlib.arguments(
        __doc__.splitlines()[0],
        jobs=(100000, "waiting jobs"),
        repeats=(3, "restarts"),
        gangs=(20, "killed ranks"),
        hosts=(4, "lost hosts"),
    )
    report = benchlib.Report("faults and recovery", args.json)
    with tempfile.TemporaryDirectory() as folder:
        many_jobs(report, args.jobs, args.repeats, folder)
        dead_ranks(report, args.gangs, folder)
        lost_hosts(report, args.hosts, "15s", folder)
    report.close()


if __name__ == "__main__":
    main()
