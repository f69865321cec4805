#!/usr/bin/env python3
"""Runs collectives_check under real mpirun with 1, 2, 3, 5 and 8 ranks for every communicator, and
where the ranks may not read each other's memory. The hierarchical one with pretended nodes of equal
and of different sizes; its routes must not show in the results.

usage: collectives_test.py CHECK_PROGRAM NAME
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile


BASE = dict(os.environ, TRAINYARD_ROUTES="",
            OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def check(program, name, ranks, **more):
    """Runs the check; its answer, or None when something was wrong."""
    expected = "single" if ranks == 1 else name
    command = ["mpirun", "-np", str(ranks), "--oversubscribe", "--mca", "btl", "self,vader",
               program, expected]
    environment = dict(BASE, TRAINYARD_COMMUNICATOR=name, **more)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400,
                          check=False)
    if done.returncode != 0 or f"ok {expected} {ranks}" not in done.stdout:
        print(f"{name} with {ranks} ranks, {more}: exit {done.returncode}")
        print(done.stdout, done.stderr, sep="\n")
        return None
    print(f"{name} with {ranks} ranks, {more}: ok")
    return done.stdout.split()[3]


def flat(program, name):
    shapes = [(1, "1"), (2, "1"), (3, "1"), (5, "1"), (8, "1")] + [(3, "0")] * (name == "shared")
    return all(check(program, name, ranks, TRAINYARD_DIRECT=direct) for ranks, direct in shapes)


def hierarchical(program):
    shapes = [(2, 1, "1"), (3, 2, "1"), (5, 2, "0"), (8, 3, "1"), (3, 1, "1")]
    for ranks, node, direct in shapes:
        if not check(program, "hierarchical", ranks, TRAINYARD_PRETEND_NODES_OF=str(node),
                     TRAINYARD_DIRECT=direct, TRAINYARD_ROUTES=""):
            return False
    digests = set()
    for carriers, direct in ((1, "1"), (2, "0")):
        with tempfile.TemporaryDirectory() as folder:
            more = dict(TRAINYARD_PRETEND_NODES_OF="2", TRAINYARD_ROUTES=folder,
                        TRAINYARD_DIRECT=direct)
            files = pathlib.Path(folder)
            digests.add(check(program, "hierarchical", 6, **more))
            (remembered,) = files.glob("routes-*")  # what was measured
            routes = json.loads(remembered.read_text())
            routes["carriers"] = [carriers] * len(routes["carriers"])
            remembered.write_text(json.dumps(routes))
            digests.add(check(program, "hierarchical", 6, **more))
            (remembered,) = files.glob("routes-*")
            if json.loads(remembered.read_text()) != routes:
                print("remembered routes were measured again")
                return False
    print(f"digests {digests}")
    return len(digests) == 1 and None not in digests


def main():
    program, name = sys.argv[1:3]
    right = hierarchical(program) if name == "hierarchical" else flat(program, name)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
