#!/usr/bin/env bash
# Installs what is missing, builds everything, passes every test.
#   bash tests/run.sh              the plain suite
#   bash tests/run.sh --long       ten to a thousand times more repetitions of the fault and property tests,
#                                  every fuzzer for an hour
#   bash tests/run.sh --sanitize   instead: everything under ASan and UBSan, what has no gRPC under TSan
#   bash tests/run.sh --fuzz       instead: every fuzzer for ten seconds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

long=0
sanitize=0
fuzz=0
for argument in "$@"; do
  case "$argument" in
    --long) long=1 ;;
    --sanitize) sanitize=1 ;;
    --fuzz) fuzz=1 ;;
    *) echo "usage: bash tests/run.sh [--long] [--sanitize] [--fuzz]" >&2; exit 2 ;;
  esac
done

bash deploy/install-deps.sh
export TRAINYARD_TEST_LONG=$long
# Tests must not see a cluster or settings of whoever runs them.
unset TRAINYARD_ENDPOINT TRAINYARD_TOKEN TRAINYARD_STATE TRAINYARD_SOCKET TRAINYARD_FAULTS
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

run_preset() { # preset, what to build, further ctest arguments...
  local preset=$1 target=$2
  shift 2
  [[ -f build/$preset/build.ninja ]] || cmake --preset "$preset" >/dev/null
  if [[ $preset == release ]]; then
    bash deploy/build.sh "$target"
  else
    CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 ninja -C "build/$preset" "$target" >"build/$preset/log" 2>&1 ||
      { tail -n 80 "build/$preset/log" >&2; return 1; }
  fi
  local configuration=()
  if [[ $long -eq 1 ]]; then configuration=(-C Long); fi
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j 2 "${configuration[@]}" "$@"
}

run_fuzzers() { python3 tests/fuzz/run.py --seconds "$1"; }

if [[ $sanitize -eq 1 || $fuzz -eq 1 ]]; then
  if [[ $fuzz -eq 1 ]]; then run_fuzzers $((long ? 3600 : 10)); fi
  if [[ $sanitize -eq 1 ]]; then
    export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    run_preset tsan pure_tests -L pure
    run_preset asan-ubsan all
  fi
  exit 0
fi
run_preset release all
if [[ $long -eq 1 ]]; then run_fuzzers 3600; fi
