#!/usr/bin/env python3
"""trainyard-sim run as people use it: output, figures as JSON, exit statuses, the same seed twice
in two processes.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)


def run(*arguments):
    return subprocess.run(
        [PROGRAM, "run", *arguments], capture_output=True, text=True, timeout=200, check=False
    )


class SimCliTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.json = os.path.join(self.folder.name, "figures.json")

    def figures(self):
        with open(self.json, encoding="utf-8") as file:
            return json.load(file)

    def test_seed_comes_first_and_figures_follow(self):
        done = run("--seed", "5", "--hours", "0.3", "--agents", "4", "--json", self.json)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["seed", "5"])
        for word in ("events", "faults", "publications", "state", "history"):
            self.assertTrue(any(line.startswith(word) for line in lines), word)
        figures = self.figures()
        self.assertEqual(figures["seed"], 5)
        self.assertGreater(figures["events"], 5000)
        self.assertEqual(sum(figures["eventsByKind"].values()), figures["events"])
        self.assertIn("agent-hang", figures["faults"])
        self.assertNotIn("violation", figures)
        self.assertIn(figures["stateHash"], done.stdout)

    def test_two_processes_play_the_same_history(self):
        hashes = []
        for _ in range(2):
            done = run("--seed", "9", "--hours", "0.5", "--json", self.json)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            figures = self.figures()
            hashes.append((figures["historyHash"], figures["stateHash"], figures["events"]))
        self.assertEqual(hashes[0], hashes[1])

    def test_named_faults_alone(self):
        faults = ["--faults", "agent-crash,delay"]
        done = run("--seed", "5", "--hours", "0.5", *faults, "--json", self.json)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(set(self.figures()["faults"]), {"agent-crash", "delay"})
        done = run("--seed", "5", "--hours", "0.2", "--faults", "none", "--json", self.json)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(self.figures()["faults"], {})

    def test_violation_is_told_and_exits_with_1(self):
        done = run("--seed", "1", "--guard-off", "ack-after-sync", "--json", self.json)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("VIOLATION at", done.stdout)
        self.assertIn("The last events before it:", done.stdout)
        violation = self.figures()["violation"]
        self.assertIn("durable", violation["what"])
        self.assertGreater(violation["atSeconds"], 0)
        self.assertGreater(len(violation["lastEvents"]), 3)

    def test_wrong_names_are_refused(self):
        done = run("--seed", "1", "--faults", "flood")
        self.assertEqual(done.returncode, 4)
        self.assertIn("agent-hang", done.stderr)
        done = run("--seed", "1", "--guard-off", "door")
        self.assertEqual(done.returncode, 4)
        self.assertIn("free-by-release", done.stderr)
        self.assertEqual(run("--hours", "1").returncode, 2)


if __name__ == "__main__":
    unittest.main()
