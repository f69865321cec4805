#!/usr/bin/env python3
"""The embedded cluster of the built programs: up, again, two at once, jobs, down, back, down
--kill.

Usage: up_down_test.py BUILD_FOLDER
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile

failures = []


def check(good, what):
    if not good:
        failures.append(what)


class Cluster:
    def __init__(self, build, folder):
        self.program = str(build / "bin" / "trainyard")
        self.state = pathlib.Path(folder, "state")
        self.environment = dict(os.environ, HOME=folder, TRAINYARD_STATE=str(self.state))
        for name in ("TRAINYARD_ENDPOINT", "TRAINYARD_TOKEN"):
            self.environment.pop(name, None)

    def start(self, *words):
        return subprocess.Popen([self.program, *words], env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __call__(self, *words):
        return subprocess.run([self.program, *words], env=self.environment, text=True,
                              capture_output=True, timeout=100)

    def pid(self, name):
        return int((self.state / "run" / f"{name}.pid").read_text().split()[0])


def check_refusals(cluster):
    """What cannot be is said before anything starts; a start that fails leaves nothing behind."""
    for words, code, parts in (
            (["--listen", "nonsense"], 2, ["--listen", "HOST:PORT"]),
            (["--listen", "0.0.0.0:7450"], 4, ["TLS", "trainyard up --listen"]),
            (["--tls-cert", "nosuch.pem"], 4, ["nosuch.pem", "--tls-key"]),
            (["--memory", "1"], 2, ["--memory", "64MiB"]),
            (["--memory", "banana", "--http-listen", "x"], 2, ["banana", "--http-listen"])):
        answer = cluster("up", *words)
        check(answer.returncode == code, f"up {words}: {answer.returncode} {answer.stderr}")
        for part in parts:
            check(part in answer.stderr, f"up {words} lacks {part}: {answer.stderr}")
    check(not cluster.state.exists(), "a refused up made a state folder")
    busy = cluster("up", "--listen", "127.0.0.1:1x")
    check(busy.returncode == 2, f"up at a port that is none: {busy}")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = cluster("up", "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    check(taken.returncode == 1, f"up at a port that is taken: {taken}")
    check(cluster("up", "--status").returncode == 6, "half a cluster was left")


def check_settings(cluster):
    for words in (["endpoint", "foo"], ["project", "a b"], ["endpoint", ""]):
        answer = cluster("config", "set", *words)
        check(answer.returncode in (2, 4), f"config set {words}: {answer}")
    elsewhere = cluster("config", "set", "endpoint", "127.0.0.1:1")
    check(elsewhere.returncode == 0, f"config set endpoint: {elsewhere}")
    foreign = cluster("up")
    check(foreign.returncode == 2 and "trainyard config unset endpoint" in foreign.stderr,
          f"up although commands go elsewhere: {foreign}")
    check(cluster("config", "unset", "endpoint").returncode == 0, "config unset")
    idle = cluster("up", "--cores", "1", "--listen", "127.0.0.1:0")
    check(idle.returncode == 0 and "--listen, --cores have no effect" in idle.stderr,
          f"up with other flags while it runs: {idle}")


def check_foreign_token(cluster):
    """Whoever has the token of another cluster set starts and stops this one all the same."""
    check(cluster("config", "set", "token", "ty_of_the_team").returncode == 0, "config set token")
    cluster.environment["TRAINYARD_TOKEN"] = "ty_of_another"
    up = cluster("up")
    check(up.returncode == 0 and "the token of TRAINYARD_TOKEN" in up.stderr, f"up: {up}")
    down = cluster("down", "--kill")
    check(down.returncode == 0 and "Stopped" in down.stderr, f"down: {down}")
    del cluster.environment["TRAINYARD_TOKEN"]
    up = cluster("up")
    check(up.returncode == 0 and "the token of token in" in up.stderr, f"up: {up}")
    check(cluster("config", "unset", "token").returncode == 0, "config unset token")


def check_start(cluster):
    check(cluster("up", "--status").returncode == 6, "status before the first start")
    both = [cluster.start("up"), cluster.start("up")]
    for process in both:
        out, err = process.communicate(timeout=100)
        check(process.returncode == 0, f"up: {process.returncode} {err}")
        check("unix:" in out, f"up does not print its address: {out}")
    check(cluster("up", "--status").returncode == 0, "status of a running cluster")
    pids = cluster.pid("scheduler"), cluster.pid("agent")
    again = cluster("up")
    check(again.returncode == 0 and "running already" in again.stdout, f"up again: {again}")
    check(pids == (cluster.pid("scheduler"), cluster.pid("agent")), "up again started daemons")
    mode = (cluster.state).stat().st_mode & 0o777
    check(mode == 0o700, f"the state folder has mode {mode:o}")
    nodes = json.loads(cluster("nodes", "-o", "json").stdout)
    check([node["state"] for node in nodes] == ["READY"], f"nodes: {nodes}")


def check_jobs(cluster):
    good = cluster("run", "/bin/echo", "hello", "--world")
    check((good.returncode, good.stdout) == (0, "hello --world\n"), f"run: {good}")
    bad = cluster("run", "-q", "--", "sh", "-c", "echo out; echo trouble >&2; exit 3")
    check((bad.returncode, bad.stdout) == (8, "out\n"), f"failing run: {bad}")
    for part in ("trouble", "rank 0", "exit code 3", "fix:"):
        check(part in bad.stderr, f"failing run lacks {part}: {bad.stderr}")
    check(cluster("run", "-d", "-q", "--name", "n", "/bin/true").stdout == "n\n", "run -d -q")
    check(cluster("jobs", "wait", "n", "--timeout", "60").returncode == 0, "wait")
    taken = cluster("run", "-d", "--name", "n", "/bin/true")
    check(taken.returncode == 4, f"a taken name: {taken}")
    same = [cluster("run", "-d", "-q", "--name", "twice", "--request-id", "r", "/bin/true")
            for _ in range(2)]
    check([s.returncode for s in same] == [0, 0], f"the same request id twice: {same}")


def check_down(cluster):
    check(cluster("run", "-d", "--name", "long", "--", "sleep", "600").returncode == 0, "long")
    check(cluster("jobs", "wait", "long", "--for", "running", "--timeout", "60").returncode == 0,
          "long does not run")
    down = cluster("down")
    check(down.returncode == 0 and "long" in down.stderr, f"down does not name the job: {down}")
    check(cluster("jobs", "list").returncode == 6, "a stopped cluster answers")
    check(cluster("up").returncode == 0, "up after down")
    state = json.loads(cluster("jobs", "describe", "long", "-o", "json").stdout)
    check(state["state"] == "RUNNING" and len(state["attempts"]) == 1, f"not adopted: {state}")
    for i in range(3):
        held = cluster("custom-jobs", "create", f"held{i}", "--command", "/bin/true", "--hold")
        check(held.returncode == 0, f"held: {held}")
    check(cluster("projects", "create", "other").returncode == 0, "projects create")
    there = cluster("run", "-d", "--project", "other", "--name", "there", "--", "sleep", "600")
    check(there.returncode == 0, f"a job of another project: {there}")
    waited = cluster("jobs", "wait", "there", "--project", "other", "--for", "running")
    check(waited.returncode == 0, f"it does not run: {waited}")
    killed = cluster("down", "--kill")
    check("there: CANCELLED" in killed.stderr, f"down --kill leaves a project alone: {killed}")
    check(killed.returncode == 0 and "long: CANCELLED" in killed.stderr, f"down --kill: {killed}")
    check("3 jobs that had not started were cancelled" in killed.stderr, f"held: {killed}")


def check_crash(cluster):
    check(cluster("up").returncode == 0, "up before the crash")
    os.kill(cluster.pid("scheduler"), signal.SIGKILL)
    while cluster("up", "--status").returncode == 0:
        pass  # the kernel needs a moment
    back = cluster("up")
    check(back.returncode == 0, f"up after a crash: {back}")
    check(cluster("jobs", "describe", "n").returncode == 0, "a job was lost in a crash")
    doctor = cluster("doctor")
    check(doctor.returncode == 0, f"doctor of a healthy cluster: {doctor.stdout}")
    check(cluster("down").returncode == 0, "the last down")
    check("Nothing was running" in cluster("down").stderr, "down of nothing")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(build, folder)
        try:
            check_refusals(cluster)
            check_start(cluster)
            check_settings(cluster)
            check_foreign_token(cluster)
            check_jobs(cluster)
            check_down(cluster)
            check_crash(cluster)
        finally:
            cluster("down", "--kill")
    for failure in failures:
        print("FAILED", failure)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
