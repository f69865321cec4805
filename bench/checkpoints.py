#!/usr/bin/env python3
"""Checkpoints: how long a training stands still for one of 1 GB, resuming from it beside reading
its bytes, and committed steps that are lost when a training is killed at random moments."""
import hashlib
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import tempfile
import time

import benchlib


def costs(report, size):
    with tempfile.TemporaryDirectory() as folder:
        program = str(benchlib.BENCH_BIN / "bench_checkpoint")
        out = subprocess.run(
            [program, folder, str(size), "3"], check=True, capture_output=True, text=True
        ).stdout
    numbers = json.loads(out)
    for key, name in (
        ("stall_s", "training stands still"),
        ("durable_s", "until it is durable"),
        ("processor_s", "processor time of all of it"),
        ("read_s", "its bytes are read"),
        ("resume_s", "it is read, verified and decoded"),
    ):
        report.row(f"{size >> 20} MiB: {name}", numbers[key], unit="s", digits=3)
    share = 100 * statistics.median(numbers["stall_s"]) / 60
    report.bar("once a minute, % of the time standing still", share, at_most=1)
    beyond = statistics.median(numbers["resume_s"]) - statistics.median(numbers["read_s"])
    report.bar("resuming, s beyond reading", beyond, at_most=2)


def newest(folder):
    """The newest step that is visible, whether it verifies or not."""
    found = [int(m[1]) for p in folder.glob("step_*") if (m := re.fullmatch(r"step_(\d+)", p.name))]
    return max(found, default=0)


def whole(folder):
    """Whether a checkpoint's files are those that its manifest names."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return all(
        hashlib.sha256((folder / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]
        for shard in manifest["shards"]
    )


def kills(report, count):
    """Kills a training again and again; whatever was committed must be there and whole."""
    source, lost, killed = random.Random(9), 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = folder / "data.csv"
        with open(data, "w", encoding="utf-8") as out:
            for _ in range(400):
                cells = ",".join(f"{source.gauss(0, 1):.3f}" for _ in range(16))
                out.write(f"{cells},{source.randrange(3)}\n")
        out = folder / "out"
        command = [str(benchlib.BIN / "trainyard-train"), f"--data={data}", "--epochs=1000000",
                   "--checkpoint_every=1", "--hidden=256,256", f"--job-dir={out}"]
        env = {k: v for k, v in os.environ.items() if not k.startswith("AIP_")}
        while killed < count:
            before = newest(out / "checkpoints")
            with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True) as run:
                deadline = time.monotonic() + 60
                while newest(out / "checkpoints") <= before and time.monotonic() < deadline:
                    time.sleep(0.002)  # it has resumed and committed again
                time.sleep(source.random() * 0.05)
                committed = newest(out / "checkpoints")
                run.kill()
                errors = run.communicate()[1]
            killed += 1
            step = newest(out / "checkpoints")
            good = step > before and whole(out / "checkpoints" / f"step_{step}")
            lost += step < committed or not good or "passed over" in errors
    report.figure("kills of a training that commits all the time", killed)
    report.bar("committed steps lost in these kills", lost, at_most=0)


def main():
    options = benchlib.arguments(__doc__, size=(1 << 30, "bytes"), kills=(200, "random kills"))
    report = benchlib.Report("checkpoints", options.json)
    costs(report, options.size)
    kills(report, options.kills)
    report.close()


if __name__ == "__main__":
    main()
