#!/usr/bin/env python3
"""The protocols, proved by Spin: each model is searched exhaustively without a fault, and
with any of its guards taken away a counterexample is found."""
import concurrent.futures
import pathlib
import re
import subprocess
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
MODELS = {
    "lease": ["NO_FENCE", "NO_LEASE"],
    "submit": ["NO_REQUEST_ID", "ACK_BEFORE_SYNC"],
    "gang": ["NO_PREPARE", "NO_ROLL_BACK"],
    "takeover": ["NO_INCARNATION", "NO_EXPECT", "NO_RAISE"],
}


def search(model, guard_off):
    """Number of errors, states, and whether the search was exhaustive."""
    with tempfile.TemporaryDirectory(prefix="spin_") as folder:
        define = [f"-D{guard_off}"] if guard_off else []
        subprocess.run(
            ["spin", *define, "-a", str(HERE / f"{model}.pml")], cwd=folder, check=True,
            capture_output=True,
        )
        subprocess.run(
            ["gcc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], cwd=folder,
            check=True, capture_output=True,
        )
        out = subprocess.run(
            ["./pan", "-m2000000", "-n"], cwd=folder, check=True, capture_output=True, text=True
        ).stdout
    errors = int(re.search(r"errors: (\d+)", out).group(1))
    states = int(float(re.search(r"([\d.e+]+) states, stored", out).group(1)))
    exhaustive = "max search depth too small" not in out and "Search not completed" not in out
    return errors, states, exhaustive, out


class ModelsTest(unittest.TestCase):
    def test_models(self):
        cases = [(model, guard) for model, guards in MODELS.items() for guard in [None, *guards]]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = pool.map(lambda case: search(*case), cases)
            for (model, guard), (errors, states, exhaustive, out) in zip(cases, results):
                print(f"{model:10} {guard or 'all guards':18} {states:9} states {errors} errors")
                with self.subTest(model=model, guard_off=guard):
                    if guard:
                        self.assertGreater(errors, 0, out)
                        self.assertIn("assertion violated", out)
                    else:
                        self.assertEqual(errors, 0, out)
                        self.assertTrue(exhaustive, out)
                        self.assertGreater(states, 500)


if __name__ == "__main__":
    unittest.main(argv=["models_test"])
