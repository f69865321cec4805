#!/usr/bin/env python3
"""The Python reporter against a real unix socket server that speaks the supervisor's side of the
contract."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODULES = str(ROOT / "client" / "python")
sys.path.insert(0, MODULES)


class Server:
    """Answers each line with `answer(request)`; None closes the connection. Keeps every request."""

    def __init__(self, path, answer):
        self.requests = []
        self.connections = 0
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.requests.append(request)
                reply = {"ok": True} if "hello" in request else self._answer(request)
                if reply is None:
                    return
                connection.sendall(json.dumps(reply).encode() + b"\n")

    def close(self):
        self._listener.close()


def run(program, **environment):
    """Runs `program` as a training program of its own."""
    full = {name: value for name, value in os.environ.items()
            if not name.startswith(("TRAINYARD", "AIP_", "CLOUD_ML"))}
    full.update(environment, PYTHONPATH=MODULES)
    return subprocess.run([sys.executable, "-c", program], env=full, capture_output=True,
                          text=True, timeout=60)


class ReporterTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "reporter.sock")

    def serve(self, answer=lambda request: {"ok": True, "should_stop": False}):
        server = Server(self.path, answer)
        self.addCleanup(server.close)
        return server

    def run_ok(self, program, **environment):
        result = run(program, TRAINYARD_SOCKET=self.path, **environment)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def test_says_hello_once_and_reports_in_order(self):
        server = self.serve()
        self.run_ok("import trainyard\n"
                    "for i in range(3): trainyard.report(i, loss=1.0 / (i + 1), acc=i)\n", RANK="2")
        self.assertEqual(server.connections, 1)
        self.assertEqual(server.requests[0]["hello"]["rank"], 2)
        self.assertEqual([r["report"]["step"] for r in server.requests[1:]], [0, 1, 2])
        self.assertEqual(server.requests[2]["report"]["metrics"], {"loss": 0.5, "acc": 1.0})

    def test_values_that_json_has_not_go_as_texts(self):
        server = self.serve()
        self.run_ok("import trainyard\n"
                    "inf = float('inf')\n"
                    "trainyard.report(0, {'val loss': float('nan'), 'a': inf}, b=-inf)\n")
        self.assertEqual(server.requests[1]["report"]["metrics"], {"val loss": "nan", "a": "inf",
                                                                   "b": "-inf"})

    def test_should_stop_follows_the_reply(self):
        replies = iter([{"ok": True, "should_stop": False}, {"should_stop": False},
                        {"should_stop": True}])
        server = self.serve(lambda request: next(replies))
        result = self.run_ok("import trainyard as t\n"
                             "print(t.report(1, a=1), t.should_stop())\n"
                             "print(t.should_stop(), t.should_stop())\n")
        self.assertEqual(result.stdout.split(), ["False", "False", "True", "True"])
        # Once true it stays true without asking again.
        self.assertEqual(sum("should_stop" in r for r in server.requests), 2)

    def test_sigterm_sets_should_stop_for_those_who_ask(self):
        self.serve(lambda request: {"should_stop": False})
        result = self.run_ok("import os, signal, trainyard as t\n"
                             "t.should_stop()\n"
                             "os.kill(os.getpid(), signal.SIGTERM)\n"
                             "print(t.should_stop())\n")
        self.assertEqual(result.stdout.strip(), "True")

    def test_sigterm_still_ends_those_who_never_ask(self):
        self.serve()
        result = run("import os, signal, trainyard as t\n"
                     "t.report(1, a=1)\nos.kill(os.getpid(), signal.SIGTERM)\n",
                     TRAINYARD_SOCKET=self.path)
        self.assertEqual(result.returncode, -signal.SIGTERM)

    def test_checkpoint_paths_are_relative_to_the_folder(self):
        server = self.serve()
        checkpoints = os.path.join(self.folder.name, "checkpoints")
        os.makedirs(os.path.join(checkpoints, "step_5"))
        program = ("import os, trainyard as t\n"
                   "t.save_checkpoint(5, os.path.join(t.checkpoint_dir(), 'step_5'))\n"
                   "t.save_checkpoint(6, 'step_5')\n"
                   "for bad in ('absent', '/etc', '..', '.'):\n"
                   "    try: t.save_checkpoint(7, bad)\n"
                   "    except (ValueError, OSError) as error: print(type(error).__name__)\n"
                   "print(t.resume_step())\n")
        result = self.run_ok(program, AIP_CHECKPOINT_DIR=checkpoints + "/",
                             TRAINYARD_RESUME_STEP="41")
        self.assertEqual([r["checkpoint"] for r in server.requests[1:]],
                         [{"step": 5, "path": "step_5"}, {"step": 6, "path": "step_5"}])
        self.assertEqual(result.stdout.split(),
                         ["FileNotFoundError", "ValueError", "ValueError", "ValueError", "41"])

    def test_mistakes_of_the_program_raise(self):
        self.serve(lambda request: {"error": "too many metrics"})
        program = ("import trainyard as t\n"
                   "for call in (lambda: t.report(1), lambda: t.report(-1, a=1),\n"
                    "             lambda: t.report(1.5, a=1),\n"
                   "             lambda: t.report(1, a='x'), lambda: t.report(1, a=None),\n"
                   "             lambda: t.report(1, {'': 1}),\n"
                    "             lambda: t.report(1, {'n' * 70000: 1}),\n"
                   "             lambda: t.report(a=1), lambda: t.report(step=1, a=1)):\n"
                   "    try: call(); print('no error')\n"
                   "    except ValueError as error: print(str(error)[:60])\n")
        lines = self.run_ok(program).stdout.splitlines()
        self.assertEqual(len(lines), 9)
        self.assertIn("needs its step", lines[-2])
        self.assertNotIn("no error", lines)
        self.assertIn("too many metrics", lines[-1])

    def test_a_lost_connection_is_opened_again(self):
        state = {"closed": False}

        def answer(request):
            if not state["closed"]:
                state["closed"] = True
                return None
            return {"ok": True}

        server = self.serve(answer)
        result = self.run_ok("import trainyard as t\nt.report(1, a=1)\nt.report(2, a=2)\n")
        self.assertEqual(result.stderr, "")
        self.assertEqual(server.connections, 2)
        self.assertEqual([r["report"]["step"] for r in server.requests if "report" in r], [1, 1, 2])

    def test_no_supervisor_never_ends_the_program(self):
        result = self.run_ok("import trainyard as t\n"
                             "for i in range(3): t.report(i, a=1)\n"
                             "print(t.should_stop())\n")
        self.assertEqual(result.stdout.strip(), "False")
        self.assertEqual(len(result.stderr.splitlines()), 1)

    def test_a_silent_supervisor_holds_up_one_report_not_all(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(self.path)
            listener.listen(100)  # the kernel accepts, as for a process that is stopped
            result = self.run_ok(
                "import time, trainyard\n"
                "from trainyard import _reporter\n"
                "_reporter._TIMEOUT_SECONDS = 1.0\n"
                "_reporter._connection._quiet = 1.0\n"
                "times = [time.monotonic()]\n"
                "for step in range(1000):\n"
                "    trainyard.report(step, a=1)\n"
                "    times.append(time.monotonic())\n"
                "open(trainyard.checkpoint_dir() + '/x', 'w').close()\n"
                "trainyard.save_checkpoint(1, 'x')\n"
                "times.append(time.monotonic())\n"
                "print(times[1] - times[0], times[1000] - times[1], times[1001] - times[1000])\n",
                AIP_CHECKPOINT_DIR=self.folder.name)
        first, rest, checkpoint = map(float, result.stdout.split())
        self.assertTrue(0.9 < first < 3 and rest < 2 and checkpoint > 0.9, result.stdout)
        self.assertEqual(result.stderr.count("does not answer"), 1, result.stderr)

    def test_forked_processes_have_connections_of_their_own(self):
        server = self.serve()
        self.run_ok("import os, trainyard\ntrainyard.report(1, a=1)\n"
                    "pid = os.fork()\n"
                    "trainyard.report(2 if pid else 3, a=1)\n"
                    "if pid: os.waitpid(pid, 0)\n")
        self.assertEqual(server.connections, 2)
        self.assertEqual(sorted(r["report"]["step"] for r in server.requests if "report" in r), [1,
                                                                                                 2,
                                                                                                 3])
        self.assertEqual(len({r["hello"]["pid"] for r in server.requests if "hello" in r}), 2)

    def test_threads_do_not_mix_their_replies(self):
        server = self.serve()
        self.run_ok("import threading, trainyard\n"
                    "def work(k):\n"
                    "    for i in range(50): trainyard.report(i, {f'm{k}': i})\n"
                    "threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]\n"
                    "[t.start() for t in threads]; [t.join() for t in threads]\n")
        self.assertEqual(sum("report" in r for r in server.requests), 200)
        self.assertEqual(server.connections, 1)


class OutsideTest(unittest.TestCase):
    def test_everything_works_and_one_line_says_so(self):
        with tempfile.TemporaryDirectory() as folder:
            result = run("import os, trainyard as t\n"
                         f"os.chdir({folder!r})\n"
                         "t.report(1, a=1); t.report(2, a=1)\n"
                         "open(os.path.join(t.checkpoint_dir(), 'x'), 'w').close()\n"
                         "t.save_checkpoint(1, 'x')\n"
                         "print(t.should_stop(), t.resume_step())\n"
                         "print(os.path.basename(t.model_dir()))\n")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout.split(), ["False", "None", "model"])
            self.assertEqual(result.stderr,
                             "trainyard: not run by Trainyard; reports are not sent\n")

    def test_a_wrong_metric_raises_here_too(self):
        result = run("import trainyard\ntrainyard.report(1, a='high')\n")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("the metric a is no number", result.stderr)

    def test_the_standard_library_is_enough(self):
        result = subprocess.run([sys.executable, "-S", "-E", "-c",
                                 f"import sys; sys.path.insert(0, {MODULES!r})\n"
                                 "import trainyard, hypertune"],
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
