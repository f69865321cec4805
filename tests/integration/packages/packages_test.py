#!/usr/bin/env python3
"""Packages as users bring them, through the whole embedded cluster: a folder without setup.py, with
setup.py and with pyproject.toml, a source distribution and a wheel; what cannot be installed is
told at once; outputs are found under the name that --job-dir gave them.

Usage: packages_test.py BUILD_FOLDER
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.request

PROGRAM = pathlib.Path(sys.argv[1], "bin", "trainyard").resolve()
PYTHON = "/usr/bin/python3"
SETUP = ("from setuptools import setup\n"
         "setup(name='trainer', version='{version}', packages=['trainer'],\n"
         "      package_dir={{'trainer': 'code'}}, install_requires=['of-another-world'])\n")
PYPROJECT = ("[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
             "[project]\nname = 'trainer'\nversion = '{version}'\n"
             "[tool.setuptools]\npackages = ['trainer']\n")
TASK = ("import os, pathlib, sys\n"
        "print('arguments', sys.argv[1:], pathlib.Path(__file__).parent.name)\n"
        "folder = os.environ['TRAINYARD_JOB_DIR']\n"
        "pathlib.Path(folder, 'notes').mkdir()\n"
        "pathlib.Path(folder, 'notes', 'a.txt').write_text('found')\n"
        "pathlib.Path(os.environ['AIP_MODEL_DIR'], 'model.bin').write_text('weights')\n")


class PackagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="trainyard-packages-")
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.state = cls.folder / "state"
        cls.environment = dict(os.environ, HOME=str(cls.folder), TRAINYARD_STATE=str(cls.state))
        for name in ("TRAINYARD_ENDPOINT", "TRAINYARD_TOKEN", "PYTHONPATH"):
            cls.environment.pop(name, None)
        started = cls.run_here("up")
        assert started.returncode == 0, started.stderr

    @classmethod
    def tearDownClass(cls):
        cls.run_here("down", "--kill")
        cls.temporary.cleanup()

    @classmethod
    def run_here(cls, *words, folder=None):
        return subprocess.run([str(PROGRAM), *map(str, words)], env=cls.environment, text=True,
                              capture_output=True, timeout=120, cwd=folder or cls.folder)

    def project(self, name, version="1", setup=None, pyproject=None, code="trainer"):
        root = self.folder / name
        (root / code).mkdir(parents=True)
        (root / code / "__init__.py").write_text("")
        (root / code / "task.py").write_text(TASK)
        if setup:
            (root / "setup.py").write_text(setup.format(version=version))
        if pyproject:
            (root / "pyproject.toml").write_text(pyproject.format(version=version))
        return root

    def submit(self, name, *words, folder=None, good=True):
        result = self.run_here("jobs", "submit", "training", name, "--module-name", "trainer.task",
                               "--stream-logs", *words, folder=folder)
        self.assertEqual(result.returncode == 0, good, result.stdout + result.stderr)
        return result

    def describe(self, name):
        return json.loads(self.run_here("jobs", "describe", name, "-o", "json").stdout)

    def cached(self):
        return sorted(path.name for path in (self.state / "agent" / "cache").iterdir())

    def test_every_kind_of_package_runs(self):
        plain = self.project("plain")
        setup = self.project("setup", setup=SETUP, code="code")
        pyproject = self.project("pyproject", pyproject=PYPROJECT)
        source = self.project("source", version="2", setup=SETUP, code="code")
        made = subprocess.run([PYTHON, "setup.py", "-q", "sdist"], cwd=source, capture_output=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        made = subprocess.run([PYTHON, "setup.py", "-q", "bdist_wheel"], cwd=source,
                              capture_output=True)
        self.assertEqual(made.returncode, 0, made.stderr)
        cases = {
            "plain": ("--package-path", plain / "trainer"),
            "setup": ("--package-path", setup / "code"),
            "pyproject": ("--package-path", pyproject / "trainer"),
            "sdist": ("--packages", source / "dist" / "trainer-2.tar.gz"),
            "wheel": ("--packages", source / "dist" / "trainer-2-py3-none-any.whl"),
        }
        for name, words in cases.items():
            with self.subTest(name):
                before = self.cached()
                result = self.submit(f"{name}_1", *words, "--", "--steps", "5")
                self.assertIn("arguments ['--steps', '5'] trainer", result.stdout)
                once = self.cached()
                self.assertEqual(len(once), len(before) + 1)
                self.submit(f"{name}_2", *words)
                self.assertEqual(self.cached(), once, "it was made ready twice")

    def test_a_package_that_cannot_be_installed_ends_the_job_at_once(self):
        root = self.project("broken", setup="raise RuntimeError('the moon is not full')\n")
        result = self.submit("broken", "--package-path", root / "trainer", good=False)
        self.assertIn("the moon is not full", result.stderr)
        job = self.describe("broken")
        self.assertEqual(job["state"], "FAILED")
        self.assertEqual(job["error"]["cause"], "STAGING")
        self.assertEqual(len(job["attempts"]), 1, "it was tried again in vain")

    def test_outputs_are_found_under_the_job_dir(self):
        root = self.project("outputs")
        self.submit("outputs", "--package-path", root / "trainer", "--job-dir", "gs://team/iris/")
        names = {entry["name"] for entry in self.ask("team?prefix=iris/")["objects"]}
        self.assertEqual(names, {"iris/notes/a.txt", "iris/model/model.bin"})
        self.assertEqual(self.ask("team/iris/notes/a.txt"), b"found")

    def ask(self, what):
        """An object of the store, or a listing, as the store's HTTP gives it to the owner."""
        address = json.loads((self.state / "endpoint.json").read_text())["http"]
        token = (self.state / "token").read_text().strip()
        request = urllib.request.Request(f"http://{address}/v1/objects/{what}",
                                         headers={"authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            body = reply.read()
            is_json = reply.headers["content-type"] == "application/json"
            return json.loads(body) if is_json else body

    def test_a_bucket_that_cannot_be_is_refused_at_submit(self):
        root = self.project("bucket")
        result = self.submit("bucket", "--package-path", root / "trainer", "--job-dir",
                             "gs://Upper_Case/x", good=False)
        self.assertEqual(result.returncode, 4, result.stderr)
        self.assertIn("bucket", result.stderr)

    def test_a_program_that_knows_no_job_dir_is_told_the_same_here_and_there(self):
        root = self.project("strict")
        (root / "trainer" / "task.py").write_text(
            "import argparse\nparser = argparse.ArgumentParser()\n"
            "parser.add_argument('--steps')\nprint(parser.parse_args())\n")
        there = self.submit("strict", "--package-path", root / "trainer", "--job-dir",
                            "gs://team/strict", "--", "--steps", "1", good=False)
        here = self.run_here("local", "train", "--module-name", "trainer.task", "--package-path",
                             "trainer", "--job-dir", "gs://team/strict", "--", "--steps", "1",
                             folder=root)
        self.assertEqual((there.returncode, here.returncode), (8, 8), here.stderr)
        for said in (there.stderr, here.stderr):
            self.assertIn("does not know the argument --job-dir=", said)
            self.assertIn("Leave --job-dir (jobDir in a spec) out", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
