#!/usr/bin/env python3
"""The client as a whole process: --help, and durable submits with and without a package; peers:
/bin/true, sbatch of tuned Slurm."""
import pathlib
import subprocess
import tempfile
import time

import benchlib


def timed(run):
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1e3


def submit_package(cluster, folder, count):
    """Held jobs of one package, which the first of them uploads."""
    package = pathlib.Path(folder) / "trainer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "task.py").write_text("print('ran')\n")
    config = pathlib.Path(folder) / "held.yaml"
    config.write_text("trainyard:\n  hold: true\n")
    words = ["jobs", "submit", "training", "--scale-tier", "BASIC", "--config", str(config)]
    words += ["--module-name", "trainer.task", "--package-path", str(package)]
    return [timed(lambda: cluster.run(*words, check=True)) for _ in range(count)]


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
        with tempfile.TemporaryDirectory() as folder:
            packages = submit_package(cluster, folder, args.count)
        report.row("trainyard jobs submit training --package-path", packages)
        lists = [timed(lambda: cluster.run("jobs", "list", check=True)) for _ in range(args.count)]
        report.row("trainyard jobs list", lists)
    report.bar("--help, median, ms", benchlib.percentile(helps, 0.5), at_most=10)
    report.bar("jobs submit, median, ms", benchlib.percentile(packages, 0.5), at_most=25)
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
