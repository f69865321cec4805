#!/usr/bin/env python3
"""Runs every bench/*.py with --quick --json and looks at what it wrote, bench/run.sh with --list
and bench/table.py on the numbers. Of each program: rows with numbers, each skip with its reason,
no error. Whether a promised figure was met is not judged here, as these runs are short: status 1
is no fault where the program named the figures that it missed; they are printed.
Usage: bench_test.py BUILD_FOLDER [NAME...]
"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]


def faults_of(rows):
    """What is wrong with the rows of one program."""
    if not any("median" in row or "value" in row or "ours" in row or "studies" in row
               for row in rows):
        yield "no row has a number"
    for row in rows:
        if "skipped" in row:
            if not row["skipped"]:
                yield f"{row['name']}: skipped without a reason"
            continue
        if "text" in row and "value" not in row:  # a program's own table
            if not row["text"].strip():
                yield f"{row['name']}: printed nothing"
            continue
        if "studies" in row:  # figures of each study
            figures = [figure for study in row["studies"] for figure in study]
            if not figures or not all(math.isfinite(figure) for figure in figures):
                yield f"{row['name']}: no finite numbers in {row}"
            continue
        if "ours" in row:  # a row of regrets: one number a seed
            if not row["ours"] or not all(math.isfinite(number) for number in row["ours"]):
                yield f"{row['name']}: no finite numbers in {row}"
            continue
        numbers = [row[key] for key in ("median", "min", "p90", "p99", "value") if key in row]
        if not numbers or not all(math.isfinite(number) for number in numbers):
            yield f"{row['name']}: no finite numbers in {row}"
        if "median" in row and not 0 < row["min"] <= row["median"] <= row["p99"]:
            yield f"{row['name']}: out of order: {row}"
        if "bar" in row and row.get("met") not in (True, False):
            yield f"{row['name']}: a bar that says neither met nor missed"


def check(program, env, folder):
    numbers = pathlib.Path(folder) / f"{program.stem}.json"
    words = [sys.executable, str(program), "--quick", "--json", str(numbers)]
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    if done.returncode not in (0, 1) or not numbers.exists():
        return [f"exit status {done.returncode}", done.stdout[-2000:], done.stderr[-2000:]]
    missed = [line.strip() for line in done.stdout.splitlines() if line.rstrip().endswith("MISSED")]
    for line in missed:
        print(f"missed in a short run, {program.stem}: {line}", flush=True)
    faults = list(faults_of(json.loads(numbers.read_text())["rows"]))
    if done.returncode == 1 and (not missed or "Traceback" in done.stderr):
        faults += ["exit status 1 and no figure missed", done.stdout[-2000:], done.stderr[-2000:]]
    return faults


def listed():
    """What `bash bench/run.sh --list` names."""
    words = "bash bench/run.sh --list".split()
    return subprocess.run(
        words, capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.split()


def check_tables(folder, programs):
    """`python3 bench/table.py numbers` has a table of each program."""
    words = "python3 bench/table.py numbers".split()
    done = subprocess.run(
        [*words[:-1], folder], capture_output=True, text=True, cwd=ROOT, check=False
    )
    for program in programs:
        if f"bench/run.sh {program.stem}`" not in done.stdout:
            yield f"no table of {program.stem}: {done.stderr}"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    env = {
        **os.environ,
        "TRAINYARD_BIN": str(build / "bin"),
        "TRAINYARD_BENCH_BIN": str(build / "bench"),
    }
    programs = sorted(
        p for p in (ROOT / "bench").glob("*.py") if p.stem not in ("benchlib", "table")
    )
    if sys.argv[2:]:
        programs = [p for p in programs if p.stem in sys.argv[2:]]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for program in programs:
            faults = check(program, env, folder)
            failed += bool(faults)
            print(
                f"{'FAIL' if faults else 'ok'}    {program.stem}", *faults, sep="\n  ", flush=True
            )
        faults = list(check_tables(folder, programs))
        if not sys.argv[2:] and sorted(p.stem for p in programs) != listed():
            faults.append("bench/run.sh --list names others")
        failed += bool(faults)
        print(f"{'FAIL' if faults else 'ok'}    table and list", *faults, sep="\n  ", flush=True)
    if not programs:
        failed += 1
    print(f"{len(programs) + 1 - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
