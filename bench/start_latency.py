#!/usr/bin/env python3
"""Submit to the program's first instruction, single rank, idle cluster, random arrivals; peer:
sbatch of tuned Slurm."""
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import benchlib


def ours(count, folder):
    latencies = []
    stamp = benchlib.BENCH_BIN / "stamp"
    with benchlib.Cluster() as cluster:
        cluster.run("run", "-d", "/bin/true", check=True)
        for i in range(count):
            time.sleep(random.uniform(0.05, 0.4))
            begin = time.time()
            cluster.run("run", "-d", str(stamp), folder, f"t{i}", check=True)
            latencies.append((float(benchlib.wait_for(f"{folder}/t{i}.stamp")) - begin) * 1e3)
    return latencies


def inside(count, folder):
    """The same without a client process: the submit call begins inside a running client."""
    with benchlib.Cluster() as cluster:
        out = subprocess.run(
            [
                str(benchlib.BENCH_BIN / "submit_to_start"),
                f"--state={cluster.state}",
                f"--stamp={benchlib.BENCH_BIN / 'stamp'}",
                f"--folder={folder}",
                f"--count={count}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return [float(line) for line in out.split()]


def slurm(mode, count, folder):
    script = pathlib.Path(folder) / "job.sh"
    stamp = benchlib.BENCH_BIN / "stamp"
    script.write_text(f"#!{stamp} {folder}\n")
    script.chmod(0o755)
    latencies = []
    with benchlib.Slurm(mode) as peer:
        for _ in range(count):
            time.sleep(random.uniform(0.1, 1.5))
            begin = time.time()
            job = peer.run(
                "sbatch", "--parsable", "-n1", "-t", "10", "-o", "/dev/null", str(script)
            ).stdout.strip()
            latencies.append((float(benchlib.wait_for(f"{folder}/{job}.stamp")) - begin) * 1e3)
    return latencies


def main():
    args = benchlib.arguments(__doc__, count=(60, "our jobs"), peer_count=(60, "Slurm's jobs"))
    report = benchlib.Report("submit to first instruction", args.json)
    with tempfile.TemporaryDirectory() as folder:
        call = inside(args.count, folder)
    report.row("trainyard, submit call (durable) to first instruction", call)
    with tempfile.TemporaryDirectory() as folder:
        mine = ours(args.count, folder)
    report.row("trainyard run -d as a process, to first instruction", mine)
    report.bar("median, ms", benchlib.percentile(mine, 0.5), at_most=20)
    report.bar("99th percentile, ms", benchlib.percentile(mine, 0.99), at_most=60)
    reason = benchlib.Slurm.why_not()
    for mode in ("default", "tuned"):
        if reason:
            report.skip(f"sbatch, {mode}", reason, promised=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            theirs = slurm(mode, args.peer_count, folder)
        report.row(f"sbatch, {mode} (not durable)", theirs)
        # Tuned Slurm answers in two speeds: at once when nothing else wakes its scheduler, after
        # one of its rounds otherwise. The median alone does not tell where the halves lie.
        report.figure(
            f"sbatch {mode}, answers under 0.3 s",
            sum(latency < 300 for latency in theirs) / len(theirs),
            "of all",
        )
        report.figure(
            f"times faster than sbatch {mode} by the mean",
            statistics.mean(theirs) / statistics.mean(mine),
        )
        report.figure(
            f"times faster than sbatch {mode} at its fastest",
            min(theirs) / benchlib.percentile(mine, 0.5),
        )
        report.bar(
            f"times faster than sbatch {mode}, process to process",
            benchlib.percentile(theirs, 0.5) / benchlib.percentile(mine, 0.5),
            at_least=30,
        )
    report.close()


if __name__ == "__main__":
    main()
