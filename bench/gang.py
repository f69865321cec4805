#!/usr/bin/env python3
"""What we add to a gang: 2 ranks through mpirun, submit to end of job, against bare mpirun -np
2, in turn."""
import os
import subprocess
import time

import benchlib


def timed(run):
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


def main():
    args = benchlib.arguments(__doc__, count=(20, "runs of each"))
    report = benchlib.Report("gang of 2 through mpirun", args.json)
    bare_env = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    bare, ours = [], []
    with benchlib.Cluster() as cluster:
        subprocess.run(
            [str(benchlib.BENCH_BIN / "gang_once"), f"--state={cluster.state}"],
            check=True,
            capture_output=True,
        )
        for _ in range(args.count):
            bare.append(
                timed(
                    lambda: subprocess.run(
                        ["mpirun", "-np", "2", "--oversubscribe", "/bin/true"],
                        env=bare_env,
                        check=True,
                        capture_output=True,
                    )
                )
            )
            out = subprocess.run(
                [str(benchlib.BENCH_BIN / "gang_once"), f"--state={cluster.state}"],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            ours.append(float(out))
    report.row("mpirun -np 2 /bin/true", bare)
    report.row("a gang of 2, submit call to durable end", ours)
    report.bar(
        "added by trainyard, median, ms",
        benchlib.percentile(ours, 0.5) - benchlib.percentile(bare, 0.5),
        at_most=40,
    )
    report.close()


if __name__ == "__main__":
    main()
