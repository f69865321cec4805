#!/usr/bin/env python3
"""How often the cause of an end is told right: faults of every kind, injected into the real
programs under real daemons. A cause is right when the job's error, or that of its attempt, names it
and says in words what happened."""
import concurrent.futures
import functools
import os
import pathlib
import signal
import tempfile
import time

import benchlib

PYTHON = "/usr/bin/python3"
LIBRARY = benchlib.BIN.parent / "lib/libtrainyard_training.so"
NODE = "local"
PER_ROUND = 25  # jobs that one event on their node hits together
# Says its pid and that of its parent, then stays.
STAYS = ("import os, sys, time\n"
         "open(sys.argv[1], 'w').write(f'{os.getpid()} {os.getppid()}\\n')\n"
         "time.sleep(600)\n")
# A rank of a gang that reduces for ever, with the library named; says its pid after the first time.
REDUCES = ("import array, os, sys\n"
           "os.environ['TRAINYARD_TRAINING_LIBRARY'] = sys.argv[2]\n"
           "os.environ['TRAINYARD_HANG_TIMEOUT'] = '2'\n"
           "from trainyard import training\n"
           "gang = training.init()\n"
           "numbers = array.array('f', [1] * 1000)\n"
           "gang.all_reduce(numbers)\n"
           "open(sys.argv[1] + '.' + os.environ['RANK'], 'w').write(f'{os.getpid()}\\n')\n"
           "while True:\n"
           "    gang.all_reduce(numbers)\n")
# Enters a memory cgroup of its own and takes more than that may hold.
OVERFLOWS = ("import os, sys\n"
             "group = f'{sys.argv[1]}/{os.getpid()}'\n"
             "os.mkdir(group)\n"
             "open(f'{group}/{sys.argv[2]}', 'w').write(str(32 << 20))\n"
             "open(f'{group}/cgroup.procs', 'w').write('0')\n"
             "x = bytearray(1 << 28)\n"
             "x[::4096] = b'1' * len(x[::4096])\n")

# Programs that end by themselves: fault -> command, cause, what the message must hold, settings.
PROGRAMS = {
    "exit code 3": (["sh", "-c", "echo the sum is wrong >&2; exit 3"], "USER_ERROR",
                    "the sum is wrong", {"said": "the sum is wrong"}),
    "exception": ([PYTHON, "-c", "raise ValueError('no such column')"], "USER_ERROR",
                  "no such column", {"said": "ValueError: no such column"}),
    "segmentation fault": (["sh", "-c", "kill -SEGV $$"], "USER_ERROR", "SIGSEGV", {}),
    "killed from outside": (["sh", "-c", "kill -KILL $$"], "USER_ERROR", "SIGKILL", {}),
    "memory refused": ([PYTHON, "-c", "import resource\n"
                        "resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\n"
                        "bytearray(1 << 30)"], "OOM_HOST", "memory", {"said": "MemoryError"}),
    "module missing": ([PYTHON, "-c", "import no_such_module"], "USER_ERROR", "no_such_module",
                       {"said": "ModuleNotFoundError"}),
    "argument refused": ([PYTHON, "-c", "import argparse\n"
                          "argparse.ArgumentParser().parse_args(['--job-dir=x'])"], "USER_ERROR",
                         "--job-dir", {"said": "unrecognized arguments: --job-dir"}),
    "interpreter missing": (["FOLDER/program"], "LAUNCH", "program", {}),
    "time limit": (["sleep", "600"], "TIMED_OUT", "time limit",
                   {"timeout": "1s", "grace": "1s"}),
    "device memory": (["sh", "-c", "echo RuntimeError: CUDA out of memory >&2; exit 1"],
                      "OOM_DEVICE", "memory", {"said": "CUDA out of memory"}),
    "device broken": (["sh", "-c", "echo 'CUDA error: uncorrectable ECC error' >&2; exit 1"],
                      "DEVICE_FAULT", "GPU failed", {"said": "uncorrectable ECC error"}),
}


def cgroup():
    """A folder for memory cgroups and the name of the limit's file; None where there is none."""
    for base, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                        ("/sys/fs/cgroup", "memory.max")):
        group = pathlib.Path(base) / f"trainyard-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        probe = group / "probe"
        probe.mkdir()
        usable = (probe / limit).exists()
        probe.rmdir()
        if usable:
            return group, limit
        group.rmdir()
    return None


class Injector:
    def __init__(self, cluster, folder, count):
        self.cluster, self.folder, self.count = cluster, folder, count
        self.pool = concurrent.futures.ThreadPoolExecutor(8)

    def submit(self, name, command, ranks=1, **settings):
        """No failure is repeated, as the error of the first attempt is the one to judge."""
        settings = {"infrastructureRetries": 0, **settings}
        command = [word.replace("FOLDER", self.folder) for word in command]
        return benchlib.submit(self.cluster, self.folder, name, command, ranks, **settings)

    def ended(self, name):
        self.cluster.run("jobs", "wait", name, "-q", "--timeout", "120s")
        return benchlib.describe(self.cluster, name)

    def is_right(self, name, cause, words, said=""):
        """The cause, `words` of its message, the node, and what the rank `said` last."""
        error = self.ended(name).get("error", {})
        right = error.get("cause") == cause and words in error.get("message", "")
        right = right and (error.get("node") == NODE or cause == "CANCELLED_CAUSE")
        right = right and said in error.get("stderrTail", "")
        if not right:
            print(f"    {name}: expected {cause} with '{words}' and '{said}', got {error}")
        return right

    def each(self, one):
        """`one(i)` for each fault, several at a time; how many were right."""
        return sum(self.pool.map(one, range(self.count)))

    def rounds(self, key, cause_of, hit, mend, **settings):
        """Jobs that stay; `hit` strikes all of a round at once, `cause_of(name)` judges."""
        right = 0
        for first in range(0, self.count, PER_ROUND):
            names = [f"{key}{i}" for i in range(first, min(first + PER_ROUND, self.count))]
            list(self.pool.map(lambda name: self.stay(name, **settings), names))
            hit()
            right += sum(self.pool.map(cause_of, names))
            mend(names)
        return right

    def stay(self, name, **settings):
        """Starts a program that stays; its pid and that of its parent."""
        command = [PYTHON, "-c", STAYS, f"{self.folder}/{name}.pid"]
        self.submit(name, command, resources={"cpu": 0.01}, grace="1s", **settings)
        pids = benchlib.wait_for(f"{self.folder}/{name}.pid", 120).split()
        self.cluster.run("jobs", "wait", name, "--for", "running", check=True)
        return [int(pid) for pid in pids]

    def program(self, number, fault):
        command, cause, words, settings = PROGRAMS[fault]
        settings = dict(settings)
        said = settings.pop("said", "")

        def one(i):
            name = f"program{number}x{i}"
            self.submit(name, command, **settings)
            return self.is_right(name, cause, words, said)

        return self.each(one)

    def kernel(self):
        """The kernel's out-of-memory killer."""
        found = cgroup()
        if found is None:
            raise NotImplementedError("no memory cgroup can be made here")
        group, limit = found

        def one(i):
            self.submit(f"kernel{i}", [PYTHON, "-c", OVERFLOWS, str(group), limit])
            return self.is_right(f"kernel{i}", "OOM_HOST", "memory")

        right = self.each(one)
        for child in group.glob("*/"):
            child.rmdir()
        group.rmdir()
        return right

    def hang(self):
        """One rank of two stands still; the other waits for it in a collective."""

        def one(i):
            prefix = f"{self.folder}/hang{i}"
            self.submit(f"hang{i}", [PYTHON, "-c", REDUCES, prefix, str(LIBRARY)], ranks=2)
            os.kill(int(benchlib.wait_for(f"{prefix}.1", 120)), signal.SIGSTOP)
            return self.is_right(f"hang{i}", "HANG", "rank 1")

        return self.each(one)

    def supervisor(self):
        """A program's supervisor is killed."""

        def one(i):
            os.kill(self.stay(f"orphan{i}")[1], signal.SIGKILL)
            return self.is_right(f"orphan{i}", "INTERNAL", "supervisor")

        return self.each(one)

    def cancel(self):
        def one(i):
            self.stay(f"cancelled{i}")
            self.cluster.run("jobs", "cancel", f"cancelled{i}", "--reason", "no room", check=True)
            return self.is_right(f"cancelled{i}", "CANCELLED_CAUSE", "no room")

        return self.each(one)

    def preempt(self):
        """A drain of the node whose deadline is now: all its runs are preempted."""

        def first_attempt(name):
            end = time.monotonic() + 60
            exit_ = {}
            while not exit_.get("cause") and time.monotonic() < end:
                attempts = benchlib.describe(self.cluster, name).get("attempts", [])
                exit_ = attempts[0].get("exit", {}) if attempts else {}
            return exit_.get("cause") == "PREEMPTED_CAUSE"

        def mend(names):
            self.cluster.run("drain", "local", "--undo", check=True)
            list(self.pool.map(lambda name: self.cluster.run("jobs", "cancel", name), names))
            list(self.pool.map(self.ended, names))

        return self.rounds("preempted", first_attempt,
                           lambda: self.cluster.run("drain", "local", "--deadline", "+1s",
                                                    check=True), mend)

    def lost_node(self):
        """The node's agent stands still for longer than its lease."""
        agent = self.cluster.pid("agent")

        def mend(unused_names):
            os.kill(agent, signal.SIGCONT)
            benchlib.await_ready(self.cluster)

        return self.rounds("lost", lambda name: self.is_right(name, "NODE_LOST", "local"),
                           lambda: os.kill(agent, signal.SIGSTOP), mend)

    def staging(self):
        """The store loses a package between the submit and the start."""
        blobs = pathlib.Path(self.cluster.state) / "store"

        def files():
            return {file for file in blobs.rglob("*")
                    if file.is_file() and file.relative_to(blobs).parts[0] in ("blobs", "chunks")}

        before = files()

        def one(i):
            package = pathlib.Path(self.folder) / f"package{i}"
            package.mkdir()
            (package / "task.py").write_text(f"print({i})\n")
            self.submit(f"unstaged{i}", [PYTHON, f"package{i}/task.py"],
                        packagePath=str(package), hold=True)

        list(self.pool.map(one, range(self.count)))
        for file in files() - before:
            file.unlink()

        def release(i):
            self.cluster.run("jobs", "release", f"unstaged{i}", check=True)
            return self.is_right(f"unstaged{i}", "STAGING", "")

        return self.each(release)


def kinds_of(injector):
    """Each kind of fault and what injects it."""
    kinds = {fault: functools.partial(injector.program, number, fault)
             for number, fault in enumerate(PROGRAMS)}
    kinds["killed by the kernel for memory"] = injector.kernel
    kinds["one rank of two stands still"] = injector.hang
    kinds["supervisor killed"] = injector.supervisor
    kinds["cancelled"] = injector.cancel
    kinds["preempted"] = injector.preempt
    kinds["package lost"] = injector.staging
    kinds["node lost"] = injector.lost_node
    return kinds


def main():
    args = benchlib.arguments(
        __doc__.splitlines()[0],
        count=(100, "faults of each kind"),
        kinds=("", "only kinds whose name holds this"),
    )
    report = benchlib.Report("causes of ends", args.json)

    with tempfile.TemporaryDirectory() as folder, benchlib.Cluster() as cluster:
        program = pathlib.Path(folder) / "program"  # that it is not there would be seen at submit
        program.write_text("#!/no/such/interpreter\n")
        program.chmod(0o755)
        injector = Injector(cluster, folder, args.count)
        for kind, inject in kinds_of(injector).items():
            if args.kinds not in kind:
                continue
            try:
                right = inject()
            except NotImplementedError as why:
                report.skip(kind, str(why), promised=True)
                continue
            report.bar(f"{kind}: injected {args.count}, right {right}", right / args.count,
                       at_least=0.99)
    report.close()


if __name__ == "__main__":
    main()
