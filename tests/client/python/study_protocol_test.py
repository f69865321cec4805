#!/usr/bin/env python3
"""One protocol: the same request lines to `trainyard study stream` on a real cluster and to
trainyard-tune, and the same replies. Suggestions are equal too: both have the seed of the spec.

Usage: study_protocol_test.py BUILD_FOLDER
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BIN = pathlib.Path(sys.argv.pop(1)) / "bin"

STUDY = """\
metrics: [{metricId: loss, goal: MINIMIZE}]
parameters:
- {parameterId: x, doubleValueSpec: {minValue: 0, maxValue: 1}}
- {parameterId: n, integerValueSpec: {minValue: 1, maxValue: 9}}
- {parameterId: opt, categoricalValueSpec: {values: [adam, sgd]}}
measurementSelectionType: BEST_MEASUREMENT
trainyard:
  seed: 7
  algorithm: TPE
  stopping: {kind: ASHA, minSteps: 1, maxSteps: 9}
"""

# Each line is played on what the lines above it left.
LINES = [
    '{"ask": 2}',
    '{"ask": 1}',
    '{"tell": 1, "step": 1, "metrics": {"loss": 0.5}}',
    '{"tell": 2, "metrics": {"loss": 0.6}}',
    '{"should_stop": 2}',
    '{"tell": 3, "step": 1, "metrics": {"loss": 9}}',  # the worst of three: at once
    '{"should_stop": 3}',
    '{"tell": 1, "metrics": {"loss": 0.4}}',
    '{"tell": 1, "metrics": {"loss": 0.7}}',
    '{"complete": 1}',
    '{"best": 1}',  # the best measurement, not the last
    '{"best": 0}',
    '{"complete": 2, "metrics": {"loss": "nan"}}',
    '{"complete": 3, "metrics": {}}',
    '{"best": 5}',
    '{"should_stop": 1}',
    '{"ask": 1}',
    '{"complete": 4, "infeasible": "out of memory"}',
    '{"ask": 3}',
    # What is wrong, one thing a line.
    "nonsense",
    "[]",
    "{}",
    '{"ask": 0}',
    '{"ask": -1}',
    '{"ask": "two"}',
    '{"ask": 1.5}',
    '{"ask": 99999999999}',
    '{"ask": 1, "best": 1}',
    '{"best": -1}',
    '{"tell": 5}',
    '{"tell": 5, "metrics": {}}',
    '{"tell": 5, "metrics": {"lost": 1}}',
    '{"tell": 5, "metrics": {"loss": "bad"}}',
    '{"tell": 5, "metrics": {"loss": true}}',
    '{"tell": 5, "step": -3, "metrics": {"loss": 1}}',
    '{"tell": 5, "elapsed": "1 s", "metrics": {"loss": 1}}',
    '{"tell": 77, "metrics": {"loss": 1}}',
    '{"tell": 1, "metrics": {"loss": 1}}',
    '{"tell": 5, "metrics": {"loss": 1, "loss": 2}}',
    '{"complete": 5, "metrics": {"loss": 1, "loss": 2}}',
    '{"ask": 1, "ask": 2}',
    '{"complete": 5}',
    '{"complete": 5, "metrics": {}}',
    '{"complete": 5, "infeasible": 3}',
    '{"complete": 5, "infeasible": "x", "metrics": {"loss": 1}}',
    '{"complete": 77, "metrics": {"loss": 1}}',
    '{"complete": 1, "metrics": {"loss": 1}}',
    '{"should_stop": 77}',
    '{"complete": 5, "metrics": {"loss": 0.1}}',
    '{"best": 1}',
]


def reply_of(line):
    """Of an error its reason: messages are each program's own."""
    reply = json.loads(line)
    if "error" in reply:
        assert reply["error"]["message"], line
        return {"error": reply["error"]["reason"]}
    return reply


def play(*command, env=None):
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], input="".join(line + "\n" for line in LINES),
        env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [reply_of(line) for line in done.stdout.splitlines()]


class StudyProtocolTest(unittest.TestCase):
    def test_both_programs_give_the_same_replies(self):
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "study.yaml"
            config.write_text(STUDY)
            local = play("trainyard-tune", "--config", str(config))
            env = {**os.environ, "TRAINYARD_STATE": str(pathlib.Path(folder) / "state")}
            env.pop("TRAINYARD_ENDPOINT", None)

            def trainyard(*arguments):
                done = subprocess.run([str(BIN / "trainyard"), *arguments], env=env, check=False,
                                      stdin=subprocess.DEVNULL, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)

            trainyard("up")
            try:
                trainyard("study", "create", "s", "--config", str(config))
                cluster = play("trainyard", "study", "stream", "s", env=env)
            finally:
                trainyard("down", "--kill")
        self.assertEqual(len(local), len(LINES))
        self.assertEqual(len(cluster), len(LINES))
        for line, one, other in zip(LINES, local, cluster):
            with self.subTest(line=line):
                self.assertEqual(one, other)
        self.assertEqual(local[4], {"should_stop": False})
        self.assertEqual(local[5], {"ok": True, "should_stop": True})
        self.assertEqual(local[10]["trials"][0]["metrics"], {"loss": 0.4})


if __name__ == "__main__":
    unittest.main()
