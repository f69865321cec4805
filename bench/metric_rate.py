#!/usr/bin/env python3
"""Whether metrics disturb submits: the time of a durable submit on a quiet cluster, and while two
jobs report 10,000 metric points/s between them through the reporter, in turn."""
import csv
import io
import json
import pathlib
import subprocess
import tempfile
import time

import benchlib

# Five metrics a call, 1,000 calls/s. It prints what it reached, once it was told to end.
REPORTER = """
import os, sys, time, trainyard
begin = time.monotonic()
step = 0
while not os.path.exists(sys.argv[1]):
    step += 1
    trainyard.report(step, a=step, b=step, c=step, d=step, e=step)
    ahead = begin + step / 1000 - time.monotonic()
    if ahead > 0.002:
        time.sleep(ahead)
print("points/s", step * 5 / (time.monotonic() - begin), "last step", step, flush=True)
"""


def submits(cluster, count):
    out = subprocess.run(
        [
            str(benchlib.BENCH_BIN / "submit_latency"),
            f"--state={cluster.state}",
            f"--count={count}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [float(line) for line in out.split()]


class Reporters:
    """Two jobs that report for as long as the block lasts."""

    def __init__(self, cluster, folder, rounds):
        self.cluster, self.jobs, self.points, self.stored = cluster, [], [], []
        self.stop = pathlib.Path(folder) / f"stop-{rounds}"
        self.script = pathlib.Path(folder) / "report.py"
        self.script.write_text(REPORTER)

    def __enter__(self):
        for _ in range(2):
            words = ["run", "-d", "-o", "name", str(self.script), str(self.stop)]
            self.jobs.append(self.cluster.run(*words, check=True).stdout.strip())
        for job in self.jobs:
            while json.loads(self.cluster.run("jobs", "describe", job, "-o", "json").stdout)[
                "state"
            ] in ("QUEUED", "PREPARING"):
                time.sleep(0.05)
        time.sleep(1)
        return self

    def __exit__(self, *unused):
        self.stop.touch()
        for job in self.jobs:
            self.cluster.run("jobs", "wait", job, check=True)
            words = self.cluster.run("logs", job, check=True).stdout.split()
            self.points.append(float(words[words.index("points/s") + 1]))
            words_of = ["metrics", job, "--metric", "e", "-o", "csv"]
            table = self.cluster.run(*words_of, check=True).stdout
            last = max(int(row["STEP"]) for row in csv.DictReader(io.StringIO(table)))
            self.stored.append(last / int(words[words.index("step") + 1]))


def main():
    args = benchlib.arguments(__doc__, count=(500, "submits a round"), rounds=(3, "rounds"))
    report = benchlib.Report("submits beside 10,000 metric points/s", args.json)
    quiet, busy, points, stored = [], [], [], []
    with benchlib.Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        submits(cluster, 50)
        for index in range(args.rounds):
            quiet += submits(cluster, args.count)
            reporters = Reporters(cluster, folder, index)
            with reporters:
                busy += submits(cluster, args.count)
            points.append(sum(reporters.points))
            stored += reporters.stored
    report.row("metric points reported", points, "/s", 0)
    report.row("a durable submit, no metrics", quiet, digits=2)
    report.row("a durable submit beside the metrics", busy, digits=2)
    report.bar("points/s, least of the rounds", min(points), at_least=9900)
    report.bar("last step in the store / last step reported", min(stored), at_least=1)
    report.bar(
        "p99 beside the metrics / p99 without",
        benchlib.percentile(busy, 0.99) / benchlib.percentile(quiet, 0.99),
        at_most=2,
    )
    report.close()


if __name__ == "__main__":
    main()
