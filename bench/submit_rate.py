#!/usr/bin/env python3
"""Durable submits/s over gRPC, 64 in flight, beside the same minute's fdatasync/s of the same
disk."""
import subprocess

import benchlib


def main():
    args = benchlib.arguments(__doc__, count=(20000, "submits"), repeats=(3, "repeats"))
    report = benchlib.Report("durable submits over gRPC", args.json)
    rates, syncs = [], []
    for _ in range(args.repeats):
        with benchlib.Cluster() as cluster:
            out = subprocess.run(
                [
                    str(benchlib.BENCH_BIN / "submit_rate"),
                    f"--state={cluster.state}",
                    f"--count={args.count}",
                ],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        rate, sync = map(float, out.split())
        rates.append(rate)
        syncs.append(sync)
    report.row("submits of held jobs, 64 in flight, durable", rates, "/s", 0)
    report.row("fdatasync of 4 KiB, one after the other", syncs, "/s", 0)
    report.figure(
        "ratio submits / fdatasync",
        benchlib.percentile(rates, 0.5) / benchlib.percentile(syncs, 0.5),
    )
    report.bar("median, submits/s", benchlib.percentile(rates, 0.5), at_least=8000)
    report.close()


if __name__ == "__main__":
    main()
