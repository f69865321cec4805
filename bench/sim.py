#!/usr/bin/env python3
"""The simulator's pace on one core: clusters of three sizes under every fault and all checkers."""
import json
import pathlib
import subprocess
import tempfile

import benchlib

SIZES = (4, 8, 24)  # agents
USUAL = 8  # of the command, and what the bar is for


def play(seed, agents, hours, folder):
    figures = pathlib.Path(folder) / "figures.json"
    words = f"run --seed {seed} --agents {agents} --hours {hours} --json {figures}".split()
    subprocess.run([str(benchlib.BIN / "trainyard-sim"), *words], check=True, capture_output=True)
    return json.loads(figures.read_text())


def main():
    args = benchlib.arguments(
        __doc__.splitlines()[0],
        seeds=(10, "histories of each size"),
        hours=(1.0, "simulated hours of each"),
    )
    report = benchlib.Report("simulator", args.json)
    usual = []
    with tempfile.TemporaryDirectory() as folder:
        for agents in SIZES:
            paces = []
            for seed in range(1, args.seeds + 1):
                figures = play(seed, agents, args.hours, folder)
                paces.append(figures["eventsPerSecond"])
            usual = paces if agents == USUAL else usual
            report.row(f"events a second, {agents} agents", paces, "/s", 0)
    report.bar(
        f"events a second of one core, {USUAL} agents, median",
        benchlib.percentile(usual, 0.5),
        at_least=500000,
    )
    report.close()


if __name__ == "__main__":
    main()
