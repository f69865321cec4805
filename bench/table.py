#!/usr/bin/env python3
"""Prints the numbers that `bench/run.sh --json FOLDER` left there as Markdown tables.
Usage: bench/table.py FOLDER"""
import json
import pathlib
import statistics
import sys


def line(row):
    if "skipped" in row:
        return f"| {row['name']} | skipped: {row['skipped']} | | | |"
    if "studies" in row:  # one list of figures a study; their medians stand in rows of their own
        return f"| {row['name']} | {len(row['studies'])} studies, in the JSON | | | |"
    if "ours" in row:
        bar = "" if row.get("bar") is None else f"<= {row['bar']:g}"
        spread = f"{min(row['ours']):.4g} .. {max(row['ours']):.4g}"
        median = f"{statistics.median(row['ours']):.4g}"
        return f"| {row['name']} | {median} | {spread} | {len(row['ours'])} | {bar} |"
    if "text" in row and "value" not in row:
        return f"| {row['name']} | in the JSON | | | |"
    if "bar" in row:
        verdict = "met" if row["met"] else "**missed**"
        return f"| **{row['name']}** | **{row['value']:.4g}** | | | {row['bar']}: {verdict} |"
    if "value" in row:
        return f"| {row['name']} | {row['value']:.4g} {row['text']} | | | |"
    spread = f"{row['min']:.4g} .. {row['p99']:.4g}"
    return f"| {row['name']} | {row['median']:.4g} {row['unit']} | {spread} | {row['n']} | |"


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    files = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
    if not files:
        print(
            f"error: no .json in {sys.argv[1]}; bench/run.sh --json {sys.argv[1]} writes them",
            file=sys.stderr,
        )
        return 6
    for file in files:
        report = json.loads(file.read_text())
        print(f"### {report['title']}: `bench/run.sh {file.stem}`")
        print("| What | Median | Min .. p99 | n | Promised |")
        print("| --- | --- | --- | --- | --- |")
        for row in report["rows"]:
            print(line(row))
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
