#!/usr/bin/env python3
"""The hypertune module writes the file its users' programs are known to write."""
import importlib
import json
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "client" / "python"))
hypertune = importlib.import_module("hypertune")


class HyperTuneTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "deep", "output.metrics")
        patch = mock.patch.dict(os.environ, CLOUD_ML_HP_METRIC_FILE=self.path,
                                CLOUD_ML_TRIAL_ID="7")
        patch.start()
        self.addCleanup(patch.stop)

    def lines(self):
        with open(self.path, encoding="utf-8") as text:
            return text.read().splitlines()

    def test_a_line_has_the_known_keys_sorted_and_values_as_texts(self):
        hypertune.HyperTune().report_hyperparameter_tuning_metric("val loss", 0.25, 12,
                                                                  "gs://x/ckpt")
        (line,) = self.lines()
        point = json.loads(line)
        self.assertEqual(list(point), sorted(point))
        self.assertIsInstance(point.pop("timestamp"), float)
        self.assertEqual(point, {"trial": "7", "val loss": "0.25", "global_step": "12",
                                 "checkpoint_path": "gs://x/ckpt"})

    def test_the_file_is_written_anew_and_keeps_the_last_hundred(self):
        hpt = hypertune.HyperTune()
        for step in range(1, 131):
            hpt.report_hyperparameter_tuning_metric(
                hyperparameter_metric_tag="accuracy", metric_value=step, global_step=step)
        steps = [int(json.loads(line)["global_step"]) for line in self.lines()]
        self.assertEqual(steps, list(range(31, 131)))

    def test_a_new_object_begins_an_empty_ring(self):
        hypertune.HyperTune().report_hyperparameter_tuning_metric("a", 1.0, 1)
        hypertune.HyperTune().report_hyperparameter_tuning_metric("a", float("nan"))
        (line,) = self.lines()
        self.assertEqual(json.loads(line)["a"], "nan")
        self.assertEqual(json.loads(line)["global_step"], "0")

    def test_what_is_no_number_raises(self):
        with self.assertRaises(ValueError):
            hypertune.HyperTune().report_hyperparameter_tuning_metric("a", "high", 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
