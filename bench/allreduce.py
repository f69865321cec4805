"""All-reduce inside a node against MPI_Allreduce at its best settings: gradients in the arena, in
private memory, over sizes from 4 bytes up. The three take turns in one run.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import benchlib


def main():
    options = benchlib.arguments(
        "All-reduce of float32 sums",
        ranks=(2, "ranks"),
        rounds=(21, "rounds"),
        largest=(256 << 20, "largest size in bytes"),
    )
    report = benchlib.Report("All-reduce inside a node", options.json)
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "rows.json"
        bind = ["--bind-to", "core"] if options.ranks <= os.cpu_count() else ["--oversubscribe"]
        command = ["mpirun", "-np", str(options.ranks), *bind, "--mca", "btl", "self,vader"]
        command += [str(benchlib.BENCH_BIN / "bench_allreduce"), "--json", str(out)]
        command += ["--rounds", str(options.rounds), "--bytes-max", str(options.largest)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"error: {done.stderr.strip() or done.stdout.strip()}")
        rows = json.loads(out.read_text())["rows"]
    for row in rows:
        name, mpi = f"{row['bytes']} bytes, {options.ranks} ranks", row["mpi"]
        for kind in ("arena", "private"):
            ours = row[kind]
            ratios = [mpi[key] / ours[key] for key in ("median_us", "min_us")]
            text = (
                f"x of MPI_Allreduce ({ratios[1]:.2f} by minima; "
                f"{ours['median_us']:.2f} against {mpi['median_us']:.2f} us)"
            )
            report.figure(f"{name}: {kind}", ratios[0], text)
    report.close()


if __name__ == "__main__":
    main()
