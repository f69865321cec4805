#!/usr/bin/env bash
# Installs what is missing, builds everything, passes every test.
#   bash tests/run.sh              the plain suite
#   bash tests/run.sh --long       ten to a thousand times more repetitions of the fault and property tests,
#                                  every fuzzer for an hour
#   bash tests/run.sh --sanitize   instead: everything under ASan and UBSan, what has no gRPC under TSan
#   bash tests/run.sh --fuzz       instead: every fuzzer for ten seconds
#   bash tests/run.sh --ci         all three in their short form: the plain suite, every fuzzer for ten seconds,
#                                  and the sanitizers without the tests that only play more of the same
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

long=0
what=plain
for argument in "$@"; do
  case "$argument" in
    --long) long=1 ;;
    --sanitize | --fuzz | --ci) what=${argument#--} ;;
    *) echo "usage: bash tests/run.sh [--long] [--sanitize | --fuzz | --ci]" >&2; exit 2 ;;
  esac
done

bash deploy/install-deps.sh
export TRAINYARD_TEST_LONG=$long
# Tests must not see a cluster or settings of whoever runs them.
unset TRAINYARD_ENDPOINT TRAINYARD_TOKEN TRAINYARD_STATE TRAINYARD_SOCKET TRAINYARD_FAULTS
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

run_preset() { # preset, what to build (words), further ctest arguments...
  local preset=$1
  local -a targets
  read -r -a targets <<<"$2"
  shift 2
  [[ -f build/$preset/build.ninja ]] || cmake --preset "$preset" >/dev/null
  if [[ $preset == release ]]; then
    bash deploy/build.sh "${targets[@]}"
  else
    CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 ninja -C "build/$preset" "${targets[@]}" >"build/$preset/log" 2>&1 ||
      { tail -n 80 "build/$preset/log" >&2; return 1; }
  fi
  local configuration=()
  if [[ $long -eq 1 ]]; then configuration=(-C Long); fi
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j 2 "${configuration[@]}" "$@"
}

run_fuzzers() { python3 tests/fuzz/run.py --seconds "$@"; }

run_sanitized() { # what is built of the tsan suite, then ctest arguments of the asan suite...
  export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  local only=()
  if [[ $1 != pure_tests ]]; then only=(-R "^(${1// /|})$"); fi
  run_preset tsan "$1" -L pure "${only[@]}"
  run_preset asan-ubsan all "${@:2}"
}

case $what in
  fuzz) run_fuzzers $((long ? 3600 : 10)) ;;
  sanitize) run_sanitized pure_tests ;;
  ci)
    run_preset release all
    run_fuzzers 10 --seed 1  # the same inputs each time: a change fails by what it did
    # Threads meet in these; what is left out elsewhere only plays more of what the plain suite plays already.
    run_sanitized "journal_test runtime_test training_threads_test" -E "^(sim_seeds|sim_world)_test$"
    ;;
  plain)
    run_preset release all
    if [[ $long -eq 1 ]]; then run_fuzzers 3600; fi
    ;;
esac
