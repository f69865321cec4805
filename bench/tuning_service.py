#!/usr/bin/env python3
"""What tuning costs as a service: ask and tell of one client and of a thousand on one study, a
suggestion by length of the history, a hundred thousand trials in memory and after a restart."""
import json
import os
import re
import signal
import subprocess
import time

import benchlib
from recovery import memory_of, seconds_until_gone

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(cluster, **flags):
    words = [f"--{name}={value}" for name, value in flags.items()]
    done = subprocess.run(
        [str(benchlib.BENCH_BIN / "study_load"), f"--state={cluster.state}", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def one_client(report, history, pairs, repeats):
    times, scheduler = [], []
    for _ in range(repeats):
        with benchlib.Cluster() as cluster:
            load(cluster, algorithm="TPE", fill=history, clients=1, pairs=1)
            before = cpu_seconds(cluster.pid("scheduler"))
            times.append(load(cluster, clients=1, pairs=pairs)["ask_tell_ms"]["p50"])
            after = cpu_seconds(cluster.pid("scheduler"))
            scheduler.append(max(after - before, 1 / TICKS) * 1e3 / pairs)  # a tick at least
    report.row(f"ask and tell, one client, durable, TPE at {history} trials", times, digits=2)
    report.row("  the scheduler's processor time of one", scheduler, digits=2)
    report.bar("median, ms", benchlib.percentile(times, 0.5), at_most=3)


def many_clients(report, algorithm, clients, pairs, repeats, least):
    rates, by_cpu, slowest, errors, twice = [], [], [], 0, 0
    for _ in range(repeats):
        with benchlib.Cluster() as cluster:
            pid = cluster.pid("scheduler")
            load(cluster, algorithm=algorithm, clients=1, pairs=1)
            before = cpu_seconds(pid)
            result = load(cluster, clients=clients, pairs=pairs)
            by_cpu.append(2 * result["pairs"] / max(cpu_seconds(pid) - before, 1 / TICKS))
            rates.append(result["per_second"])
            slowest.append(max(result["ask_ms"]["p99"], result["ask_tell_ms"]["p99"]))
            errors += result["errors"]
            twice += result["duplicates"]
    report.row(f"{clients} clients on one study, {algorithm}: asks and tells", rates, "/s", 0)
    report.row("  the same by processor time of the scheduler, 2 cores", by_cpu, "/s", 0)
    report.row("  99th percentile of an ask and its tell", slowest)
    report.bar(f"{algorithm}: median, ask+tell/s", benchlib.percentile(rates, 0.5), at_least=least)
    report.bar(f"{algorithm}: 99th percentile, ms", benchlib.percentile(slowest, 0.5), at_most=500)
    report.bar(f"{algorithm}: errors and trials handed out twice", errors + twice, at_most=0)


def reopened(cluster, study):
    """Seconds from the start of a scheduler, killed before, to a new suggestion."""
    pid = cluster.pid("scheduler")
    os.kill(pid, signal.SIGKILL)
    seconds_until_gone([pid], time.perf_counter())
    begin = time.perf_counter()
    while cluster.run("up").returncode and time.perf_counter() - begin < 60:
        time.sleep(0.01)
    cluster.run("study", "ask", study, "--client-id", "after", check=True)
    return time.perf_counter() - begin


def large_study(report, trials, repeats):
    with benchlib.Cluster() as cluster:
        time.sleep(1)
        empty = memory_of(cluster.pid("scheduler"))
        load(cluster, study="large", algorithm="RANDOM", parameters=10, fill=trials, clients=1,
             pairs=1)
        time.sleep(3)  # rows are written in the background
        full = memory_of(cluster.pid("scheduler"))
        times = [reopened(cluster, "large") * 1e3 for _ in range(repeats)]
        again = memory_of(cluster.pid("scheduler"))
    report.figure("scheduler without studies", empty, "MiB")
    name = f"with {trials} trials of 10 parameters, then reopened"
    report.figure(name, again, f"MiB, was {full:.0f}")
    report.bar("most of the two, MB", max(full, again) * 1.048576, at_most=120)
    report.row("killed: start to the next suggestion", times)
    report.bar("median of those, s", benchlib.percentile(times, 0.5) / 1e3, at_most=1)


def suggestions(report, algorithm, bars, repeats):
    """Processor time of one suggestion, as tuning_latency counts it."""
    times = {}
    for _ in range(repeats):
        out = subprocess.run(
            [
                str(benchlib.BENCH_BIN / "tuning_latency"),
                f"--algorithm={algorithm}",
                "--sizes=" + ",".join(map(str, bars)),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for size, text in re.findall(r"(\d+) trials: p50 +([\d.]+) ms", out):
            times.setdefault(int(size), []).append(float(text))
    for size, bar in bars.items():
        name = "default" if algorithm == "ALGORITHM_UNSPECIFIED" else algorithm
        report.row(f"a suggestion at {size} trials, {name}, processor time", times[size], digits=3)
        report.bar("median, ms", benchlib.percentile(times[size], 0.5), at_most=bar)


def importance(report, repeats):
    times = []
    for _ in range(repeats):
        out = subprocess.run(
            [str(benchlib.BENCH_BIN / "tuning_latency"), "--importance"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        times.append(float(re.search(r"p50 ([\d.]+) ms", out).group(1)))
    report.row("importance of 30 parameters over 10000 trials, processor time", times)
    report.bar("median, ms", benchlib.percentile(times, 0.5), at_most=200)


def main():
    args = benchlib.arguments(
        __doc__,
        repeats=(3, "repeats"),
        history=(1000, "trials before one client is timed"),
        pairs=(500, "asks and tells of one client"),
        clients=(1000, "clients on one study"),
        tpe_pairs=(20000, "asks and tells of all clients, TPE"),
        random_pairs=(50000, "the same, random"),
        trials=(100000, "trials of the large study"),
    )
    report = benchlib.Report("tuning as a service", args.json)
    one_client(report, args.history, args.pairs, args.repeats)
    many_clients(report, "TPE", args.clients, args.tpe_pairs, args.repeats, 1500)
    many_clients(report, "RANDOM", args.clients, args.random_pairs, args.repeats, 5000)
    large_study(report, args.trials, args.repeats)
    suggestions(report, "GP", {100: 5, 500: 60, 1000: 200}, args.repeats)
    suggestions(report, "ALGORITHM_UNSPECIFIED", {10000: 1, 100000: 5}, args.repeats)
    importance(report, args.repeats)
    report.close()


if __name__ == "__main__":
    main()
