#!/usr/bin/env python3
"""The release build of the daemons and the client from nothing: a copy of this tree, no compiler
cache. For scale the same with all cores' time added up."""
import os
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time

import benchlib

PROGRAMS = [
    "trainyard",
    "trainyard-scheduler",
    "trainyard-agent",
    "trainyard-supervisor",
    "trainyard-rank",
]


def copy_tree(to):
    """The files that the project tracks, as they are now."""
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=benchlib.ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, names):
        source, target = benchlib.ROOT / name, pathlib.Path(to) / name
        if not source.is_file():
            continue  # removed, not yet committed
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def main():
    args = benchlib.arguments(__doc__)
    report = benchlib.Report("release build from nothing", args.json)
    programs = ["trainyard-rank"] if args.quick else PROGRAMS
    with tempfile.TemporaryDirectory(prefix="trainyard-build-") as folder:
        copy_tree(folder)
        begin = time.monotonic()
        subprocess.run(
            ["bash", "deploy/build.sh", *programs],
            cwd=folder,
            check=True,
            env=os.environ if args.quick else {**os.environ, "CCACHE_DISABLE": "1"},
            stdout=subprocess.DEVNULL,
        )
        minutes = (time.monotonic() - begin) / 60
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report.figure("processor minutes", (used.ru_utime + used.ru_stime) / 60, "minutes")
    name = f"{', '.join(programs)}: minutes on {os.cpu_count()} cores"
    report.bar(name, minutes, at_most=10)
    report.close()


if __name__ == "__main__":
    main()
