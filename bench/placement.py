#!/usr/bin/env python3
"""Placement: the default policy on two public traces against what it promises, one event to its
decision on 10,000 nodes with 100,000 waiting, a whole plan, memory, calibration of estimates."""
import json
import os
import pathlib
import subprocess
import tempfile

import benchlib

TRACES = pathlib.Path(os.environ.get("TRAINYARD_TRACES", benchlib.ROOT / "../shared/traces"))


def replay(trace, nodes, policy, *more):
    with tempfile.TemporaryDirectory() as folder:
        figures = pathlib.Path(folder) / "figures.json"
        subprocess.run(
            [
                str(benchlib.BIN / "trainyard-sim"),
                "replay",
                "--trace",
                str(TRACES / trace),
                "--nodes",
                str(nodes),
                "--policy",
                policy,
                "--restart-cost",
                "60",
                "--json",
                str(figures),
                *more,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return json.loads(figures.read_text())


def steady(report):
    out = replay("itp-cluster04.csv", 72, "las-r")
    jobs = 15802
    report.bar("ITP-04 @ 72x8: average completion time, s", out["averageJct"], at_most=21900)
    report.bar("ITP-04: wait of gangs over nodes, s", out["multiNodeWait"], at_most=25500)
    report.bar("ITP-04: worst wait, s", out["worstWait"], at_most=130000)
    report.bar("ITP-04: preemptions a job", out["preemptions"] / jobs, at_most=0.35)
    walls = [replay("itp-cluster04.csv", 72, "las-r")["wallSeconds"] for _ in range(3)]
    report.bar("ITP-04: time of the replay, s", min(walls), at_most=1)


def overloaded(report):
    out = replay("itp-cluster03.csv", 20, "las-r")
    report.bar("ITP-03 @ 20x8: average completion time, s", out["averageJct"], at_most=130000)
    report.bar("ITP-03: wait of gangs over nodes, s", out["multiNodeWait"], at_most=110000)
    report.bar("ITP-03: worst wait, s", out["worstWait"], at_most=880000)
    off = replay("itp-cluster03.csv", 20, "las-r", "--set", "aging=0")
    report.bar("ITP-03, no promises: average, s", off["averageJct"], at_most=80000)


def estimates(report):
    for trace, nodes in (("itp-cluster04.csv", 72), ("itp-cluster03.csv", 20)):
        out = replay(trace, nodes, "las-r", "--estimates")
        met = 100 * out["estimatesMet"] / max(1, out["estimates"])
        name = f"{trace}: {out['estimates']} starts, % in their 80 % band"
        report.bar(name, met, at_least=75)
        report.bar(name, met, at_most=85)


def peers(report):
    for trace, nodes in (("itp-cluster04.csv", 72), ("itp-cluster03.csv", 20)):
        for policy in ("fifo", "easy", "las", "srsf", "las-r"):
            out = replay(trace, nodes, policy)
            report.figure(
                f"{trace}: {policy}",
                out["averageJct"],
                f"s average, gangs wait {out['multiNodeWait']:.0f}, worst {out['worstWait']},"
                f" {out['preemptions']} preemptions, p99 {out['p99']:.0f}",
            )


def main():
    args = benchlib.arguments(
        "placement",
        nodes=(10000, "nodes of 8 GPUs"),
        waiting=(100000, "waiting runs"),
        events=(4000, "timed events"),
    )
    report = benchlib.Report("placement", args.json)
    if (TRACES / "itp-cluster04.csv").exists():
        steady(report)
        overloaded(report)
        estimates(report)
        if not args.quick:
            peers(report)
    else:
        report.skip("public traces", f"not at {TRACES}; set TRAINYARD_TRACES")
    out = json.loads(
        subprocess.run(
            [
                str(benchlib.BENCH_BIN / "placement_load"),
                f"--nodes={args.nodes}",
                f"--waiting={args.waiting}",
                f"--events={args.events}",
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    )
    scale = f"{out['nodes']} nodes, {out['waiting']} waiting"
    report.bar(f"one event to its decision, p50, ms ({scale})", out["eventP50Ms"], at_most=0.2)
    report.bar("one event to its decision, p99, ms", out["eventP99Ms"], at_most=5)
    report.figure("one event to its decision, max", out["eventMaxMs"], "ms")
    report.bar("plan over all that wait, ms", out["planAllMs"], at_most=250)
    report.figure("estimated start of all that wait", out["estimateAllMs"], "ms")
    report.bar("memory of a waiting run, bytes", out["bytesPerWaitingJob"], at_most=400)
    report.close()


if __name__ == "__main__":
    main()
