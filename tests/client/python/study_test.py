#!/usr/bin/env python3
"""Study of the Python module: whole studies with trainyard-tune, and the command lines that it
types at a cluster, taken down by a stand-in for the trainyard program.

Usage: study_test.py BUILD_FOLDER
"""
import json
import os
import pathlib
import stat
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "client/python"))
BIN = pathlib.Path(sys.argv.pop(1)) / "bin" if len(sys.argv) > 1 else ROOT / "build/release/bin"

from trainyard.study import Study, StudyError  # noqa: E402

CONFIG = """\
metrics: [{metricId: loss, goal: MINIMIZE}]
parameters:
- {parameterId: x, doubleValueSpec: {minValue: 0, maxValue: 1}}
- {parameterId: n, integerValueSpec: {minValue: 1, maxValue: 9}}
- {parameterId: opt, categoricalValueSpec: {values: [adam, sgd]}}
"""

# Answers like the real one for a study of one parameter and writes down how it was called.
STAND_IN = """\
#!{python}
import json, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
verb = sys.argv[2]
if verb == "describe":
    sys.exit({described})
if verb == "trials":
    print(json.dumps([
        {{"id": 1, "state": "TRIAL_SUCCEEDED",
          "parameters": [{{"parameterId": "n", "integer": "3"}},
                         {{"parameterId": "opt", "text": "adam"}},
                         {{"parameterId": "x", "number": 0.5}}],
          "finalMeasurement": {{"metrics": [{{"metricId": "loss", "value": "NaN"}}]}}}}]))
if verb == "stream":
    for line in sys.stdin:
        if "ask" in line:
            print(json.dumps({{"trials": [{{"id": 7, "parameters": {{"x": 0.5}}}}]}}), flush=True)
        else:
            break
    print("the scheduler went away", file=sys.stderr)
"""


def loss(parameters):
    return (parameters["x"] - 0.3) ** 2 + abs(parameters["n"] - 4) + (parameters["opt"] != "sgd")


class StudyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.config = self.folder / "study.yaml"
        self.config.write_text(CONFIG)
        before = os.environ.get("TRAINYARD_BIN")
        self.addCleanup(lambda: os.environ.pop("TRAINYARD_BIN") if before is None
                        else os.environ.update(TRAINYARD_BIN=before))
        os.environ["TRAINYARD_BIN"] = str(BIN)

    def stand_in(self, described):
        calls = self.folder / "calls"
        program = self.folder / "trainyard"
        program.write_text(STAND_IN.format(python=sys.executable, calls=str(calls),
                                           described=described))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        os.environ["TRAINYARD_BIN"] = str(self.folder)
        return lambda: [json.loads(line) for line in calls.read_text().splitlines()]

    def test_a_local_study_finds_the_optimum(self):
        with Study.local(self.config, seed=3) as study:
            for _ in range(20):
                for trial in study.ask(2):
                    self.assertFalse(study.tell(trial, step=1, loss=loss(trial.parameters)))
                    self.assertFalse(study.should_stop(trial))
                    study.complete(trial, loss=loss(trial.parameters))
            best = study.best()[0]
            self.assertEqual(best["parameters"]["n"], 4)
            self.assertEqual(best["parameters"]["opt"], "sgd")
            self.assertLess(best["metrics"]["loss"], 0.02)
            trials = study.trials()
            self.assertEqual(len(trials), 40)
            self.assertEqual({t["state"] for t in trials}, {"SUCCEEDED"})

    def test_the_same_seed_gives_the_same_study(self):
        asked = []
        for _ in range(2):
            with Study.local(self.config, seed=5) as study:
                asked.append([t.parameters for t in study.ask(12)])
        self.assertEqual(asked[0], asked[1])

    def test_mistakes_raise_and_the_study_goes_on(self):
        with Study.local(self.config, seed=1) as study:
            (trial,) = study.ask()
            with self.assertRaises(StudyError) as raised:
                study.tell(99, loss=1)
            self.assertEqual(raised.exception.reason, "NOT_FOUND")
            with self.assertRaises(StudyError) as raised:
                study.complete(trial, speed=1)
            self.assertEqual(raised.exception.reason, "METRIC_MISSING")
            study.tell(trial, loss=float("nan"))
            study.complete(trial, infeasible="out of memory")
            self.assertEqual(study.trials()[0]["state"], "INFEASIBLE")
            self.assertEqual(len(study.ask(3)), 3)

    def test_a_wrong_config_is_told(self):
        self.config.write_text("metrics: []\n")
        study = Study.local(self.config)
        with self.assertRaises(StudyError) as raised:
            study.ask()
        self.assertIn("metric", str(raised.exception))
        study.close()

    def test_a_study_of_a_cluster_is_made_once(self):
        calls = self.stand_in(described=3)
        with Study("s", config=self.config, client_id="w1") as study:
            self.assertEqual(study.ask()[0].id, 7)
            self.assertEqual(calls()[1], ["study", "create", "s", "--config", str(self.config)])
            self.assertEqual(calls()[2], ["study", "stream", "s", "--client-id", "w1"])
            with self.assertRaises(StudyError) as raised:
                study.best()
            self.assertIn("the scheduler went away", str(raised.exception))

    def test_trials_of_a_cluster_are_plain_values(self):
        self.stand_in(described=0)
        with Study("s") as study:
            (trial,) = study.trials()
            self.assertEqual(trial["parameters"], {"n": 3, "opt": "adam", "x": 0.5})
            self.assertNotEqual(trial["metrics"]["loss"], trial["metrics"]["loss"])  # nan
            self.assertEqual(trial["state"], "SUCCEEDED")
            try:
                import pandas  # noqa: F401
            except ImportError:
                print("trials_dataframe not tried: pandas is not installed")
                return
            frame = study.trials_dataframe()
            self.assertEqual(list(frame["params_n"]), [3])

    def test_the_module_itself_offers_it(self):
        import trainyard

        self.assertIs(trainyard.Study, Study)
        with self.assertRaises(AttributeError):
            trainyard.Studie  # noqa: B018

    def test_a_missing_program_is_named(self):
        os.environ["TRAINYARD_BIN"] = str(self.folder / "none")
        with self.assertRaises(FileNotFoundError) as raised:
            Study("s")
        self.assertIn("TRAINYARD_BIN", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
