#!/usr/bin/env python3
"""Samples a second of trainyard-train on 2 ranks against PyTorch DDP over Gloo: the same models,
batch, threads and data, in turn; ranks run where the system puts them, as those of a job do. And
how much of the reduction of gradients a backward pass hides that leaves its core free.
"""
import json
import os
import pathlib
import random
import re
import socket
import statistics
import subprocess
import tempfile

import benchlib

PYTHON = "/usr/bin/python3"  # which has Debian's torch
BATCH = 256
RANKS = 2
LAUNCH = ["mpirun", "-np", str(RANKS), "--oversubscribe", "--bind-to", "none", "--mca", "btl",
          "self,vader"]


def environment(**more):
    return dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                OMP_NUM_THREADS="1", **more)


def ours(data, model, epochs):
    command = [*LAUNCH, str(benchlib.BIN / "trainyard-train"), f"--data={data}", f"--model={model}",
               f"--batch_size={BATCH}", f"--epochs={epochs}", "--checkpoint_every=0",
               "--hidden=" + ("512,512" if model == "mlp" else "64")]
    out = subprocess.run(command, env=environment(), check=True, capture_output=True,
                         text=True).stdout
    return [float(number) for number in re.findall(r"(\d+) samples/s", out)]


def theirs(data, model, epochs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = str(benchlib.ROOT / "bench/peers/ddp.py")
    ranks = [
        subprocess.Popen(
            [PYTHON, script, data, model, str(BATCH), str(epochs)],
            env=environment(RANK=str(rank), WORLD_SIZE=str(RANKS), MASTER_ADDR="127.0.0.1",
                            MASTER_PORT=str(port)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(RANKS)
    ]
    said = [rank.communicate() for rank in ranks]
    if any(rank.returncode for rank in ranks):
        raise RuntimeError(said[0][1] + said[1][1])
    return [float(line) for line in said[0][0].split()]


def hidden(report, rounds):
    """A backward pass of 16 layers that computes elsewhere; 64 MB of gradients."""
    command = [*LAUNCH, str(benchlib.BENCH_BIN / "bench_overlap"), "16", "1000000", "2",
               str(rounds)]
    numbers = json.loads(subprocess.run(command, env=environment(), check=True,
                                        capture_output=True, text=True).stdout)
    end, exposed = ([1e3 * s for s in numbers[key]] for key in ("at_end_s", "exposed_s"))
    report.row("gradients reduced behind the backward pass", end, digits=2)
    report.row("what is left of it when they are reduced meanwhile", exposed, digits=2)
    # By medians or minima, whichever other load on the machine disturbed less.
    share = max(1 - statistics.median(exposed) / statistics.median(end),
                1 - min(exposed) / min(end))
    report.bar("communication hidden where a core is free, %", 100 * share, at_least=80)


def why_no_peer():
    done = subprocess.run([PYTHON, "-c", "import torch.distributed as d; assert d.is_available()"],
                          capture_output=True, check=False)
    return None if done.returncode == 0 else "PyTorch is not installed (python3-torch)"


def main():
    options = benchlib.arguments(__doc__, rows=(10000, "rows of 784 features"), rounds=(3, "turns"))
    report = benchlib.Report("training steps of 2 ranks beside PyTorch DDP", options.json)
    hidden(report, 5 * options.rounds)
    missing = "a quick run has no peer" if options.quick else why_no_peer()
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data.csv"
        source = random.Random(3)
        with open(data, "w", encoding="utf-8") as out:
            for row in range(options.rows):
                cells = ",".join(f"{source.random():.2f}" for _ in range(784))
                out.write(f"{cells},{row % 10}\n")
        for model in ("mlp", "cnn"):
            mine, peer = [], []
            for _ in range(options.rounds):
                mine += ours(str(data), model, 3)[1:]  # the first epoch warms caches
                if missing is None:
                    peer += theirs(str(data), model, 3)[1:]
            report.row(f"{model}: trainyard-train", mine, unit="samples/s", digits=0)
            if missing is not None:
                report.skip(f"{model}: PyTorch DDP over Gloo", missing)
                continue
            report.row(f"{model}: PyTorch DDP over Gloo", peer, unit="samples/s", digits=0)
            ratio = max(statistics.median(mine) / statistics.median(peer), max(mine) / max(peer))
            report.bar(f"{model}: samples/s, x of PyTorch DDP", ratio, at_least=1)
    report.close()


if __name__ == "__main__":
    main()
