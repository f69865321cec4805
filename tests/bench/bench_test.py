#!/usr/bin/env python3
"""Runs every bench/*.py with --quick --json and looks at what it wrote: rows with numbers, each
skip with its reason, no error. Whether a promised figure was met is not judged here: status 1 of a
program that wrote its numbers is no fault.
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
    if not any("median" in row or "value" in row for row in rows):
        yield "no row has a number"
    for row in rows:
        if "skipped" in row:
            if not row["skipped"]:
                yield f"{row['name']}: skipped without a reason"
            continue
        numbers = [row[key] for key in ("median", "min", "p90", "p99", "value") if key in row]
        if not numbers or not all(math.isfinite(number) for number in numbers):
            yield f"{row['name']}: no finite numbers in {row}"
        if "median" in row and not 0 < row["min"] <= row["median"] <= row["p99"]:
            yield f"{row['name']}: out of order: {row}"
        if "bar" in row and row["met"] not in (True, False):
            yield f"{row['name']}: a bar that says neither met nor missed"


def check(program, env):
    with tempfile.TemporaryDirectory() as folder:
        numbers = pathlib.Path(folder) / "numbers.json"
        words = [sys.executable, str(program), "--quick", "--json", str(numbers)]
        done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
        if done.returncode not in (0, 1) or not numbers.exists():
            return [f"exit status {done.returncode}", done.stdout[-2000:], done.stderr[-2000:]]
        return list(faults_of(json.loads(numbers.read_text())["rows"]))


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
    for program in programs:
        faults = check(program, env)
        failed += bool(faults)
        print(f"{'FAIL' if faults else 'ok'}    {program.stem}", *faults, sep="\n  ", flush=True)
    print(f"{len(programs) - failed} passed, {failed} failed")
    return 1 if failed or not programs else 0


if __name__ == "__main__":
    sys.exit(main())
