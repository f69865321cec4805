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


def command(cluster, count):
    """Milliseconds of each line, as `trainyard jobs logs -f` in another process hands it on."""
    program = PRINTER.replace("100", str(count))
    words = ("/usr/bin/python3", "-c", program)
    cluster.run("run", "-d", "--name", "printer", "--", *words, check=True)
    seen = []
    with subprocess.Popen(
        [str(benchlib.BIN / "trainyard"), "jobs", "logs", "-f", "printer"],
        env=cluster.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as follower:
        for line in follower.stdout:
            seen.append((time.time() - float(line)) * 1e3)
    if len(seen) != count:
        raise SystemExit(f"{count} lines were printed, {len(seen)} seen")
    return seen


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
        report.row("a stream of the job's log", [float(line) for line in out.split()])
        seen = command(cluster, args.count)
    report.row("trainyard jobs logs -f", seen)
    report.bar("median, ms", benchlib.percentile(seen, 0.5), at_most=30)
    report.close()


if __name__ == "__main__":
    main()
