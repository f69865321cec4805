#!/usr/bin/env python3
"""The public tuning problems under Optuna (Debian's python3-optuna), one JSON line a study.

    optuna_peer.py --samplers tpe,random --seeds 20 [--rows branin@30,...]

Score: the noiseless value where the observed value was least, as bench/tuning/regret.cc has it.
The definitions are those of bench/tuning/problems.cc; `--check NAME VALUES` prints one value, so
that both can be compared.
"""
import argparse
import json
import math
import random
import sys
import time

ALPHA = (1, 1.2, 3, 3.2)
A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8),
     (17, 8, 0.05, 10, 0.1, 14))
P = ((1312, 1696, 5569, 124, 8283, 5886), (2329, 4135, 8307, 3736, 1004, 9991),
     (2348, 1451, 3522, 2883, 3047, 6650), (4047, 8828, 8732, 5743, 1091, 381))
ACKLEY_SHIFT = (5, -12, 8.5, -3.25, 14)
RASTRIGIN_SHIFT = (1.3, -2.1, 0.7, -0.4, 2.6)


def branin(x):
    a = x[1] - 5.1 / (4 * math.pi**2) * x[0] ** 2 + 5 / math.pi * x[0] - 6
    return a * a + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10


def hartmann6(x):
    return -sum(
        ALPHA[i] * math.exp(-sum(A[i][j] * (x[j] - 1e-4 * P[i][j]) ** 2 for j in range(6)))
        for i in range(4)
    )


def rosenbrock(x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def ackley(x):
    z = [a - s for a, s in zip(x, ACKLEY_SHIFT)]
    return (-20 * math.exp(-0.2 * math.sqrt(sum(v * v for v in z) / 5))
            - math.exp(sum(math.cos(2 * math.pi * v) for v in z) / 5) + 20 + math.e)


def rastrigin(x):
    z = [a - s for a, s in zip(x, RASTRIGIN_SHIFT)]
    return 50 + sum(v * v - 10 * math.cos(2 * math.pi * v) for v in z)


def levy(x):
    w = [1 + (a - 1) / 4 for a in x]
    middle = sum((v - 1) ** 2 * (1 + 10 * math.sin(math.pi * v + 1) ** 2) for v in w[:-1])
    end = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return math.sin(math.pi * w[0]) ** 2 + middle + end


def box(low, high, count, loss):
    def objective(trial):
        return loss([trial.suggest_float(f"x{i}", low, high) for i in range(count)])

    return objective


def branin_trial(trial):
    return branin([trial.suggest_float("x0", -5, 10), trial.suggest_float("x1", 0, 15)])


def mixed7(trial):
    lr = trial.suggest_float("lr", 1e-5, 1, log=True)
    wd = trial.suggest_float("wd", 1e-6, 1e-1, log=True)
    layers = trial.suggest_int("layers", 1, 10)
    units = trial.suggest_int("units", 16, 1024, log=True)
    dropout = trial.suggest_float("dropout", 0, 0.9)
    opt = trial.suggest_categorical("opt", ["sgd", "adam", "rmsprop"])
    act = trial.suggest_categorical("act", ["relu", "tanh", "gelu"])
    delta = math.log10(lr) - {"sgd": -1, "adam": -3, "rmsprop": -3.5}[opt] + 0.05 * (layers - 4)
    cap = layers * math.log2(units)
    return (0.08 + {"sgd": 0.03, "adam": 0, "rmsprop": 0.02}[opt]
            + {"relu": 0.01, "tanh": 0.04, "gelu": 0}[act]
            + 0.12 * (1 - math.exp(-0.5 * (delta / 0.7) ** 2)) + 0.01 * abs(delta)
            + 0.15 * ((cap - 36) / 36) ** 2 + 0.3 * (dropout - 0.1 - 0.2 * cap / 72) ** 2
            + 0.01 * (math.log10(wd) + 4) ** 2)


def cond8(trial):
    total = 0.0
    if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd":
        lr = trial.suggest_float("lr_sgd", 1e-4, 1, log=True)
        momentum = trial.suggest_float("momentum", 0, 0.99)
        e = math.log10(lr) + math.log10(1 / (1 - momentum))
        total += 0.10 + 0.06 * (1 - math.exp(-0.5 * (e / 0.4) ** 2)) + 0.05 * (momentum - 0.9) ** 2
    else:
        lr = trial.suggest_float("lr_adam", 1e-6, 0.1, log=True)
        gap = trial.suggest_float("gap2", 1e-4, 0.1, log=True)
        total += 0.11 + 0.07 * (1 - math.exp(-0.5 * ((math.log10(lr) + 3.2) / 0.5) ** 2))
        total += 0.01 * (math.log10(gap) + 2.5) ** 2
    total += 0.02 * abs(trial.suggest_int("layers", 1, 12) - 5) / 4
    if trial.suggest_categorical("sched", ["const", "cosine"]) == "const":
        return total + 0.02
    return total + 0.2 * (trial.suggest_float("warmup", 0, 0.3) - 0.08) ** 2


PROBLEMS = {
    "branin": branin_trial,
    "hartmann6": box(0, 1, 6, hartmann6),
    "hartmann6n": box(0, 1, 6, hartmann6),
    "rosenbrock4": box(-5, 10, 4, rosenbrock),
    "ackley5s": box(-32.768, 32.768, 5, ackley),
    "rastrigin5s": box(-5.12, 5.12, 5, rastrigin),
    "levy5": box(-10, 10, 5, levy),
    "mixed7": mixed7,
    "cond8": cond8,
}


def zdt1(trial):
    x = [trial.suggest_float(f"x{i}", 0, 1) for i in range(6)]
    g = 1 + 9 / 5 * sum(x[1:])
    return x[0], g * (1 - math.sqrt(x[0] / g)) / 4


def branin_currin(trial):
    x, y = (trial.suggest_float(name, 0, 1) for name in ("x0", "x1"))
    share = 1 - math.exp(-0.5 / y) if y > 0 else 1
    currin = share * (2300 * x**3 + 1900 * x**2 + 2092 * x + 60)
    return branin([15 * x - 5, 15 * y]), currin / (100 * x**3 + 500 * x**2 + 4 * x + 20)


def mixed7_size(trial):
    loss = mixed7(trial)
    return loss, trial.params["layers"] * math.log2(trial.params["units"]) / 100


# As in bench/tuning/fronts.cc: goals, reference, area of the whole front.
FRONTS = {
    "zdt1": (zdt1, (1, 1), 1 - 1 / 12),
    "branin_currin": (branin_currin, (18, 6), 59.36011874867746),
    "mixed7_size": (mixed7_size, (0.3, 1), 1),
}
ROWS = ("branin@30 branin@60 hartmann6@60 hartmann6@100 rosenbrock4@60 ackley5s@60 rastrigin5s@60 "
        "levy5@60 mixed7@60 mixed7@100 hartmann6n@60 cond8@60").split()


class Fixed:
    """A trial whose values are given: NAME=VALUE words."""

    def __init__(self, words):
        self.values = dict(word.split("=", 1) for word in words)

    def suggest_float(self, name, *_, **__):
        return float(self.values[name])

    def suggest_int(self, name, *_, **__):
        return int(self.values[name])

    def suggest_categorical(self, name, _):
        return self.values[name]


def sampler_of(optuna, name, seed):
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "tpe_multivariate":
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed)
    if name == "nsgaii":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    raise SystemExit(f"no sampler {name}; tpe, tpe_multivariate, cmaes, random, nsgaii")


def run(optuna, row, name, seed):
    problem, trials = row.split("@")
    noise = random.Random(77 + seed)
    deviation = 0.1 if problem == "hartmann6n" else 0.0
    study = optuna.create_study(sampler=sampler_of(optuna, name, seed))
    best, score = math.inf, math.nan
    begin = time.process_time()
    for _ in range(int(trials)):
        trial = study.ask()
        value = PROBLEMS[problem](trial)
        told = value + deviation * noise.gauss(0, 1)
        study.tell(trial, told)
        if told < best:
            best, score = told, value
    return score, (time.process_time() - begin) * 1e3 / int(trials)


def run_front(optuna, name, sampler, seed, trials):
    goals, reference, whole = FRONTS[name]
    study = optuna.create_study(directions=["minimize", "minimize"],
                                sampler=sampler_of(optuna, sampler, seed))
    told = []
    for _ in range(trials):
        trial = study.ask()
        told.append(goals(trial))
        study.tell(trial, told[-1])
    area, lowest = 0, reference[1]
    for first, second in sorted(told):
        if first < reference[0] and second < lowest:
            area += (reference[0] - first) * (lowest - second)
            lowest = second
    return area / whole


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samplers", default="tpe,random")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--fronts", type=int, metavar="TRIALS", help="two goals, area of the front")
    parser.add_argument("--check", nargs="+", metavar="WORD", help="PROBLEM NAME=VALUE...")
    args = parser.parse_args()
    if args.check:
        print(repr(PROBLEMS[args.check[0]](Fixed(args.check[1:]))))
        return
    import optuna  # only here: --check needs none

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    import warnings

    warnings.simplefilter("ignore")
    for name in args.samplers.split(",") if args.fronts else ():
        for front in FRONTS:
            for seed in range(args.seeds):
                area = run_front(optuna, front, name, seed, args.fronts)
                print(json.dumps({"sampler": name, "row": front, "seed": seed, "score": area,
                                  "version": optuna.__version__}), flush=True)
    for name in args.samplers.split(",") if not args.fronts else ():
        for row in args.rows.split(","):
            if name == "cmaes" and row.startswith("cond8"):
                continue  # it draws conditional parameters at random
            for seed in range(args.seeds):
                score, milliseconds = run(optuna, row, name, seed)
                print(json.dumps({"sampler": name, "row": row, "seed": seed, "score": score,
                                  "ms": milliseconds, "version": optuna.__version__}))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
