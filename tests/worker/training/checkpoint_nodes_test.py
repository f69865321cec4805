#!/usr/bin/python3
"""Checkpoints saved from Python by gangs of two nodes, with one folder for both and with one each.

usage: checkpoint_nodes_test.py LIBRARY         the test
       checkpoint_nodes_test.py LIBRARY node    a rank that is a node, started by mpirun
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "client" / "python"))

from trainyard import checkpoints, training  # noqa: E402  pylint: disable=wrong-import-position


def node():
    """Saves steps 1 to 3 below CHECKPOINTS, keeps one; rank FAILS commits nothing but the first."""
    gang = training.init()
    fails = os.environ.get("FAILS") == str(gang.rank)
    commit, failures = checkpoints._commit, 0

    def broken(folder, step, *more):
        if fails and step > 1:
            raise OSError("no space left")
        commit(folder, step, *more)

    checkpoints._commit = broken
    for step in (1, 2, 3):
        part = {"part": numpy.full(2, 10 * step + gang.rank)}
        try:
            checkpoints.save(os.environ["CHECKPOINTS"], step, part, gang=gang, keep=1)
        except OSError:
            failures += 1
    gang.barrier()
    gang.close()
    print(f"rank {gang.rank}: {failures} failures")


def main():
    if sys.argv[2:] == ["node"]:
        node()
        return
    command = [sys.executable, __file__, sys.argv[1], "node"]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       TRAINYARD_TRAINING_LIBRARY=sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        top = pathlib.Path(name)
        for folders, fails in (("aa", ""), ("bc", ""), ("de", "1")):
            words = ["mpirun", "--oversubscribe"]
            for number, folder in enumerate(folders):
                words += [":"] * number + ["-np", "1"]
                for key, value in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1), ("FAILS", fails),
                                   ("CHECKPOINTS", top / folder),
                                   ("TRAINYARD_PRETEND_NODES_OF", 1)):
                    words += ["-x", f"{key}={value}"]
                words += command
            done = subprocess.run(words, env=environment, capture_output=True, text=True,
                                  timeout=60, check=False)
            failures = 2 if fails else 0
            assert done.stdout.count(f": {failures} failures") == 2, (done.stdout, done.stderr)
        there = {folder.name: sorted(p.name for p in folder.iterdir()) for folder in top.iterdir()}
        # What only one node committed takes nothing from what both have.
        assert there == {"a": ["step_3"], "b": ["step_3"], "c": ["step_3"],
                         "d": ["step_1", "step_2", "step_3"],
                         "e": [".step_2.partial", ".step_3.partial", "step_1"]}, there
        parts = {folder: sorted(p.name for p in (top / folder / "step_3").iterdir())
                 for folder in "abc"}
        assert parts == {"a": ["manifest.json", "shard-0.safetensors", "shard-1.safetensors"],
                         "b": ["manifest.json", "shard-0.safetensors"],
                         "c": ["manifest.json", "shard-1.safetensors"]}, parts


if __name__ == "__main__":
    main()
