#!/usr/bin/env bash
# From an empty clone to a tuned model: installs what is needed, builds, starts the embedded cluster, runs a real
# hyperparameter-tuning job over the UCI handwritten digits, shows the result, stops. Leaves nothing behind but the
# state folder (its path is printed); a second run rebuilds nothing.
#   bash deploy/quickstart.sh [--keep]      --keep: leave the cluster running
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keep=0
case "${1:-}" in
  "") ;;
  --keep) keep=1 ;;
  *) echo "usage: bash deploy/quickstart.sh [--keep]" >&2; exit 2 ;;
esac

step() { printf '\n== %s\n' "$*"; }

step "1/5 Packages"
bash deploy/install-deps.sh

step "2/5 Build"
bash deploy/build.sh
bin=$PWD/build/release/bin
export PATH="$bin:$PATH"

step "3/5 Embedded cluster"
# The cluster of this machine, whatever other one the shell names.
unset TRAINYARD_ENDPOINT TRAINYARD_TOKEN TRAINYARD_PROJECT TRAINYARD_CA_FILE
was_running=0
if trainyard up --status >/dev/null 2>&1; then was_running=1; fi
trainyard up
stop_cluster() {
  if [[ $was_running -eq 0 && $keep -eq 0 ]]; then trainyard down --kill || true; fi
}
trap stop_cluster EXIT

step "4/5 The job: 16 trials of a digits classifier, 4 at a time, 2 ranks each"
job=digits_$(date +%Y%m%d_%H%M%S)
trainyard hp-tuning-jobs create "$job" --config docs/examples/digits/tuning.yaml --stream

step "5/5 The result"
trainyard trials "$job"
echo
trainyard best "$job"
models=${TRAINYARD_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/trainyard}/quickstart/$job
trainyard pull "$job" "$models"
data=/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz
result=$(trainyard-train --evaluate "$models/model" --data "$data")
echo "$result"

# What the trial said of itself must be what its pulled model does, and it must be good.
accuracy=$(awk '/^test accuracy/ {print $3}' <<<"$result")
reported=$(trainyard best "$job" -o json | python3 -c '
import json, sys
print(format(json.load(sys.stdin)["lastMetrics"]["test_accuracy"], ".6g"))')
awk -v a="$accuracy" 'BEGIN {exit !(a >= 0.96)}' ||
  { echo "error: test accuracy $accuracy is below 0.96" >&2; exit 1; }
[[ "$accuracy" == "$reported" ]] ||
  { echo "error: the trial reported $reported, its pulled model gives $accuracy" >&2; exit 1; }

cat <<TXT

Done. Next:
  export PATH="$bin:\$PATH"
  trainyard up                                   # the cluster again; its state is kept
  trainyard jobs list
  trainyard trials $job
  trainyard-train --evaluate $models/model --data $data
  trainyard run -- python3 -c 'print("hello")'   # any program is a job
  bash tests/run.sh                              # build and pass every test
TXT
