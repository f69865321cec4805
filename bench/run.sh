#!/usr/bin/env bash
# Runs benchmarks: all, or those named. Each prints a figure with its peer or limit of the same run. The exit status is 1
# when one of them missed a figure that the project promises, 3 when one could not be judged (a peer is not installed).
#   bench/run.sh [NAME...] [--json FOLDER]      bench/run.sh --list
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

names=()
json=""
while [[ $# -gt 0 ]]; do
  case "$1" in
    --json) json=${2:?folder}; shift ;;
    --list) for f in bench/*.py; do n=$(basename "$f" .py); [[ $n == benchlib || $n == table ]] || echo "$n"; done; exit 0 ;;
    -*) echo "usage: bench/run.sh [NAME...] [--json FOLDER] | --list" >&2; exit 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done
if [[ ${#names[@]} -eq 0 ]]; then mapfile -t names < <(bash bench/run.sh --list); fi

bash deploy/build.sh all
[[ -z "$json" ]] || mkdir -p "$json"
missed=0
unjudged=0
for name in "${names[@]}"; do
  program=bench/$name.py
  [[ -f $program ]] || { echo "error: no benchmark $name; bench/run.sh --list names them" >&2; exit 2; }
  status=0
  python3 "$program" ${json:+--json "$json/$name.json"} || status=$?
  case $status in
    0) ;;
    3) unjudged=3 ;;
    *) missed=1 ;;
  esac
done
exit $((missed ? 1 : unjudged))
