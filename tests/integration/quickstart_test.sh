#!/usr/bin/env bash
# The README's first command, as a new user runs it at a terminal, in a state folder of its own. What it shows and what
# the cluster holds afterwards is checked: live progress, 16 trials, an early stop, a committed checkpoint, the test
# accuracy by a check of our own, and that a second build has nothing to do. Exit status 77: skipped.
set -euo pipefail
build=$1
[[ $build == "$PWD/build/release" ]] || { echo "skipped: the quickstart builds build/release, this is $build"; exit 77; }

state=$(mktemp -d)
screen=$state/screen
out=$state/out
export TRAINYARD_STATE=$state/state
export PATH="$build/bin:$PATH"
cleanup() {
  trainyard down --kill >/dev/null 2>&1 || true
  rm -rf "$state"
}
trap cleanup EXIT
fail() { echo "FAILED: $*"; exit 1; }

# bash deploy/quickstart.sh
python3 tests/integration/on_terminal.py "$screen" bash deploy/quickstart.sh || { cat "$screen"; fail "exit status"; }
tr -d '\r' <"$screen" | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' >"$out"
cat "$out"

# What was on the screen.
frames=$(grep -cE '^trials +.* [0-9]+/16' "$out" || true)
[[ $frames -ge 3 ]] || fail "no live progress: $frames frames"
grep -qE '^trials +.* ([1-9]|1[0-5])/16' "$out" || fail "the progress shows no moment in between"
grep -q $'\x1b\[[0-9]*A' "$screen" || fail "the progress is not drawn in place"
grep -qE '^test accuracy (0\.9[6-9]|1)' "$out" || fail "no test accuracy of at least 0.96"
grep -q 'trainyard up' "$out" || fail "no next commands"

# It stopped what it had started, and only its state folder is left.
trainyard up --status >/dev/null 2>&1 && fail "the cluster still runs"
pgrep -f "trainyard-(scheduler|agent|supervisor).*$state" && fail "the quickstart left processes behind"

# What the cluster holds when it is up again.
trainyard up
job=$(trainyard jobs list -o name | head -n 1)
trainyard trials "$job" -o json >"$state/trials.json"
trainyard best "$job" -o json >"$state/best.json"
python3 - "$state/trials.json" <<'PY' || fail "the trials are not what the job promises"
import json, sys
trials = json.load(open(sys.argv[1]))
early = [t["id"] for t in trials if t.get("stoppedEarly")]
saved = [t["id"] for t in trials if any(int(a.get("checkpointStep", -1)) > 0 for a in t["attempts"])]
print(f"{len(trials)} trials, stopped early {early}, with a committed checkpoint {saved}")
sys.exit(not (len(trials) >= 16 and early and saved))
PY

# The best model, pulled and evaluated here, says what the trial said at its end.
trainyard pull "$job" "$state/best"
data=/usr/lib/python3/dist-packages/sklearn/datasets/data/digits.csv.gz
accuracy=$(trainyard-train --evaluate "$state/best/model" --data "$data" | awk '/^test accuracy/ {print $3}')
python3 - "$state/best.json" "$accuracy" <<'PY' || fail "the pulled model is not what the trial reported"
import json, sys
reported, found = json.load(open(sys.argv[1]))["lastMetrics"]["test_accuracy"], float(sys.argv[2])
print(f"reported {reported}, found {found}")
sys.exit(not (found >= 0.96 and abs(reported - found) < 1e-5))
PY

trainyard down --kill
pgrep -f "trainyard-(scheduler|agent|supervisor).*$state" && fail "processes left behind"
again=$(bash deploy/build.sh </dev/null 2>&1 | cat)
[[ $again == *"no work to do"* ]] || fail "a second run builds again: $again"
exit 0
