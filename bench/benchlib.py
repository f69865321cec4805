"""What every benchmark shares: a private embedded cluster, Slurm as the peer, statistics, output.

A figure is printed as median with spread and as a ratio to its peer of the same run; --json FILE
keeps the numbers. The exit status is 1 when a promised figure was missed, 3 when one could not be
judged (a peer that is not installed).
"""
import argparse
import atexit
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BIN = pathlib.Path(os.environ.get("TRAINYARD_BIN", ROOT / "build/release/bin"))
BENCH_BIN = pathlib.Path(os.environ.get("TRAINYARD_BENCH_BIN", ROOT / "build/release/bench"))


def percentile(values, share):
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))]


def spread(values, unit="ms", digits=1):
    """'p50 4.1 (min 3.0, p90 5.2, p99 6.1, n 50) ms'."""
    number = f"{{:.{digits}f}}"
    texts = [
        number.format(v)
        for v in (
            statistics.median(values),
            min(values),
            percentile(values, 0.9),
            percentile(values, 0.99),
        )
    ]
    return (
        f"p50 {texts[0]} (min {texts[1]}, p90 {texts[2]}, p99 {texts[3]}, n {len(values)}) {unit}"
    )


class Report:
    """Lines for people, numbers for --json."""

    def __init__(self, title, json_file):
        self.title, self.json_file, self.rows = title, json_file, []
        self.missed = self.unjudged = 0
        load = os.getloadavg()[0]
        print(f"# {title} ({os.cpu_count()} cores, load {load:.1f})", flush=True)

    def row(self, name, values, unit="ms", digits=1, **more):
        print(f"  {name:<58} {spread(values, unit, digits)}", flush=True)
        self.rows.append(
            {
                "name": name,
                "unit": unit,
                "median": statistics.median(values),
                "min": min(values),
                "p90": percentile(values, 0.9),
                "p99": percentile(values, 0.99),
                "n": len(values),
                **more,
            }
        )

    def figure(self, name, value, text=""):
        print(f"  {name:<58} {value:.2f} {text}", flush=True)
        self.rows.append({"name": name, "value": value, "text": text})

    def bar(self, name, value, at_most=None, at_least=None):
        """A figure that the project promises: the program ends with status 1 when it is missed."""
        met = value <= at_most if at_most is not None else value >= at_least
        self.missed += not met
        sign, limit = ("<=", at_most) if at_most is not None else (">=", at_least)
        text = f"{value:.4g} {sign} {limit:g}"
        print(f"  {name:<58} {text}: {'met' if met else 'MISSED'}", flush=True)
        self.rows.append({"name": name, "value": value, "bar": f"{sign} {limit:g}", "met": met})

    def skip(self, name, why, promised=False):
        """`promised`: a promised figure needs it, so the run as a whole says nothing of it."""
        print(f"  {name:<58} {'NOT JUDGED' if promised else 'skipped'}: {why}", flush=True)
        self.unjudged += promised and not Slurm.quick
        self.rows.append({"name": name, "skipped": why})

    def close(self):
        if self.json_file:
            pathlib.Path(self.json_file).write_text(
                json.dumps({"title": self.title, "rows": self.rows}, indent=1)
            )
        sys.exit(1 if self.missed else 3 if self.unjudged else 0)


class Cluster:
    """An embedded cluster in a temporary state folder."""

    def __init__(self):
        self.state = tempfile.mkdtemp(prefix="trainyard-bench-")
        self.env = {
            **os.environ,
            "TRAINYARD_STATE": self.state,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }
        self.env.pop("TRAINYARD_ENDPOINT", None)

    def __enter__(self):
        self.run("up", check=True)
        return self

    def __exit__(self, *unused):
        self.run("down", "--kill")
        # Only at the end: an ext file system makes files slowly for a minute after many were
        # removed, which would be charged to the next round.
        atexit.register(shutil.rmtree, self.state, ignore_errors=True)

    def pid(self, daemon):
        return int((pathlib.Path(self.state) / "run" / f"{daemon}.pid").read_text().split()[0])

    def run(self, *arguments, check=False, **more):
        return subprocess.run(
            [str(BIN / "trainyard"), *arguments],
            env=self.env,
            check=check,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            **more,
        )


def submit(cluster, folder, name, command, ranks=1, **settings):
    """A job of `ranks` replicas that runs `command` once; its settings as in a spec's `trainyard`
    section."""
    config = pathlib.Path(folder) / f"{name}.json"
    config.write_text(
        json.dumps(
            {
                "workerPoolSpecs": [{"replicaCount": ranks}],
                "trainyard": {"command": command, "resources": {"cpu": 0.1}, **settings},
            }
        )
    )
    cluster.run("custom-jobs", "create", name, "--config", str(config), "-q", check=True)
    return name


def describe(cluster, name):
    return json.loads(cluster.run("jobs", "describe", name, "-o", "json", check=True).stdout)


def await_ready(cluster, nodes=1, seconds=60):
    """Until so many nodes are ready."""
    end = time.monotonic() + seconds
    while cluster.run("nodes", "-o", "json", check=True).stdout.count("READY") < nodes:
        if time.monotonic() > end:
            raise TimeoutError("the nodes are not ready")
        time.sleep(0.05)


class Slurm:
    """Slurm on loopback; why_not() says what keeps us from it."""

    quick = False

    def __init__(self, mode):
        self.mode, self.folder = mode, tempfile.mkdtemp(prefix="trainyard-slurm-")
        self.env = None

    @staticmethod
    def why_not():
        if Slurm.quick:
            return "a quick run has no peer"
        if not shutil.which("slurmctld"):
            return "Slurm is not installed (apt-get install slurm-wlm munge)"
        return None if os.geteuid() == 0 else "Slurm's daemons need root"

    def __enter__(self):
        out = subprocess.run(
            ["bash", str(ROOT / "bench/peers/slurm.sh"), "start", self.folder, self.mode],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.env = {**os.environ, "SLURM_CONF": out.strip().split("=", 1)[1]}
        return self

    def __exit__(self, *unused):
        subprocess.run(
            ["bash", str(ROOT / "bench/peers/slurm.sh"), "stop", self.folder],
            capture_output=True,
            check=False,
        )

    def run(self, *arguments, **more):
        return subprocess.run(
            arguments,
            env=self.env,
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            **more,
        )


def wait_for(path, seconds=60):
    """The content of a file once it exists and is whole (ends with a line end)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            text = pathlib.Path(path).read_text()
            if text.endswith("\n"):
                return text
        except FileNotFoundError:
            pass
        time.sleep(0.002)
    raise TimeoutError(f"{path} did not appear in {seconds} s")


def arguments(title, **options):
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", metavar="FILE", help="write the numbers there")
    parser.add_argument(
        "--quick", action="store_true", help="a fiftieth of the counts, no peer: does it run?"
    )
    for name, (default, text) in options.items():
        parser.add_argument(
            f"--{name}", type=type(default), default=default, help=f"{text} (default {default})"
        )
    args = parser.parse_args()
    if args.quick:
        Slurm.quick = True
        for name, (default, _) in options.items():
            if (
                isinstance(default, int) and default >= 10
            ):  # counts; less than ten are repeats, ranks and the like
                setattr(args, name, type(default)(max(1, getattr(args, name) // 50)))
    return args
