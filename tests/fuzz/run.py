#!/usr/bin/env python3
"""Builds every fuzzer (clang, address and undefined sanitizers, coverage of our parsers) and runs
each from the corpus in this folder.

    tests/fuzz/run.py [--seconds N] [--seed N] [--jobs N] [--keep FOLDER] [NAME...]

Ends with 1 and the input, as base64, when one of them finds something. --keep: new inputs are added
to FOLDER/NAME, from where a person picks what belongs into the corpus.
"""
import argparse
import base64
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "fuzz"
# Other corpora that people keep anyway.
MORE = {"spec_fuzz": ["tests/common/spec/good", "tests/common/spec/bad"]}


def targets():
    return sorted(path.stem for path in HERE.glob("*_fuzz.cc"))


def build():
    environment = dict(os.environ, CCACHE_BASEDIR=str(ROOT), CCACHE_NOHASHDIR="1")
    if not (BUILD / "build.ninja").exists():
        configure = ["cmake", "--preset", "fuzz"]
        subprocess.run(configure, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(
        ["ninja", "-C", str(BUILD), "fuzzers"], env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        sys.exit(done.stdout[-4000:] + done.stderr[-4000:])


def hex_seeds(folder):
    """The journal's golden records, which are kept as hexadecimal text."""
    for path in (ROOT / "tests/scheduler/journal/golden").glob("*.hex"):
        (folder / path.stem).write_bytes(bytes.fromhex("".join(path.read_text().split())))


def run(name, seconds, seed, keep):
    with tempfile.TemporaryDirectory(prefix="fuzz_") as temporary:
        work = pathlib.Path(temporary)
        new = pathlib.Path(keep) / name if keep else work / "new"
        new.mkdir(parents=True, exist_ok=True)
        corpora = [HERE / "corpus" / name] + [ROOT / more for more in MORE.get(name, [])]
        if name == "journal_record_fuzz":
            (work / "golden").mkdir()
            hex_seeds(work / "golden")
            corpora.append(work / "golden")
        command = [
            str(BUILD / "tests" / name),
            f"-max_total_time={seconds}",
            f"-seed={seed}",  # 0: another each time
            "-max_len=8192",
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
            f"-artifact_prefix={work}/found-",
            str(new),
            *map(str, corpora),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        runs = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
        edges = re.findall(r"cov: (\d+)", done.stderr)
        found = [base64.b64encode(path.read_bytes()).decode() for path in work.glob("found-*")]
        return {
            "name": name,
            "ok": done.returncode == 0,
            "runs": int(runs.group(1)) if runs else 0,
            "edges": int(edges[-1]) if edges else 0,
            "output": done.stderr[-6000:],
            "found": found,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", default="")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(targets())
    if unknown:
        sys.exit(f"error: no fuzzer {', '.join(sorted(unknown))}; there are {', '.join(targets())}")
    build()
    failed = False
    print(f"{'fuzzer':24} {'inputs':>10} {'edges':>7}")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        names = arguments.names or targets()
        seconds, seed, keep = arguments.seconds, arguments.seed, arguments.keep
        for result in pool.map(lambda name: run(name, seconds, seed, keep), names):
            print(f"{result['name']:24} {result['runs']:10} {result['edges']:7}", flush=True)
            if result["ok"] and result["runs"] > 0:
                continue
            failed = True
            print(result["output"])
            for one in result["found"]:
                print(f"{result['name']} fails on (base64): {one}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
