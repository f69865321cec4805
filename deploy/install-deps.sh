#!/usr/bin/env bash
# Installs what Trainyard is built from and tested with, from Debian 12's own packages. Run it as root or with sudo at
# hand. Does nothing (and touches no network) when everything is there. docs/adr/0001-dependencies.md says why each.
#   deploy/install-deps.sh [--runtime]     --runtime: only what running needs
set -euo pipefail

build=(
  g++ cmake ninja-build ccache pkg-config git ca-certificates
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev libgoogle-glog-dev
  libopenmpi-dev openmpi-bin libsqlite3-dev libyaml-cpp-dev libcli11-dev libboost-dev libssl-dev nlohmann-json3-dev
  libarchive-dev zlib1g-dev libeigen3-dev libtorch-dev libopenblas0 libopenblas-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  zsh fish  # whose completion the tests try
  iproute2 openssl python3-torch python3-mpi4py  # nodes as network namespaces; examples
  spin clang-14 libclang-rt-14-dev libfuzzer-14-dev  # models of the protocols; fuzzers
)
run=(openmpi-bin python3 python3-pip python3-setuptools python3-wheel python3-sklearn python3-numpy procps)

wanted=("${run[@]}")
if [[ "${1:-}" != "--runtime" ]]; then wanted+=("${build[@]}"); fi

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ "$state" == installed ]] || missing+=("$package")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  echo "All packages are installed."
  exit 0
fi

as_root=()
if [[ $EUID -ne 0 ]]; then
  command -v sudo >/dev/null || { echo "error: run this as root, or install sudo" >&2; exit 1; }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" apt-get update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get install -q -y --no-install-recommends "${missing[@]}"
}
if ! install >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "error: the packages above could not be installed" >&2
  exit 1
fi
echo "Installed."
