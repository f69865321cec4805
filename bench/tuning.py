#!/usr/bin/env python3
"""The optimiser: regret on the public problems beside Optuna of the same run and published columns
of newer versions; time of a suggestion; importance; epochs saved by early stopping."""
import csv
import json
import statistics
import subprocess
import sys
import tempfile

import benchlib

sys.path.insert(0, str(benchlib.ROOT / "bench/tuning"))
import published  # noqa: E402


def ours(seeds):
    """{row: [score a seed]}."""
    with tempfile.NamedTemporaryFile("r", suffix=".csv") as file:
        subprocess.run(
            [str(benchlib.BENCH_BIN / "tuning_regret"), f"--seeds={seeds}", f"--csv={file.name}"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        scores = {}
        for line in csv.reader(file):
            scores.setdefault(f"{line[0]}@{line[1]}", []).append(float(line[5]))
    return scores


def python_with_optuna():
    """Debian's package belongs to Debian's interpreter."""
    for program in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([program, "-c", "import optuna"], capture_output=True).returncode == 0:
            return program
    return None


def optuna(samplers, seeds, *more):
    """{sampler: {row: [score]}}; a text instead when Optuna cannot run."""
    program = python_with_optuna()
    if program is None:
        return "it is not installed"
    try:
        out = subprocess.run(
            [
                program,
                str(benchlib.ROOT / "bench/tuning/optuna_peer.py"),
                "--samplers",
                samplers,
                "--seeds",
                str(seeds),
                *more,
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        return error.stderr.strip().splitlines()[-1]
    scores = {}
    for line in map(json.loads, out.splitlines()):
        key = f"optuna {line['version']} {line['sampler']}"
        scores.setdefault(key, {}).setdefault(line["row"], []).append(line["score"])
    return scores


def quartiles(values):
    if len(values) < 2:
        return f"{values[0]:.5g}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.5g} [{low:.5g}, {high:.5g}]"


def regret(report, args):
    mine = ours(args.seeds)
    peers = optuna(args.samplers, args.peer_seeds)
    if isinstance(peers, str):
        report.skip("Optuna", f"{peers} (apt-get install python3-optuna)")
        peers = {}
    wins = 0
    for row, scores in mine.items():
        others = dict(zip(published.COLUMNS, published.ROWS[row]))
        bar = others.pop("bar")
        print(f"  {row:<15} ours {quartiles(scores)} worst {max(scores):.5g}")
        for name, rows in peers.items():
            if row in rows:
                print(f"  {'':<15} {name} {quartiles(rows[row])}")
        print(f"  {'':<15} published: " + "  ".join(f"{k} {v}" for k, v in others.items()))
        best = min(v for v in others.values() if v is not None)
        best = min([best, *(statistics.median(r[row]) for r in peers.values() if row in r)])
        median = statistics.median(scores)
        wins += median <= best + 0.0005 * abs(best)
        if row.startswith("hartmann6"):
            share = sum(score < -3.21 for score in scores)
            print(f"  {'':<15} seeds in the best basin: {share} of {len(scores)}")
        report.rows.append(
            {
                "name": row,
                "ours": scores,
                "published": others,
                "bar": bar,
                "optuna": {name: rows.get(row) for name, rows in peers.items()},
            }
        )
        if bar is not None:
            report.bar(f"{row}: median", median, at_most=bar)
        report.bar(f"{row}: worst seed, against random's median", max(scores),
                   at_most=others["random"])
    report.bar(f"rows of {len(mine)} at or better than the best Optuna column", wins, at_least=11)


def fronts(report, args):
    """Two goals: the area below the front, larger is better."""
    out = subprocess.run(
        [str(benchlib.BENCH_BIN / "tuning_fronts"), f"--seeds={args.seeds}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    mine = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}
    peers = optuna("tpe,nsgaii,random", args.peer_seeds, "--fronts", "60")
    if isinstance(peers, str):
        peers = {}
    for row, text in mine.items():
        print(f"  {row:<15} ours {text}")
        for name, rows in peers.items():
            print(f"  {'':<15} {name} {quartiles(rows[row])}")
        others = {name: rows[row] for name, rows in peers.items()}
        report.rows.append({"name": f"front of {row}", "text": text, "optuna": others})


def main():
    args = benchlib.arguments(
        __doc__,
        seeds=(20, "studies a row"),
        peer_seeds=(20, "Optuna's studies a row"),
        samplers=("tpe,tpe_multivariate,random", "Optuna's samplers, also cmaes"),
        stop_seeds=(40, "studies for early stopping"),
    )
    report = benchlib.Report("tuning", args.json)
    regret(report, args)
    fronts(report, args)
    for program, *flags in (
        [
            "tuning_regret",
            "--problems=hartmann6,mixed7",
            "--trials=100",
            "--batch=10",
            f"--seeds={args.seeds}",
        ],
        ["tuning_latency", "--algorithm=GP", "--sizes=100,500,1000"],
        ["tuning_latency"],
        ["tuning_latency", "--importance"],
        ["tuning_early_stop", f"--seeds={args.stop_seeds}"],
        ["tuning_early_stop", f"--seeds={args.stop_seeds}", "--algorithm=RANDOM"],
    ):
        print("  " + " ".join([program, *flags]), flush=True)
        out = subprocess.run(
            [str(benchlib.BENCH_BIN / program), *flags], check=True, capture_output=True, text=True
        ).stdout
        print("".join(f"    {line}\n" for line in out.splitlines()), end="", flush=True)
        report.rows.append({"name": " ".join([program, *flags]), "text": out})
    report.close()


if __name__ == "__main__":
    main()
