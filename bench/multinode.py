#!/usr/bin/env python3
"""A gang over two nodes without ssh: from the start order to the end of the first all-reduce, two
network namespaces on this machine as nodes. Beside it bare mpirun over the same namespaces, whose
agent enters the other one at once, in turn."""
import datetime
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import benchlib

PROGRAM = benchlib.BENCH_BIN / "first_sum"
FLAGS = "--allow-run-as-root --oversubscribe --bind-to none --noprefix --wdir / --map-by seq"


def run(*words, check=True, **more):
    return subprocess.run(words, check=check, capture_output=True, text=True, **more)


def why_not():
    """What keeps namespaces from being made here; None: nothing."""
    if os.geteuid() == 0 and shutil.which("ip"):
        return None
    return "network namespaces need root and the program ip"


def inside(space):
    """The words before a command that runs in a namespace; "ip netns exec" fails in a chroot."""
    return ["nsenter", f"--net=/run/netns/{space}"]


class Network:
    """Two namespaces on a bridge; names are of this object alone: the kernel forgets those of one
    that is gone a little later."""

    made = itertools.count()

    def __init__(self):
        pid, number = os.getpid(), next(Network.made)
        self.bridge, self.subnet = f"tyb{pid}n{number}", f"10.{190 + pid // 250 % 20}.{pid % 250}"
        self.spaces = [f"trainyard{pid}n{number}b{i}" for i in (1, 2)]
        self.links = [f"tyo{pid}n{number}b{i}" for i in (1, 2)]
        self.inner = ["lan1", "eth2"]

    def __enter__(self):
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.subnet}.1/24", "dev", self.bridge)
        run("ip", "link", "set", self.bridge, "up")
        for i, (space, link, inner) in enumerate(zip(self.spaces, self.links, self.inner)):
            run("ip", "netns", "add", space)
            run(*f"ip link add {link} type veth peer name {inner} netns {space}".split())
            run("ip", "link", "set", link, "master", self.bridge, "up")
            run(*inside(space), "ip", "addr", "add", f"{self.address(i)}/24", "dev", inner)
            run(*inside(space), "ip", "link", "set", inner, "up")
            run(*inside(space), "ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *unused):
        for space in self.spaces:
            run("ip", "netns", "del", space, check=False)
        run("ip", "link", "del", self.bridge, check=False)

    def link(self, i, state):
        """Takes the one's link "down" or "up"."""
        run("ip", "link", "set", self.links[i], state)

    def holds(self, i, pid):
        """Whether a process lives in that namespace."""
        here = os.stat(f"/proc/{pid}/ns/net").st_ino
        return os.stat(f"/run/netns/{self.spaces[i]}").st_ino == here

    def address(self, i):
        return f"{self.subnet}.{2 + i}"


class Nodes:
    """A scheduler on the bridge, with `flags`, and an agent of one core in each namespace."""

    def __init__(self, network, *flags):
        self.network, self.flags = network, flags
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainyard-bench-"))
        self.daemons, self.env = [], {}

    def start(self, *words):
        log = open(self.folder / f"log-{len(self.daemons)}", "wb")
        words = [str(word) for word in words]
        self.daemons.append(
            subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        )

    def __enter__(self):
        here, state = f"{self.network.subnet}.1", self.folder / "state"
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        run(*"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=bench -addext".split(),
            f"subjectAltName=IP:{here}", "-keyout", str(key), "-out", str(cert))
        self.start(benchlib.BIN / "trainyard-scheduler", f"--state_dir={state}",
                   f"--listen={here}:0", f"--http_listen={here}:0", f"--tls_cert={cert}",
                   f"--tls_key={key}", *self.flags)
        end = time.monotonic() + 60
        while not (state / "endpoint.json").exists() and time.monotonic() < end:
            time.sleep(0.02)
        endpoint = json.loads((state / "endpoint.json").read_text())
        self.env = {**os.environ, "HOME": str(self.folder),
                    "TRAINYARD_ENDPOINT": f"unix:{state}/scheduler.sock",
                    "TRAINYARD_TOKEN": (state / "token").read_text().strip()}
        for i, space in enumerate(self.network.spaces):
            join = self.folder / f"join-{i}"
            join.write_text(self.client("join-token", f"n{i}", "--quiet").split()[0])
            self.start(*inside(space), benchlib.BIN / "trainyard-agent",
                       f"--scheduler={endpoint['grpc_tcp']}", f"--ca_file={cert}",
                       f"--join_token_file={join}", f"--work_dir={self.folder}/n{i}",
                       f"--node_id=n{i}", "--cores=1", "--memory=8GiB", "--nvml_library=")
        self.await_ready()
        return self

    def __exit__(self, *unused):
        for daemon in reversed(self.daemons):
            daemon.kill()
            daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def await_ready(self):
        end = time.monotonic() + 60
        while self.client("nodes", "-o", "json").count("READY") < 2:
            if time.monotonic() > end:
                raise TimeoutError("the nodes are not ready")
            time.sleep(0.05)

    def client(self, *words):
        return run(str(benchlib.BIN / "trainyard"), *words, env=self.env,
                   stdin=subprocess.DEVNULL).stdout

    def once(self, number):
        """Milliseconds from the time the job was created to the end of its first all-reduce."""
        out = self.folder / f"sum-{number}"
        config = self.folder / "job.json"
        config.write_text(json.dumps({
            "workerPoolSpecs": [{"replicaCount": 1}, {"replicaCount": 1}],
            "trainyard": {"command": [str(PROGRAM), str(out)]}}))
        made = json.loads(self.client("custom-jobs", "create", "--display-name", f"sum{number}",
                                      "--config", str(config), "-o", "json"))
        at = int(benchlib.wait_for(out))
        name = made["name"].rsplit("/", 1)[-1]
        run(str(benchlib.BIN / "trainyard"), "jobs", "wait", name, env=self.env)
        created = datetime.datetime.fromisoformat(made["createTime"].replace("Z", "+00:00"))
        return at / 1e3 - created.timestamp() * 1e3


def bare(network, folder, number):
    """The same by mpirun alone."""
    agent = folder / "agent"
    there = " ".join(inside(network.spaces[1]))
    agent.write_text(f"#!/bin/sh\nshift\nsetsid {there} sh -c \"$*\" >/dev/null 2>&1 &\n")
    agent.chmod(0o755)
    out = folder / f"bare-{number}"
    interfaces = f"{network.subnet}.0/24"
    begin = time.time()
    run(*inside(network.spaces[0]), "mpirun", *FLAGS.split(), "-np", "2", "--host",
        f"localhost,{network.address(1)}", "--mca", "plm_rsh_agent", str(agent), "--mca",
        "plm_rsh_no_tree_spawn", "1", "--mca", "oob_tcp_if_include", interfaces, "--mca",
        "btl_tcp_if_include", interfaces, str(PROGRAM), str(out))
    return int(benchlib.wait_for(out)) / 1e3 - begin * 1e3


def main():
    args = benchlib.arguments(__doc__, count=(20, "runs of each"))
    report = benchlib.Report("gang over two nodes without ssh", args.json)
    if why_not():
        report.skip("two nodes", why_not(), promised=True)
        report.figure("nodes", 0)
        report.close()
    ours, theirs = [], []
    with Network() as network, Nodes(network) as nodes:
        for number in range(args.count + 1):
            theirs.append(bare(network, nodes.folder, number))
            ours.append(nodes.once(number))
    report.row("mpirun alone, start to first all-reduce", theirs[1:])
    report.row("a job, accepted to first all-reduce", ours[1:])
    report.bar("a job, median, s", benchlib.percentile(ours[1:], 0.5) / 1e3, at_most=0.6)
    report.close()


if __name__ == "__main__":
    main()
