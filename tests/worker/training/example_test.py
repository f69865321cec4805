#!/usr/bin/env python3
"""The C++ example of docs finds its line, the same with 1, 2 and 3 ranks.  usage: example_test.py
PROGRAM"""
import os
import re
import subprocess
import sys


def main():
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    first = None
    for ranks in (1, 2, 3):
        command = ["mpirun", "-np", str(ranks), "--oversubscribe", sys.argv[1],
                "--learning_rate=0.1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100,
                check=False)
        found = re.fullmatch(r"y = (\S+) x (\S+)\n", done.stdout)
        line = [float(x) for x in found.groups()] if found else [0, 0]
        first = first or line  # rounding may move the last digit
        if done.returncode != 0 or abs(line[0] - 3) > 0.05 or abs(line[1] + 1) > 0.05 or \
                max(abs(a - b) for a, b in zip(line, first)) > 0.011:
            print(f"{ranks} ranks: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
