#!/usr/bin/env bash
# The README's first command, as a new user runs it, in a state folder of its own; what it prints is checked.
set -euo pipefail
build=$1
state=$(mktemp -d)
out=$(mktemp)
trap 'rm -rf "$state" "$out"' EXIT

[[ $build == "$PWD/build/release" ]] || { echo "skipped: the quickstart builds build/release, this is $build"; exit 0; }
TRAINYARD_STATE=$state bash deploy/quickstart.sh >"$out" 2>&1 </dev/null || { cat "$out"; exit 1; }
cat "$out"

fail() { echo "FAILED: $*"; exit 1; }
grep -qE '^test accuracy 0\.9[6-9]|^test accuracy 1' "$out" || fail "no test accuracy of at least 0.96"
grep -q 'trainyard up' "$out" || fail "no next commands"
[[ $(grep -cE '^ *[0-9]+ +.*(SUCCEEDED|INFEASIBLE)' "$out") -ge 16 ]] || fail "no table of 16 trials"
pgrep -f "trainyard-(scheduler|agent|supervisor).*$state" && fail "processes left behind"
exit 0
