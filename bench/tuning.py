#!/usr/bin/env python3
"""The optimiser: regret on the public problems beside Optuna of the same run and published columns
of newer versions, in batches, of two goals; epochs saved by early stopping and what they cost. Time
of a suggestion and of importance are judged by tuning_service.py."""
import csv
import json
import statistics
import subprocess
import sys
import tempfile

import benchlib

sys.path.insert(0, str(benchlib.ROOT / "bench/tuning"))
import published  # noqa: E402


def ours(seeds, *flags):
    """{row: [score a seed]}."""
    with tempfile.NamedTemporaryFile("r", suffix=".csv") as file:
        subprocess.run(
            [
                str(benchlib.BENCH_BIN / "tuning_regret"),
                f"--seeds={seeds}",
                f"--csv={file.name}",
                *flags,
            ],
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


def upper_quartile(values):
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=4, method="inclusive")[2]


def basins(row, scores):
    if row.startswith("hartmann6"):
        share = sum(score < -3.21 for score in scores)
        print(f"  {'':<15} seeds in the best basin: {share} of {len(scores)}")


def regret(report, args):
    mine = ours(args.seeds)
    peers = optuna(args.samplers, args.peer_seeds)
    if isinstance(peers, str):
        report.skip("Optuna", f"{peers} (apt-get install python3-optuna)")
        report.missed += 1  # the comparison is what is promised
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
        random = min(
            [others["random"],
             *(statistics.median(r[row]) for name, r in peers.items()
               if name.endswith(" random") and row in r)]
        )
        best = min(v for v in others.values() if v is not None)
        best = min([best, *(statistics.median(r[row]) for r in peers.values() if row in r)])
        median = statistics.median(scores)
        wins += median <= best
        basins(row, scores)
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
        if row == "cond8@60":
            report.bar(f"{row}: upper quartile", upper_quartile(scores), at_most=0.105)
        report.bar(f"{row}: median, against random's", median, at_most=random)
        report.bar(f"{row}: worst seed, against random's median", max(scores), at_most=random)
    report.bar(f"rows of {len(mine)} at or better than the best Optuna column", wins, at_least=11)


def more_seeds(report, args):
    """Hartmann's function is a lottery of two basins: more seeds tell more."""
    for row, scores in ours(args.basin_seeds, "--problems=hartmann6,hartmann6n").items():
        print(f"  {row:<15} ours {quartiles(scores)} worst {max(scores):.5g}")
        basins(row, scores)
        report.rows.append({"name": f"{row}, more seeds", "ours": scores})


OTHERS = ("michalewicz5", "styblinski8", "rotated6", "rosenbrock10", "service12")


def other_rows(report, args):
    """Problems that nothing was chosen on: no worse than random search of the same run."""
    names = f"--problems={','.join(OTHERS)}"
    mine = ours(args.seeds, names)
    random = ours(args.seeds, names, "--algorithm=RANDOM")
    report.bar("other problems played", len(mine), at_least=len(OTHERS))
    for row, scores in mine.items():
        print(f"  {row:<15} ours {quartiles(scores)} worst {max(scores):.5g}"
              f"  random {quartiles(random[row])}")
        report.rows.append({"name": row, "ours": scores, "random": random[row]})
        bound = statistics.median(random[row])
        report.bar(f"{row}: median, against random's", statistics.median(scores), at_most=bound)
        report.bar(f"{row}: worst seed, against random's median", max(scores), at_most=bound)


def batches(report, args):
    bars = {"hartmann6@100": -3.321, "mixed7@100": 0.0805}
    mine = ours(args.seeds, "--problems=hartmann6,mixed7", "--trials=100", "--batch=10")
    for row, scores in mine.items():
        print(f"  {row:<15} in batches of 10: ours {quartiles(scores)} worst {max(scores):.5g}")
        basins(row, scores)
        report.rows.append({"name": f"{row} in batches of 10", "ours": scores})
        report.bar(f"{row}: median in batches of 10", statistics.median(scores), at_most=bars[row])


def early_stop(seeds, *flags):
    """[(score without stopping, with it, epochs saved, times shorter)]."""
    with tempfile.NamedTemporaryFile("r", suffix=".csv") as file:
        print(f"  tuning_early_stop --seeds={seeds} {' '.join(flags)}", flush=True)
        out = subprocess.run(
            [
                str(benchlib.BENCH_BIN / "tuning_early_stop"),
                f"--seeds={seeds}",
                f"--csv={file.name}",
                *flags,
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        print("".join(f"    {line}\n" for line in out.splitlines()), end="", flush=True)
        return [tuple(map(float, line[1:])) for line in csv.reader(file)]


def stopping(report, args):
    studies = early_stop(args.stop_seeds)
    full, scores, saved, speed = zip(*studies)
    report.rows.append({"name": "LC1", "studies": studies})
    report.bar("LC1: epochs saved, median, %", 100 * statistics.median(saved), at_least=77)
    report.bar("LC1: times shorter, median", statistics.median(speed), at_least=3)
    report.bar("LC1: score, median", statistics.median(scores), at_most=0.1325)
    report.bar("LC1: above the median without stopping",
               statistics.median(scores) - statistics.median(full), at_most=0.005)
    report.bar("LC1: epochs saved, least, %", 100 * min(saved), at_least=70)
    report.bar("LC1: times shorter, least", min(speed), at_least=2.8)
    studies = early_stop(args.random_stop_seeds, "--algorithm=RANDOM")
    report.rows.append({"name": "LC1, random", "studies": studies})
    small = sum(stopped - plain <= 1e-3 for plain, stopped, *_ in studies)
    report.bar("LC1, random: seeds that lose at most 0.001, %", 100 * small / len(studies),
               at_least=90)


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
        basin_seeds=(40, "studies of hartmann6, for its basins"),
        stop_seeds=(40, "studies for early stopping"),
        random_stop_seeds=(60, "the same with random search"),
    )
    report = benchlib.Report("tuning", args.json)
    regret(report, args)
    more_seeds(report, args)
    other_rows(report, args)
    batches(report, args)
    fronts(report, args)
    stopping(report, args)
    report.close()


if __name__ == "__main__":
    main()
