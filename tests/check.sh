#!/usr/bin/env bash
# Before a commit: style, formats of the files that changed, build, and the fast tests (those that are pure).
#   bash tests/check.sh             what changed since main (or since HEAD on main), and what is not committed
#   bash tests/check.sh --all       every file
# A tool that is not installed is named and skipped. Ends with the first thing that is wrong.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files=()
case "${1:-}" in
  --all) mapfile -t files < <(git ls-files) ;;
  "")
    base=$(git merge-base HEAD main 2>/dev/null || git rev-parse HEAD)
    mapfile -t files < <({ git diff --name-only --diff-filter=d "$base"; git ls-files -o --exclude-standard; } | sort -u)
    ;;
  *) echo "usage: bash tests/check.sh [--all]" >&2; exit 2 ;;
esac

# `changed PATTERN`: those of the files, one a line.
changed() { printf '%s\n' "${files[@]}" | grep -E "$1" || true; }

# `each TOOL ARGS...`: the tool on the files of standard input, when it is installed and there are any.
each() {
  local tool=$1 list
  mapfile -t list
  [[ ${#list[@]} -gt 0 && -n ${list[0]} ]] || return 0
  if ! command -v "$tool" >/dev/null; then
    echo "skipped: $tool is not installed"
    return 0
  fi
  echo "== $tool (${#list[@]} files)"
  "$@" "${list[@]}"
}

echo "== style"
python3 tests/style/check_style.py
changed '\.(cc|h)$' | each clang-format --dry-run --Werror
changed '\.py$' | each black --check --quiet -l 100
changed '\.sh$' | each shellcheck --severity=warning

echo "== build"
[[ -f build/release/build.ninja ]] || cmake --preset release >/dev/null
ninja -C build/release | tail -n 1

echo "== fast tests"
ctest --test-dir build/release -L pure --output-on-failure --no-tests=error -j 2
