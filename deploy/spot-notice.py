#!/usr/bin/env python3
"""Asks a cloud's metadata service whether this machine will be taken away, and tells the agent.

It does so by the file that the agent looks at (trainyard-agent --notice_file). Runs on each spot
machine, beside the agent, until it is ended; needs nothing but Python.

    deploy/spot-notice.py --cloud aws|gcp|azure --file FILE [--metadata URL] [--every SECONDS]

A notice that the cloud takes back is taken back. A metadata service that does not answer is said
once and asked again.
"""
import argparse
import datetime
import email.utils
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 2
GCP_SECONDS = 30  # from the notice to the end; it says no time


def fetch(url, headers=None, method="GET"):
    """The text at `url`, None where there is none (404)."""
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def aws(base):
    """When this machine leaves, as text for the agent; None while it stays."""
    token = fetch(f"{base}/latest/api/token", method="PUT",
                  headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    text = fetch(f"{base}/latest/meta-data/spot/instance-action",
                 {"X-aws-ec2-metadata-token": token} if token else {})
    return None if text is None else json.loads(text)["time"]


def gcp(base):
    """The same."""
    text = fetch(f"{base}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"})
    return f"{GCP_SECONDS}s" if text is not None and text.strip() == "TRUE" else None


def azure(base):
    """The same; the first event that ends the machine or what runs there."""
    text = fetch(f"{base}/metadata/scheduledevents?api-version=2020-07-01", {"Metadata": "true"})
    times = []
    for event in json.loads(text or "{}").get("Events", []):
        if event.get("EventType") not in ("Preempt", "Terminate", "Redeploy", "Reboot"):
            continue
        said = event.get("NotBefore", "")
        if not said:  # it has begun
            return "0s"
        times.append(email.utils.parsedate_to_datetime(said))
    if not times:
        return None
    return min(times).astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


CLOUDS = {
    "aws": (aws, "http://169.254.169.254"),
    "gcp": (gcp, "http://metadata.google.internal"),
    "azure": (azure, "http://169.254.169.254"),
}


def tell(file, text):
    """Whole or not at all."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(text + "\n")
    draft.rename(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cloud", required=True, choices=sorted(CLOUDS))
    parser.add_argument("--file", required=True, type=pathlib.Path)
    parser.add_argument("--metadata", help="address of the metadata service; default: the cloud's")
    parser.add_argument("--every", type=float, default=2, help="seconds between two questions")
    arguments = parser.parse_args()
    ask, address = CLOUDS[arguments.cloud]
    address = (arguments.metadata or address).rstrip("/")
    if not arguments.file.parent.is_dir():
        sys.exit(f"error: {arguments.file.parent} is no folder; give --file the path that the "
                 "agent looks at, by default leaving in its --work_dir")
    # What an earlier one told counts: it may be over by now.
    told, silent = arguments.file.read_text().strip() if arguments.file.exists() else None, False
    while True:
        try:
            text = ask(address)
            if silent:
                print(f"{address} answers again", file=sys.stderr, flush=True)
            silent = False
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not silent:
                print(f"{address} does not answer as {arguments.cloud} does, asked again every "
                      f"{arguments.every:g} s: {error}", file=sys.stderr, flush=True)
            silent, text = True, told
        if text != told and text is not None:
            print(f"this machine leaves: {text}", flush=True)
            tell(arguments.file, text)
        elif text != told:
            print("the notice is taken back", flush=True)
            arguments.file.unlink(missing_ok=True)
        told = text
        time.sleep(arguments.every)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
