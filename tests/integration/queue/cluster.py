"""A scheduler and agents of the built programs in one temporary folder, driven by the command line.

Everything started here is ended by its pid, whatever the test did.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

PATIENCE = 120  # seconds; nothing is expected to take long, the machine may be busy


class Cluster:
    def __init__(self, build, *flags):
        self.bin = pathlib.Path(build).resolve() / "bin"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="trainyard-queue-"))
        self.state = self.folder / "state"
        self.daemons = {}
        self.flags = flags
        self.environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"],
                            "TRAINYARD_STATE": str(self.folder / "none")}

    def __enter__(self):
        self.start_scheduler()
        return self

    def __exit__(self, *_):
        for name in [name for name in self.daemons if name != "scheduler"] + ["scheduler"]:
            self.stop(name)
        self.end_leftovers()
        shutil.rmtree(self.folder, ignore_errors=True)

    def end_leftovers(self):
        """Supervisors and ranks live on without their agent: whoever names our folder is ours."""
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if str(self.folder).encode() in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass

    def launch(self, name, *words):
        log = open(self.folder / f"{name}.log", "ab")
        self.daemons[name] = subprocess.Popen(
            [str(word) for word in words], env=self.environment, stdout=log, stderr=log)

    def stop(self, name):
        daemon = self.daemons.pop(name, None)
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(20)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def start_scheduler(self):
        (self.state / "endpoint.json").unlink(missing_ok=True)
        self.launch("scheduler", self.bin / "trainyard-scheduler", f"--state_dir={self.state}",
                    *self.flags)
        self.until(lambda: (self.state / "endpoint.json").exists(), "the scheduler serves")
        self.environment["TRAINYARD_ENDPOINT"] = f"unix://{self.state}/scheduler.sock"
        self.environment["TRAINYARD_TOKEN"] = (self.state / "token").read_text().strip()

    def start_agent(self, node, *flags, cores=4):
        token = self.folder / f"join-{node}"
        token.write_text(self.json("join-token", node)["secret"])
        self.launch(node, self.bin / "trainyard-agent",
                    f"--scheduler=unix://{self.state}/scheduler.sock",
                    f"--join_token_file={token}", f"--work_dir={self.folder / node}",
                    f"--node_id={node}", f"--cores={cores}", "--memory=64GiB", "--nvml_library=",
                    "--reconnect_max=200ms", *flags)
        self.until(lambda: self.node(node).get("state") == "READY", f"{node} is ready")

    def run(self, *words, check=True):
        done = subprocess.run([str(self.bin / "trainyard"), *[str(word) for word in words]],
                              env=self.environment, text=True, capture_output=True,
                              timeout=PATIENCE)
        if check and done.returncode != 0:
            command = " ".join(str(word) for word in words)
            raise AssertionError(f"trainyard {command}: {done.returncode}\n{done.stderr}")
        return done

    def refused(self, code, *words):
        done = self.run(*words, check=False)
        assert done.returncode == code, f"{words}: exit code {done.returncode}: {done.stderr}"
        return done.stderr

    def json(self, *words):
        return json.loads(self.run(*words, "-o", "json").stdout)

    def node(self, name):
        nodes = self.json("nodes")
        return next((node for node in nodes if node["name"] == f"nodes/{name}"), {})

    def job(self, name):
        return self.json("jobs", "describe", name)

    def submit(self, name, config, *flags):
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(config))
        self.run("custom-jobs", "create", name, "--config", path, "--patient", *flags)

    def until(self, holds, what, limit=PATIENCE):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if holds():
                return
            time.sleep(0.1)
        logs = "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}"
                         for path in self.folder.glob("*.log"))
        raise AssertionError(f"never came true: {what}\n{logs}")

    def until_state(self, job, *states):
        self.until(lambda: self.job(job)["state"] in states, f"{job} is {' or '.join(states)}: "
                   f"it is {self.job(job)}")
        return self.job(job)
