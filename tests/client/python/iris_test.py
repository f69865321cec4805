#!/usr/bin/env python3
"""The iris example as a program: the arguments, the metric file, where the model goes, and the data
it carries."""
import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "iris"


def find_python():
    """An interpreter that has scikit-learn: Debian's, or whichever runs this test."""
    for python in ("/usr/bin/python3", sys.executable):
        check = subprocess.run([python, "-c", "import sklearn, joblib"], capture_output=True)
        if check.returncode == 0:
            return python
    return None


PYTHON = find_python()


class IrisTest(unittest.TestCase):
    def setUp(self):
        if PYTHON is None:
            self.skipTest("no python3 with scikit-learn here; install python3-sklearn")
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # Only the package travels to a node.
        shutil.copytree(EXAMPLE / "trainer", self.folder / "package" / "trainer",
                        ignore=shutil.ignore_patterns("__pycache__"))

    def train(self, *arguments, **environment):
        full = {name: value for name, value in os.environ.items()
                if not name.startswith(("AIP_", "CLOUD_ML", "TRAINYARD"))}
        full["PYTHONPATH"] = f"{self.folder / 'package'}:{ROOT / 'client' / 'python'}"
        full.update(environment)
        return subprocess.run([PYTHON, "-m", "trainer.task", *arguments], cwd=self.folder, env=full,
                              capture_output=True, text=True, timeout=100)

    def test_learns_reports_and_saves_to_the_model_folder(self):
        metrics = self.folder / "output.metrics"
        result = self.train("--train_steps", "500", "--job-dir", str(self.folder / "job"),
                            CLOUD_ML_HP_METRIC_FILE=str(metrics),
                            AIP_MODEL_DIR=str(self.folder / "model") + "/")
        self.assertEqual(result.returncode, 0, result.stderr)
        points = [json.loads(line) for line in metrics.read_text().splitlines()]
        self.assertEqual([int(point["global_step"]) for point in points], list(range(50, 501, 50)))
        self.assertGreaterEqual(float(points[-1]["accuracy"]), 0.9)
        evaluate = ("import joblib, sys; sys.path.insert(0, 'package')\n"
                    "from trainer.model import load\n"
                    "m = joblib.load('model/model.joblib')\n"
                    "x, y = load('package/trainer/data/test.csv')\n"
                    "print(m['classifier'].score(m['scaler'].transform(x), y))\n")
        score = subprocess.run([PYTHON, "-c", evaluate], cwd=self.folder, capture_output=True,
                               text=True, timeout=60)
        self.assertEqual(score.returncode, 0, score.stderr)
        self.assertAlmostEqual(float(score.stdout), float(points[-1]["accuracy"]))
        self.assertFalse((self.folder / "job").exists())

    def test_without_model_folder_the_job_dir_gets_the_model(self):
        result = self.train("--train_steps", "5", f"--job-dir={self.folder / 'job'}",
                            "--learning_rate=0.1")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((self.folder / "job" / "model.joblib").is_file())

    def test_outdir_wins_and_files_can_be_named(self):
        data = EXAMPLE / "trainer" / "data"
        result = self.train("--train_steps", "5", "--outdir", "mine", "--train_file",
                            str(data / "test.csv"),
                            "--test_file", str(data / "train.csv"),
                            AIP_MODEL_DIR=str(self.folder / "model"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue((self.folder / "mine" / "model.joblib").is_file())

    def test_unknown_arguments_are_refused_by_name(self):
        result = self.train("--jobdir", "x")
        self.assertEqual(result.returncode, 2)
        self.assertIn("unrecognized arguments: --jobdir x", result.stderr)

    def test_the_data_is_what_the_script_makes(self):
        script = self.folder / "make_data.py"
        shutil.copy(EXAMPLE / "make_data.py", script)
        subprocess.run([PYTHON, str(script)], check=True, timeout=60)
        for name in ("train.csv", "test.csv"):
            self.assertTrue(filecmp.cmp(self.folder / "trainer" / "data" / name,
                                        EXAMPLE / "trainer" / "data" / name, shallow=False), name)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
