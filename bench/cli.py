#!/usr/bin/env python3
"""The client as a whole process: --help, and a durable submit; peers: /bin/true, sbatch of tuned
Slurm."""
import subprocess
import time

import benchlib


def timed(run):
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


def main():
    args = benchlib.arguments(__doc__, count=(60, "runs of each"))
    report = benchlib.Report("the client as a process", args.json)
    true = [timed(lambda: subprocess.run(["/bin/true"], check=True)) for _ in range(args.count)]
    report.row("/bin/true (floor)", true)
    with benchlib.Cluster() as cluster:
        helps = [timed(lambda: cluster.run("--help", check=True)) for _ in range(args.count)]
        report.row("trainyard --help", helps)
        submits = [
            timed(lambda: cluster.run("run", "-d", "/bin/true", check=True))
            for _ in range(args.count)
        ]
        report.row("trainyard run -d /bin/true (durable when it ends)", submits)
        lists = [timed(lambda: cluster.run("jobs", "list", check=True)) for _ in range(args.count)]
        report.row("trainyard jobs list", lists)
    reason = benchlib.Slurm.why_not()
    if reason:
        report.skip("sbatch", reason)
    else:
        with benchlib.Slurm("tuned") as peer:
            theirs = [
                timed(
                    lambda: peer.run(
                        "sbatch",
                        "--parsable",
                        "-H",
                        "-n1",
                        "-t",
                        "10",
                        "-o",
                        "/dev/null",
                        "--wrap",
                        "true",
                    )
                )
                for _ in range(args.count)
            ]
        report.row("sbatch, held job (not durable)", theirs)
    report.close()


if __name__ == "__main__":
    main()
