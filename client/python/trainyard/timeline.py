"""Merges the timelines of all ranks into one file for chrome://tracing or Perfetto.

    python3 -m trainyard.timeline FOLDER > merged.json

FOLDER holds rank-R.trace.json files (TRAINYARD_TIMELINE=FOLDER when the gang ran). Says on stderr
which rank came last to how many collectives, and how long the others waited for it.
"""
import json
import pathlib
import sys


def read(path):
    """Events of one file, which may lack its end: the rank may have been killed."""
    events = []
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line.rstrip(","))
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def lateness(events):
    """By rank: how often it came last to a collective, and the seconds others waited for it."""
    calls = {}
    for event in events:
        if event.get("ph") == "X" and event.get("tid") == 0:
            calls.setdefault(event["pid"], []).append(event)
    blame = {rank: [0, 0.0] for rank in calls}
    for together in zip(*calls.values()) if len(calls) > 1 else []:
        last = max(together, key=lambda e: e["ts"])
        blame[last["pid"]][0] += 1
        blame[last["pid"]][1] += sum(last["ts"] - e["ts"] for e in together) / 1e6
    return blame


def merge(folder):
    """All events of a folder, in the order of time."""
    events = []
    for path in sorted(pathlib.Path(folder).glob("rank-*.trace.json")):
        events += read(path)
    return sorted(events, key=lambda e: e.get("ts", 0))


def main(arguments):
    if len(arguments) != 1:
        sys.exit("usage: python3 -m trainyard.timeline FOLDER > merged.json")
    events = merge(arguments[0])
    if not events:
        sys.exit(f"error: no rank-*.trace.json in {arguments[0]}; "
                 "run the gang with TRAINYARD_TIMELINE=FOLDER")
    json.dump({"traceEvents": events}, sys.stdout)
    for rank, (count, seconds) in sorted(lateness(events).items()):
        print(f"rank {rank}: last {count} times, others waited {seconds:.3f} s", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
