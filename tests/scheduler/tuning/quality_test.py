#!/usr/bin/env python3
"""A gate, not a measurement: a few studies of the benchmarks with loose bars, so that a change that
makes answers much worse, or loses what early stopping saves, is seen at once.

Usage: quality_test.py BUILD_FOLDER
"""
import csv
import pathlib
import statistics
import subprocess
import sys
import tempfile
import unittest

BENCH = pathlib.Path(sys.argv.pop(1)) / "bench"
SEEDS = 5
# Medians of five seeds; the bars of docs/tuning.md are some way below.
REGRET = {"branin@30": 0.45, "levy5@60": 0.9, "mixed7@60": 0.09, "cond8@60": 0.112}


def rows_of(program, *flags):
    with tempfile.NamedTemporaryFile("r", suffix=".csv") as file:
        subprocess.run([str(BENCH / program), f"--seeds={SEEDS}", f"--csv={file.name}", *flags],
                       check=True, stdout=subprocess.DEVNULL)
        return list(csv.reader(file))


class QualityTest(unittest.TestCase):
    def test_regret(self):
        scores = {}
        for row in rows_of("tuning_regret", "--problems=branin,levy5,mixed7,cond8"):
            scores.setdefault(f"{row[0]}@{row[1]}", []).append(float(row[5]))
        for name, bar in REGRET.items():
            with self.subTest(row=name):
                self.assertEqual(len(scores[name]), SEEDS)
                self.assertLessEqual(statistics.median(scores[name]), bar)

    def test_early_stopping(self):
        studies = [tuple(map(float, row[1:])) for row in rows_of("tuning_early_stop")]
        self.assertEqual(len(studies), SEEDS)
        full, scores, saved, speed = zip(*studies)
        self.assertGreaterEqual(min(saved), 0.70)
        self.assertGreaterEqual(min(speed), 2.8)
        self.assertLessEqual(statistics.median(scores), 0.145)
        self.assertLessEqual(statistics.median(scores) - statistics.median(full), 0.02)


if __name__ == "__main__":
    unittest.main()
