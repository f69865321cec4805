#!/usr/bin/env python3
"""Runs collectives_check under real mpirun with 1, 2, 3, 5 and 8 ranks for every communicator, and
where the ranks may not read each other's memory.

usage: collectives_test.py CHECK_PROGRAM NAME
"""
import os
import subprocess
import sys


def main():
    program, name = sys.argv[1:3]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       TRAINYARD_COMMUNICATOR=name)
    for ranks, direct in ((1, "1"), (2, "1"), (3, "1"), (5, "1"), (8, "1"), (3, "0")):
        if name == "mpi" and direct == "0":
            continue
        environment["TRAINYARD_DIRECT"] = direct
        expected = "single" if ranks == 1 else name
        command = ["mpirun", "-np", str(ranks), "--oversubscribe", "--mca", "btl", "self,vader",
                program, expected]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400,
                check=False)
        if done.returncode != 0 or f"ok {expected} {ranks}" not in done.stdout:
            print(f"{name} with {ranks} ranks: exit {done.returncode}")
            print(done.stdout, done.stderr, sep="\n")
            return 1
        print(f"{name} with {ranks} ranks: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
