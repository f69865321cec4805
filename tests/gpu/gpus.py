#!/usr/bin/env python3
"""The part of run.sh that needs GPUs: gangs of gpu_check and gpu_step.

usage: gpus.py FOLDER_OF_PROGRAMS [LIBRARY]
"""
import os
import pathlib
import re
import secrets
import subprocess
import sys
import time

PROGRAMS = pathlib.Path(sys.argv[1])
LIBRARY = sys.argv[2] if len(sys.argv) > 2 else None  # of trainyard.training
TORCH = pathlib.Path(__file__).resolve().with_name("torch_check.py")


def start(size, program, *arguments, **more):
    """A gang's processes."""
    start.number += 1
    ranks = []
    for rank in range(size):
        env = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank),
                   LOCAL_WORLD_SIZE=str(size), TRAINYARD_HANG_TIMEOUT="60",
                   TRAINYARD_JOB=f"gpu-{os.getpid()}-{start.number}")
        env.update(more)
        if "TRAINYARD_OWN_HOST" in more:  # NCCL takes ranks of other hosts for other GPUs
            env["NCCL_HOSTID"] = f"host-{rank}"
        ranks.append(subprocess.Popen([PROGRAMS / program, *arguments], env=env, text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    return ranks


start.number = 0


def run(size, *command, seconds=280, **more):
    """Whether all ranks of a gang ended well, and what they said."""
    ranks, said, good = start(size, *command, **more), "", True
    deadline = time.monotonic() + seconds
    for rank in ranks:
        try:
            said += rank.communicate(timeout=max(1, deadline - time.monotonic()))[0]
        except subprocess.TimeoutExpired:
            rank.kill()
            said += rank.communicate()[0] + "ran out of time\n"
        good = good and rank.returncode == 0
    return good, said


def abort_after_kill(size, **more):
    """Seconds from a rank's kill to the end of the others; None when they did not begin."""
    ranks = start(size, "gpu_check", "endless", **more)
    try:
        for rank in ranks:
            line = rank.stdout.readline()
            while line and line != "ready\n":
                line = rank.stdout.readline()
            if not line:
                return None
        time.sleep(0.5)  # all are in collectives
        ranks[-1].kill()
        begin = time.monotonic()
        said = [rank.communicate(timeout=90)[0] for rank in ranks[:-1]]
        took = time.monotonic() - begin
        print(f"  said: {said[0].strip().splitlines()[-1]}")
        return took
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()


def torch(size, **more):
    """Python's tensors on GPUs; 1 when that failed, 0 also where its torch has no CUDA."""
    if LIBRARY is None:
        return 0
    good, said = run(size, sys.executable, TORCH, str(secrets.randbelow(1 << 31)),
                     TRAINYARD_TRAINING_LIBRARY=LIBRARY, **more)
    absent = "torch has no CUDA" in said or "No module named 'torch'" in said
    print("  torch: " + ("not tried, it has no CUDA here" if absent else
                         "right" if good else "FAILED\n  " + said.strip().replace("\n", "\n  ")))
    return 0 if good or absent else 1


def gang(size, title, must, **more):
    """Checks and measures one kind of gang; 1 when that failed and had to work."""
    good, said = run(size, "gpu_check", "check", str(secrets.randbelow(1 << 31)), **more)
    print(f"{title}: {'right' if good else 'FAILED' if must else 'not to be had here'}")
    print("  " + said.strip().replace("\n", "\n  "))
    if not good:
        return 1 if must else 0
    failed = 0
    for command in (["gpu_check", "bench"], ["gpu_step"]):
        if (PROGRAMS / command[0]).exists():
            good, said = run(size, *command, **more)
            failed += not good
            print("  " + said.strip().replace("\n", "\n  "))
    failed += torch(size, **more)
    if size > 1:
        took = abort_after_kill(size, **more)
        met = took is not None and took <= 1.0
        print(f"  a killed peer: {took if took is None else round(took, 3)} s to the end of the "
              f"others (<= 1 s: {'met' if met else 'MISSED'})")
        failed += not met
    return failed


def main():
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    count = len(re.findall(r"^GPU \d+", listed.stdout, re.M))
    failed = gang(1, "one rank", must=True)
    for size in sorted({2, count} if count > 1 else set()):
        failed += gang(size, f"{size} ranks on {count} GPUs", must=True)
    version = int(re.search(r"NCCL (\d+)", run(1, "gpu_check", "bench")[1]).group(1))
    if version >= 23000:
        failed += gang(2, "two ranks on one GPU", must=True, CUDA_VISIBLE_DEVICES="0",
                       NCCL_MULTI_RANK_GPU_ENABLE="1", NCCL_MAX_CTAS="4")
    else:
        print(f"NCCL {version} knows no two ranks on one GPU; tried by pretended hosts:")
        failed += gang(2, "two ranks on one GPU, pretended hosts", must=False,
                       CUDA_VISIBLE_DEVICES="0", TRAINYARD_OWN_HOST="1", NCCL_MAX_CTAS="4")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
