#!/usr/bin/env python3
"""Checks the house style over the tracked files: sizes, headers, forbidden words, includes that
go down only.

Prints every breach with its place and exits with 1 when there is one.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
LINE_CHARACTERS_MAX = 100
FUNCTION_LINES_MAX = 70
CODE = {".cc", ".h", ".py", ".cpp"}

# Who may include whom, by first folder (and second for the scheduler). A folder always sees
# itself, proto and common.
BELOW = {
    "common": set(),
    "scheduler/core": set(),
    "scheduler/placement": set(),
    "scheduler/tuning": set(),
    "scheduler/journal": set(),
    "scheduler/store": set(),
    "scheduler/runtime": {
        "scheduler/core",
        "scheduler/placement",
        "scheduler/tuning",
        "scheduler/journal",
        "scheduler/store",
    },
    "scheduler/api": {
        "scheduler/core",
        "scheduler/placement",
        "scheduler/tuning",
        "scheduler/journal",
        "scheduler/store",
        "scheduler/runtime",
    },
    "scheduler/rpc": {
        "scheduler/core",
        "scheduler/placement",
        "scheduler/tuning",
        "scheduler/journal",
        "scheduler/store",
        "scheduler/runtime",
        "scheduler/api",
    },
    "worker": {"worker"},
    "client": {"client", "worker/core"},
}
PURE = ("scheduler/core", "scheduler/placement", "scheduler/tuning", "worker/core")
IMPURE_INCLUDES = re.compile(
    r"#include <(thread|mutex|condition_variable|fstream|chrono|"
    r"sys/socket\.h|unistd\.h|fcntl\.h|glog/.*)>"
)


def tracked():
    out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [pathlib.PurePosixPath(line) for line in out.stdout.splitlines()]


def room(path):
    parts = path.parts
    if parts[0] == "scheduler" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def check_sizes(path, lines, faults):
    if len(lines) > FILE_LINES_MAX:
        faults.append(f"{path}: {len(lines)} lines, at most {FILE_LINES_MAX}")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_CHARACTERS_MAX and "http" not in line and 'R"' not in line:
            faults.append(f"{path}:{number}: {len(line)} characters, at most {LINE_CHARACTERS_MAX}")


def check_functions(path, lines, faults):
    """A function body in our format begins on a line at column 0 (or 2 inside a class) and ends
    with '}' there."""
    start = None
    for number, line in enumerate(lines, 1):
        if (
            start is None
            and re.match(
                r"^[A-Za-z_].*\) (const |noexcept |override )*\{$|^    .*\) (const )?\{$", line
            )
            and not re.match(
                r"^(namespace|class|struct|enum|extern|union|TEST|TEST_F|TEST_P)\b", line
            )
            and not line.startswith("    ")
        ):
            start = number
        elif start is not None and line.startswith("}"):
            if number - start + 1 > FUNCTION_LINES_MAX:
                faults.append(
                    f"{path}:{start}: function of {number - start + 1} lines, "
                    f"at most {FUNCTION_LINES_MAX}"
                )
            start = None


def check_head(path, lines, faults):
    if path.suffix in {".cc", ".h", ".cpp"} and lines and not lines[0].startswith("//"):
        faults.append(f"{path}:1: a file begins with a comment that says what it is")


def check_includes(path, lines, faults):
    here = room(path)
    if here not in BELOW and here.split("/")[0] not in BELOW:
        return
    allowed = BELOW.get(here, BELOW.get(here.split("/")[0]))
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "((?:common|scheduler|worker|client|sim)/[^"]+)"', line)
        if match:
            target = pathlib.PurePosixPath(match.group(1))
            to = room(target)
            if to in (here, "common") or to in allowed or str(target.parent) in allowed:
                continue
            faults.append(f"{path}:{number}: {here} must not include {target}")
        if str(path).startswith(PURE) and "main" not in path.name and IMPURE_INCLUDES.match(line):
            faults.append(
                f"{path}:{number}: a pure room has no clock, thread, file or socket: {line}"
            )


def check_words(path, lines, faults):
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for number, line in enumerate(lines, 1):
        if words.search(line) and path.name != "check_style.py":
            faults.append(f"{path}:{number}: unfinished work is not committed: {line.strip()[:60]}")


def main():
    faults = []
    for path in tracked():
        full = ROOT / path
        if path.suffix not in CODE or not full.is_file() or full.is_symlink():
            continue
        lines = full.read_text(encoding="utf-8").splitlines()
        check_sizes(path, lines, faults)
        check_words(path, lines, faults)
        if path.suffix != ".py":
            check_functions(path, lines, faults)
            check_head(path, lines, faults)
            check_includes(path, lines, faults)
    for fault in faults:
        print(fault)
    print(f"{len(faults)} breaches of the house style")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
