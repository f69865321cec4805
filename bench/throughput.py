#!/usr/bin/env python3
"""1,000 jobs that run /bin/true, each a process with a durable exit status; peer: Slurm's best
path, an array, as installed and tuned; the better of the two counts."""
import subprocess
import time

import benchlib


def ours(count, repeats):
    rates = []
    for _ in range(repeats):
        with benchlib.Cluster() as cluster:
            out = subprocess.run(
                [
                    str(benchlib.BENCH_BIN / "run_many"),
                    f"--state={cluster.state}",
                    f"--count={count}",
                ],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            rates.append(float(out.split()[0]))
    return rates


def slurm(kind, count, repeats):
    rates = []
    with benchlib.Slurm(kind) as peer:
        for _ in range(repeats):
            begin = time.monotonic()
            peer.run(
                "sbatch",
                "--parsable",
                "-n1",
                "-t",
                "10",
                "-o",
                "/dev/null",
                f"--array=1-{count}",
                "--wrap",
                "exec /bin/true",
            )
            while peer.run("squeue", "-h").stdout.strip():
                time.sleep(0.1)
            rates.append(count / (time.monotonic() - begin))
    return rates


def spawn_floor(count=500):
    begin = time.monotonic()
    for _ in range(count):
        subprocess.run(["/bin/true"], check=True)
    return count / (time.monotonic() - begin)


def main():
    args = benchlib.arguments(
        __doc__, count=(1000, "jobs"), repeats=(5, "repeats"), peer_count=(1000, "Slurm's jobs")
    )
    report = benchlib.Report("jobs that run /bin/true", args.json)
    mine = ours(args.count, args.repeats)
    report.row("trainyard, exit status durable", mine, "jobs/s")
    reason = benchlib.Slurm.why_not()
    if reason:
        report.skip("Slurm array", reason, promised=True)
    else:
        default = slurm("default", args.peer_count, max(1, args.repeats // 2))
        report.row("Slurm array, default", default, "jobs/s")
        tuned = slurm("tuned", args.peer_count, args.repeats)
        report.row("Slurm array, tuned", tuned, "jobs/s")
        theirs = max(default, tuned, key=lambda rates: benchlib.percentile(rates, 0.5))
        report.bar(
            "times faster than the Slurm array",
            benchlib.percentile(mine, 0.5) / benchlib.percentile(theirs, 0.5),
            at_least=4,
        )
    report.figure("processes/s of one Python loop, for scale", spawn_floor(), "processes/s")
    report.close()


if __name__ == "__main__":
    main()
