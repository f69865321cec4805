#!/usr/bin/env bash
# Configures and builds in build/release; a second run rebuilds only what changed.
#   deploy/build.sh [ninja targets...]     none: daemons, client and trainer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Equal sources give equal objects in every clone, so that a compiler cache serves them all.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

programs=(trainyard trainyard-scheduler trainyard-agent trainyard-supervisor trainyard-rank trainyard-train)
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=("${programs[@]}")

if [[ ! -f build/release/build.ninja ]]; then
  cmake --preset release >/dev/null
fi
if [[ -t 1 ]]; then
  ninja -C build/release "${targets[@]}"
else
  # Not on a terminal: progress as a line now and then, the whole output when it fails.
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! NINJA_STATUS='[%f/%t] ' ninja -C build/release "${targets[@]}" >"$log" 2>&1; then
    grep -v '^\[[0-9]*/[0-9]*\] [BL]' "$log" | tail -n 80 >&2
    exit 1
  fi
  tail -n 1 "$log"
fi
