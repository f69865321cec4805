#!/usr/bin/env python3
"""Ranks that stop, die or make other calls are named by the others, in time; timelines merge.

usage: hang_test.py ENDLESS_RANK CHECK_PROGRAM
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

RANK, CHECK = (os.path.abspath(p) for p in (sys.argv.pop(1), sys.argv.pop(1)))
ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "client" / "python"))

from trainyard import timeline  # noqa: E402  pylint: disable=wrong-import-position


def start(size, *, counts=None, call=None, **more):
    ranks = []
    for rank in range(size):
        env = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank),
                   LOCAL_WORLD_SIZE=str(size),
                   TRAINYARD_JOB=f"hang-{os.getpid()}-{start.number}", **more)
        command = [RANK, str(counts[rank] if counts else 1000)] + ([call] if call else [])
        ranks.append(subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE))
    start.number += 1
    return ranks


start.number = 0


class Hangs(unittest.TestCase):
    def gang(self, size, **more):
        ranks = start(size, **more)

        def clean():
            for rank in ranks:
                rank.kill()
                rank.communicate()

        self.addCleanup(clean)
        return ranks

    def ready(self, ranks):
        for rank in ranks:
            self.assertEqual(rank.stdout.readline(), "ready\n")

    def test_a_stopped_rank_is_named_with_its_state(self):
        ranks = self.gang(3, TRAINYARD_HANG_TIMEOUT="1")
        self.ready(ranks)
        begin = time.monotonic()
        ranks[1].send_signal(signal.SIGSTOP)
        said = [ranks[i].communicate(timeout=30)[1] for i in (0, 2)]
        self.assertGreater(time.monotonic() - begin, 0.9)
        # Whoever gives up first names the one that hangs; the rest may see that one end.
        self.assertTrue(any("hang: rank 1 (stopped by a signal) on node " in s for s in said), said)
        self.assertRegex("".join(said),
                         r"has not come to all-reduce \(max\) of 1000 float32 for \d+\.\d s")

    def test_a_killed_rank_is_named_by_the_others(self):
        ranks = self.gang(3, TRAINYARD_HANG_TIMEOUT="60")
        self.ready(ranks)
        ranks[2].kill()
        said = ranks[0].communicate(timeout=30)[1]
        self.assertIn("rank 2 has ended while rank 0 waits in all-reduce (max)", said)
        # Every rank sees for itself who is gone.
        self.assertIn("rank 2 has ended while rank 1 waits in all-reduce (max)",
                      ranks[1].communicate(timeout=30)[1])

    def test_a_killed_rank_is_named_though_the_first_one_does_not_look(self):
        ranks = self.gang(3, TRAINYARD_HANG_TIMEOUT="60")
        self.ready(ranks)
        ranks[0].send_signal(signal.SIGSTOP)
        ranks[2].kill()
        self.assertIn("rank 2 has ended while rank 1 waits in all-reduce (max)",
                      ranks[1].communicate(timeout=10)[1])

    def test_a_hang_behind_many_begun_calls_ends_after_one_limit(self):
        for size in (2, 3):
            ranks = self.gang(size, call="pending", TRAINYARD_HANG_TIMEOUT="1")
            self.ready(ranks)
            begin = time.monotonic()
            ranks[1].send_signal(signal.SIGSTOP)
            self.assertIn("hang: rank 1 (stopped by a signal)", ranks[0].communicate(timeout=30)[1])
            self.assertLess(time.monotonic() - begin, 4)  # each anew: 8 s

    def test_without_memory_on_one_rank_all_are_told_and_go_on(self):
        ranks = self.gang(3, call="poor", TRAINYARD_HANG_TIMEOUT="60")
        said = [rank.stdout.readline() for rank in ranks]
        for rank in (0, 2):
            self.assertEqual(said[rank], "rank 1 of this node has no memory for 1048576 shared "
                                         "bytes\n")
        self.assertIn("no memory for 1048576 shared bytes", said[1])
        self.ready(ranks)

    def test_a_killed_rank_is_named_though_a_child_of_it_lives(self):
        for dead in (2, 0):
            ranks = self.gang(3, call="fork", TRAINYARD_HANG_TIMEOUT="60")
            self.ready(ranks)
            children = [pid for rank in ranks for pid in subprocess.run(
                ["pgrep", "-P", str(rank.pid)], capture_output=True, text=True,
                check=True).stdout.split()]
            self.addCleanup(lambda pids=children: [os.kill(int(p), signal.SIGKILL) for p in pids])
            ranks[dead].kill()
            begin = time.monotonic()
            # The children hold stderr open too: only a line is waited for.
            said = ranks[1].stderr.readline()
            self.assertLess(time.monotonic() - begin, 5)
            self.assertIn("has ended while rank 1 waits in all-reduce (max)", said)

    def test_a_rank_that_hangs_writes_its_stack(self):
        ranks = self.gang(3, call="leave", TRAINYARD_HANG_TIMEOUT="1")
        self.ready(ranks)
        ranks[0].communicate(timeout=30)
        ranks[1].kill()  # it is asleep for ever, in a call of its own
        said = ranks[1].communicate(timeout=30)[1]
        self.assertIn("stack of this rank, which others wait for:", said)
        self.assertIn("endless_rank", said)
        self.assertIn("pause", said)

    def test_a_program_without_a_handler_is_not_ended_by_the_question(self):
        ranks = self.gang(3, call="leave", TRAINYARD_HANG_TIMEOUT="1", TRAINYARD_STACK_DUMP="0")
        self.ready(ranks)
        ranks[0].communicate(timeout=30)
        ranks[1].kill()
        self.assertNotIn("stack", ranks[1].communicate(timeout=30)[1])
        self.assertEqual(ranks[1].returncode, -signal.SIGKILL)

    def test_ranks_out_of_step_are_named(self):
        ranks = self.gang(2, counts=[10, 20])
        said = [rank.communicate(timeout=30)[1] for rank in ranks]
        self.assertIn("rank 0 is in all-reduce (max) of 10 float32, rank 1 in all-reduce (max) "
                      "of 20 float32", said[0])

    def across(self, *commands, **more):
        """Four ranks on two pretended nodes, under mpirun."""
        env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                   TRAINYARD_PRETEND_NODES_OF="2", TRAINYARD_ROUTES="", **more)
        command = ["mpirun", "--oversubscribe", "--mca", "btl", "self,vader"]
        for number, one in enumerate(commands):
            command += [":"] * (number > 0) + ["-np", str(4 // len(commands)), RANK, *one]
        run = subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)

        def clean():
            run.kill()
            run.communicate()

        self.addCleanup(clean)
        return run

    def pid_of(self, run, rank):
        for pid in subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True,
                                  check=True).stdout.split():
            variables = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if f"OMPI_COMM_WORLD_RANK={rank}".encode() in variables:
                return int(pid)
        raise AssertionError(f"no rank {rank}")

    def test_a_stopped_rank_of_another_node_is_named(self):
        # Who sees the stopped rank itself names it, with its state. Who sees but one that waits for
        # it says that this may be so; on a busy machine it may be the first to speak.
        itself = r"hang: rank {0} \(stopped by a signal\) on node \S+ has"
        across = r"hang: rank \d on node \S+ \(or one of its node for which it waits\) has"
        around = r"hang: ranks? .*\(or one of another node for which it waits\)"
        named = []
        for rank in (3, 2, 3):
            run = self.across([], TRAINYARD_HANG_TIMEOUT="1")
            for _ in range(4):
                self.assertEqual(run.stdout.readline(), "ready\n")
            os.kill(self.pid_of(run, rank), signal.SIGSTOP)
            begin = time.monotonic()
            errors = run.communicate(timeout=60)[1]
            self.assertGreater(time.monotonic() - begin, 0.9)
            said = [line for line in errors.splitlines() if "hang: " in line]
            self.assertTrue(said, errors)
            for line in said:
                self.assertRegex(line, f"{itself.format(rank)}|{across}|{around}")
                self.assertRegex(line, r"not come to all-reduce \(max\) of \d+ float32")
            named.append(re.search(itself.format(rank), errors) is not None)
        self.assertTrue(any(named), "none was named by who sees it")

    def test_a_hang_in_any_call_is_named_within_a_second_of_its_limit(self):
        """By a rank that sees it, also where reductions went before."""
        for call, name in (("barrier", "barrier"), ("gather", "all-gather of 1000 float32"),
                           ("reduce", r"all-reduce \(max\) of 1000 float32")):
            for _ in range(3):  # on a busy machine another one may be the first to speak
                run = self.across(["1000", call], TRAINYARD_HANG_TIMEOUT="2")
                for _ in range(4):
                    self.assertEqual(run.stdout.readline(), "ready\n")
                os.kill(self.pid_of(run, 1), signal.SIGSTOP)
                errors = run.communicate(timeout=60)[1]
                said = re.search(r"hang: rank 1 \(stopped by a signal\) on node \S+ has not come "
                                 rf"to {name} for (\d+\.\d) s", errors)
                if said:
                    break
            self.assertTrue(said, errors)
            self.assertLess(float(said.group(1)), 3.0)

    def test_nodes_out_of_step_are_named(self):
        # Also one whose data goes in one message with one whose data goes in many.
        for counts in (["1000"], ["1001"]), (["1000"], ["1000000"]):
            errors = self.across(*counts).communicate(timeout=60)[1]
            # Whoever sees it first; the launcher may end the rest.
            what = r"in all-reduce \(max\) of \d+ float32"
            self.assertRegex(errors, rf"rank [01] is {what}, rank [23] on node \S+ {what}|"
                                     rf"rank [23] is {what}, rank [01] on node \S+ {what}")
            self.assertNotIn("failed:", errors)  # MPI's own words, of a message that does not fit

    def test_timelines_of_all_ranks_merge(self):
        with tempfile.TemporaryDirectory() as folder:
            env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       TRAINYARD_TIMELINE=folder)
            subprocess.run(["mpirun", "-np", "2", "--oversubscribe", "--mca", "btl", "self,vader",
                            CHECK, "shared"], env=env, check=True, capture_output=True, timeout=300)
            merged = subprocess.run([sys.executable, "-m", "trainyard.timeline", folder],
                                    env=dict(env, PYTHONPATH=str(ROOT / "client" / "python")),
                                    check=True, capture_output=True, text=True)
            events = json.loads(merged.stdout)["traceEvents"]
            self.assertIn("rank 1: last ", merged.stderr)
        names = {e["args"]["name"] for e in events if e["ph"] == "M"}
        self.assertEqual({n.split(" on ")[0] for n in names}, {"rank 0", "rank 1"})
        calls = {r: [e["name"] for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) == (r, 0)]
                 for r in (0, 1)}
        self.assertEqual(calls[0], calls[1])
        self.assertGreaterEqual(set(calls[0]), {"all-reduce", "reduce-scatter", "all-gather",
                                                "broadcast", "barrier", "wait"})
        times = [e["ts"] for e in events if e["ph"] == "X"]
        self.assertEqual(times, sorted(times))

    def test_ranks_that_are_killed_leave_their_timelines(self):
        with tempfile.TemporaryDirectory() as folder:
            ranks = self.gang(2, TRAINYARD_HANG_TIMEOUT="60", TRAINYARD_TIMELINE=folder)
            self.ready(ranks)
            time.sleep(2.5)
            ranks[1].kill()
            killed = time.time()
            ranks[0].communicate(timeout=30)
            ends = {rank: max((e["ts"] + e["dur"]) / 1e6 for e in timeline.read(
                pathlib.Path(folder) / f"rank-{rank}.trace.json") if e["ph"] == "X")
                    for rank in (0, 1)}
        self.assertGreater(ends[1], killed - 2)
        self.assertGreater(ends[0], killed)  # the call in which it learned of the end

    def test_the_last_to_come_is_blamed(self):
        events = [{"ph": "X", "tid": 0, "pid": rank, "ts": ts, "dur": 1, "name": "barrier"}
                  for rank, ts in ((0, 0), (1, 2_000_000), (0, 10_000_000), (1, 9_000_000))]
        self.assertEqual(timeline.lateness(events), {0: [1, 1.0], 1: [1, 2.0]})


if __name__ == "__main__":
    unittest.main(verbosity=2)
