#!/usr/bin/env bash
# Builds the NCCL plug-in and checks it on this machine's GPUs: every collective, type and operator against float64 on the host
# with fresh random data, by one rank and by one rank a GPU; two ranks on one GPU where NCCL allows it; torch's tensors there; a killed
# peer; bandwidths and step times. Exit 0: all that could run was right; 1: something was wrong; 77: no GPU here, only built.
#   tests/gpu/run.sh [--no-build]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=build/release

if [[ "${1:-}" != "--no-build" ]]; then
  [[ -f $build/build.ninja ]] || cmake --preset release >/dev/null
  ninja -C $build -t targets all 2>/dev/null | grep -q '^trainyard_nccl:' ||
    { echo "error: no nccl.h, cuda_runtime.h or their libraries in CUDA_HOME, CUDA_PATH or /usr/local/cuda" >&2; exit 1; }
  targets=(trainyard_nccl trainyard_training_c gpu_check)
  if ninja -C $build -t targets all | grep -q '^gpu_step:'; then targets+=(gpu_step); fi
  bash deploy/build.sh "${targets[@]}"
fi
export TRAINYARD_NCCL_PLUGIN=$PWD/$build/lib/libtrainyard_nccl.so

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L >/dev/null 2>&1; then
  echo "no GPU here: the plug-in and its checks are built, not run"
  exit 77
fi
nvidia-smi --query-gpu=index,name,driver_version,memory.total --format=csv,noheader
exec python3 tests/gpu/gpus.py "$build/tests" "$PWD/$build/lib/libtrainyard_training.so"
