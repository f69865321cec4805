#!/usr/bin/env python3
"""A line printed by a program to the same line seen by a follower of the log; limit: the
program's own pipe to us."""
import subprocess
import time

import benchlib

PRINTER = (
    "import time\nfor i in range(100):\n  time.sleep(0.02)\n  print(time.time(), flush=True)\n"
)


def pipe():
    out = []
    with subprocess.Popen(
        ["/usr/bin/python3", "-c", PRINTER], stdout=subprocess.PIPE, text=True
    ) as child:
        for line in child.stdout:
            out.append((time.time() - float(line)) * 1e3)
    return out


def main():
    args = benchlib.arguments(__doc__, count=(200, "lines"))
    report = benchlib.Report("log line printed to seen", args.json)
    report.row("a bare pipe", pipe(), digits=2)
    with benchlib.Cluster() as cluster:
        out = subprocess.run(
            [
                str(benchlib.BENCH_BIN / "log_latency"),
                f"--state={cluster.state}",
                f"--count={args.count}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    seen = [float(line) for line in out.split()]
    report.row("logs -f of a job", seen)
    report.bar("median, ms", benchlib.percentile(seen, 0.5), at_most=30)
    report.close()


if __name__ == "__main__":
    main()
