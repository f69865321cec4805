#!/usr/bin/env python3
"""The plug-in and the runtime around it over an NCCL that needs no GPU (fake/): every collective
against float64, joining, errors, a killed peer, a hang; and what is said where the plug-in, NCCL or
the driver is missing.

usage: device_test.py DEVICE_RANK GPU_CHECK FAKE_PLUGIN [REAL_PLUGIN]
"""
import os
import subprocess
import sys
import time
import unittest

RANK, CHECK, FAKE = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
REAL = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else None


def start(size, arguments=(), **more):
    start.number += 1
    ranks = []
    for rank in range(size):
        env = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank),
                   LOCAL_WORLD_SIZE=str(size), TRAINYARD_NCCL_PLUGIN=FAKE,
                   TRAINYARD_JOB=f"device-{os.getpid()}-{start.number}")
        env.update(more)
        program = [CHECK, *arguments] if arguments else [RANK]
        ranks.append(subprocess.Popen(program, env=env, text=True, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE))
    return ranks


start.number = 0


class Device(unittest.TestCase):
    def gang(self, size, **more):
        ranks = start(size, **more)

        def clean():
            for rank in ranks:
                rank.kill()
                rank.communicate()

        self.addCleanup(clean)
        return ranks

    def ends(self, ranks, code):
        said = [rank.communicate(timeout=300) for rank in ranks]  # slow under sanitizers
        self.assertEqual([rank.returncode for rank in ranks], [code] * len(ranks), said)
        return said

    def test_ranks_join_and_work(self):
        for size in (1, 3):
            for out, errors in self.ends(self.gang(size), 0):
                self.assertEqual(out, "ready\nok nccl\n")
                self.assertEqual(errors, "closed\n")

    def test_without_a_gpu_all_ranks_say_so(self):
        for _, errors in self.ends(self.gang(2, FAKE_NCCL="none"), 1):
            self.assertIn("error: no collectives on GPUs here: the driver shows no GPU", errors)

    def test_without_the_plugin_the_reason_is_said(self):
        for path in ("/absent/plugin.so", RANK):
            ((_, errors),) = self.ends(self.gang(1, TRAINYARD_NCCL_PLUGIN=path), 1)
            self.assertIn("error: no collectives on GPUs here: ", errors)
            self.assertIn(path, errors)

    def test_where_one_rank_lacks_the_plugin_all_say_so(self):
        ranks = self.gang(1, TRAINYARD_JOB="device-mixed", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
        ranks += self.gang(1, TRAINYARD_JOB="device-mixed", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
                           RANK="1", LOCAL_RANK="1", TRAINYARD_NCCL_PLUGIN="/absent/plugin.so")
        (_, first), (_, second) = self.ends(ranks, 1)
        self.assertIn("another rank cannot load the plug-in", first)
        self.assertIn("/absent/plugin.so", second)

    def test_where_one_rank_cannot_join_none_waits_for_it(self):
        begin = time.monotonic()
        (_, first), (_, second) = self.ends(self.gang(2, FAKE_NCCL="refuse"), 1)
        self.assertIn("another rank could not join", first)
        self.assertIn("the fake failed", second)
        self.assertLess(time.monotonic() - begin, 30)

    def test_every_collective_against_float64(self):
        for size in (2, 3):
            (out, _), *_ = self.ends(self.gang(size, arguments=("check", str(size))), 0)
            self.assertIn(f"right with {size} ranks", out)

    def test_an_error_on_the_gpu_aborts(self):
        for _, errors in self.ends(self.gang(2, FAKE_NCCL="error"), 1):
            self.assertIn("the fake failed", errors)
            self.assertIn("aborted", errors)

    def test_a_killed_peer_aborts_the_rest_within_a_second(self):
        ranks = self.gang(3, FAKE_NCCL="never")
        for rank in ranks:
            self.assertEqual(rank.stdout.readline(), "ready\n")
        ranks[2].kill()
        begin = time.monotonic()
        said = [ranks[i].communicate(timeout=60)[1] for i in (0, 1)]
        took = time.monotonic() - begin
        self.assertIn("rank 2 has ended while rank 0 waits in all-reduce", said[0])
        self.assertIn("rank 0 has ended while rank 1 waits in all-reduce", said[1])
        for errors in said:
            self.assertIn("aborted", errors)
        print(f"aborted {1e3 * took:.0f} ms after the kill")
        self.assertLess(took, 30)  # alone: far below a second; this machine may be busy

    def test_a_hang_ends_after_its_timeout(self):
        ((_, errors),) = self.ends(self.gang(1, FAKE_NCCL="never", TRAINYARD_HANG_TIMEOUT="0.3"), 1)
        self.assertRegex(errors, r"hang: a rank of the gang has not come to all-reduce .* GPU for")
        self.assertIn("aborted", errors)

    def test_the_real_plugin_loads_and_finds_its_driver_or_says_no(self):
        if REAL is None:
            self.skipTest("the plug-in is not built here: no nccl.h or CUDA runtime")
        if os.path.exists("/proc/driver/nvidia"):
            self.skipTest("there is a driver: tests/gpu/run.sh checks the plug-in")
        ((_, errors),) = self.ends(self.gang(1, TRAINYARD_NCCL_PLUGIN=REAL), 1)
        self.assertIn("the driver shows no GPU", errors)


if __name__ == "__main__":
    unittest.main(verbosity=2)
