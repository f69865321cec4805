#!/usr/bin/env python3
"""Queue tools on the real programs, through the command line.

Usage: queue_test.py BUILD_FOLDER [TEST...]
"""
import csv
import io
import json
import subprocess
import sys
import time
import traceback

from cluster import Cluster

# Counts steps of 50 ms, keeps the count in its checkpoint folder, goes on from there. Told to stop,
# it saves and ends with 0, as well-behaved trainers do.
TRAINER = """
import os, signal, sys, time
folder = os.environ["AIP_CHECKPOINT_DIR"]
path = os.path.join(folder, "count")
step = int(open(path).read()) if os.path.exists(path) else 0
print("begins at", step, flush=True)
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
last = int(sys.argv[1])
while step < last and not stopped:
    time.sleep(0.05)
    step += 1
with open(path + ".new", "w") as file:
    file.write(str(step))
os.rename(path + ".new", path)
print("ends at", step, flush=True)
"""


def command(*words, cores=1, **keys):
    return {"displayName": "test", "trainyard": {
        "command": list(words), "resources": {"cpu": cores, "memory": "64MiB"}, **keys}}


def sleeper(seconds, **keys):
    return command("/bin/sleep", str(seconds), **keys)


def trainer(last, **keys):
    return command("/usr/bin/python3", "-c", TRAINER, str(last), **keys)


def hold_and_release(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1")
        cluster.submit("held", sleeper(0, hold=True))
        why = cluster.json("jobs", "why", "held")
        assert why["reason"] == "HELD", why
        time.sleep(1)
        assert cluster.job("held")["state"] == "QUEUED"
        cluster.run("jobs", "release", "held")
        cluster.until_state("held", "SUCCEEDED")
        cluster.refused(1, "jobs", "hold", "held")
        cluster.refused(1, "jobs", "update", "held", "--priority", "5")


def priorities_and_limits(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=1)
        cluster.submit("first", sleeper(600))
        cluster.until_state("first", "RUNNING")
        cluster.submit("low", sleeper(0))
        cluster.submit("high", sleeper(0))
        cluster.submit("late", sleeper(0, maxWait="3s"))
        cluster.run("jobs", "update", "high", "--priority", "500")
        cluster.until(lambda: cluster.json("jobs", "why", "high").get("queuePosition") == 1,
                      "the higher priority is first in line")
        late = cluster.until_state("late", "EXPIRED")
        assert "maxWait" in late["error"]["message"], late
        cluster.run("jobs", "update", "low", "--time-limit", "1s")
        assert "pause it" in cluster.refused(1, "jobs", "update", "first", "--time-limit", "1h")
        cluster.run("jobs", "cancel", "first")
        cluster.until_state("high", "SUCCEEDED")
        cluster.until_state("low", "SUCCEEDED")
        high, low = cluster.job("high"), cluster.job("low")
        assert high["startTime"] <= low["startTime"], (high["startTime"], low["startTime"])
        cluster.submit("endless", sleeper(600), "--time-limit", "1s")
        ended = cluster.until_state("endless", "FAILED")
        assert ended["error"]["cause"] == "TIMED_OUT", ended["error"]


def dependencies(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1")
        cluster.submit("base", trainer(40))
        cluster.submit("next", sleeper(0), "--after", "base")
        cluster.submit("cleanup", sleeper(0), "--after", "base:end")
        why = cluster.json("jobs", "why", "next")
        assert why["reason"] == "WAITING_FOR_JOBS", why
        assert why["blockers"] == ["projects/default/jobs/base"], why
        cluster.until_state("next", "SUCCEEDED")
        cluster.until_state("cleanup", "SUCCEEDED")
        assert cluster.job("base")["endTime"] <= cluster.job("next")["startTime"]
        cluster.submit("bad", command("/bin/false", hold=True))
        cluster.submit("never", sleeper(0), "--after", "bad")
        cluster.submit("nor-this", sleeper(0), "--after", "never")
        cluster.submit("always", sleeper(0), "--after", "bad:end,never:end")
        cluster.run("jobs", "release", "bad")
        never = cluster.until_state("never", "CANCELLED")
        message = never["error"]["message"]
        assert "bad, whose success it waits for, ended as FAILED" in message, never
        cluster.until_state("nor-this", "CANCELLED")
        cluster.until_state("always", "SUCCEEDED")
        assert "DEPENDENCY_FAILED" in cluster.run(
            "custom-jobs", "create", "x", "--command", "/bin/true", "--after", "bad", "-o", "json",
            check=False).stderr
        assert "there is no job nobody" in cluster.refused(
            3, "custom-jobs", "create", "x", "--command", "/bin/true", "--after", "nobody")


def queues(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=1)
        cluster.run("queues", "set", "night", "--priority", "-100", "--time-limit", "1h",
                    "--time-limit-max", "2h", "--stop", "--reason", "not yet")
        cluster.submit("a", sleeper(0), "--queue", "night")
        why = cluster.json("jobs", "why", "a")
        assert why["reason"] == "QUEUE_STOPPED" and "not yet" in why["message"], why
        assert cluster.job("a")["spec"]["scheduling"]["timeout"] == "3600s"
        assert "takes jobs of at most" in cluster.refused(
            4, "custom-jobs", "create", "long", "--command", "/bin/true", "--queue", "night",
            "--time-limit", "3h")
        assert "did you mean night?" in cluster.refused(
            3, "custom-jobs", "create", "x", "--command", "/bin/true", "--queue", "nihgt")
        shown = cluster.json("queues", "list")
        counts = [(queue["name"], queue["waiting"]) for queue in shown]
        assert counts == [("queues/night", 1)], shown
        cluster.refused(1, "queues", "delete", "night")
        cluster.run("queues", "set", "night", "--open")
        cluster.until_state("a", "SUCCEEDED")
        cluster.run("queues", "delete", "night")
        assert cluster.json("queues", "list") == []


def quotas_and_usage(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=4)
        cluster.run("projects", "create", "p", "--team", "vision")
        cluster.run("projects", "update", "default", "--team", "vision")
        cluster.run("quota", "set", "teams/vision", "--model", "cpu", "--guarantee", "3")
        cluster.run("quota", "set", "projects/p", "--model", "cpu", "--guarantee", "1",
                    "--limit", "2")
        assert "QUOTA_TOO_LARGE" in cluster.run(
            "quota", "set", "projects/default", "--model", "cpu", "--guarantee", "3", "-o", "json",
            check=False).stderr
        token = cluster.json("token", "create", "eve", "--role", "submitter", "--project",
                             "p")["secret"]
        denied = cluster.run("quota", "set", "projects/p", "--model", "cpu", "--limit", "9",
                             "--token", token, check=False)
        assert denied.returncode == 5, denied
        cluster.submit("work", trainer(20))
        cluster.until_state("work", "RUNNING", "SUCCEEDED")
        cluster.until_state("work", "SUCCEEDED")
        rows = cluster.json("usage", "--by", "job")
        assert [row["job"] for row in rows] == ["work"], rows
        assert int(rows[0]["attempts"]) == 1, rows
        used = int(rows[0]["cpuUs"])
        assert used >= 1_000_000, rows  # a core for at least the second that it ran
        by_user = cluster.json("usage", "--by", "user")
        assert int(by_user[0]["cpuUs"]) == used, (by_user, used)
        by_day = cluster.json("usage", "--by", "day", "--all-projects")
        assert sum(int(row["cpuUs"]) for row in by_day) == used, by_day
        # What was used survives the scheduler.
        cluster.stop("scheduler")
        cluster.start_scheduler()
        assert cluster.json("usage", "--by", "user") == by_user
        quota = cluster.json("quota", "describe", "projects/p")
        assert quota["shares"][0]["limitMilli"] == "2000", quota
        names = cluster.run("usage", "--by", "user", "-o", "name").stdout.split()
        assert len(names) == len(by_user) and names[0].startswith("default/"), names
        # One model's share goes, the other stays; who names another is told what there is.
        cluster.run("quota", "set", "projects/p", "--limit", "3")
        cluster.run("quota", "delete", "projects/p", "--model", "cpu")
        shares = cluster.json("quota", "describe", "projects/p")["shares"]
        assert len(shares) == 1 and not shares[0].get("model"), shares
        told = cluster.refused(3, "quota", "delete", "projects/p", "--model", "cpu")
        assert "says nothing of model cpu" in told, told
        # A token of another project is told of its own.
        told = cluster.run("jobs", "list", "--token", token, check=False).stderr
        assert "--project p" in told, told


def flags_over_what_is_there(build):
    """A tier keeps what is not named; pools that flags add have the resources of the file."""
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=1)
        cluster.run("tiers", "set", "BIG", "--replicas", "4", "--cores", "2", "--memory", "4GiB")
        told = cluster.refused(2, "tiers", "set", "BIG", "--gpu-models", "T4")
        assert "--gpus N" in told, told
        cluster.run("tiers", "set", "BIG", "--note", "ours")
        pools = next(tier for tier in cluster.json("tiers") if tier["name"] == "BIG")["workerPools"]
        assert [pool["replicaCount"] for pool in pools] == [1, 3], pools
        assert {pool["resources"]["cpuMilli"] for pool in pools} == {"2000"}, pools
        (cluster.folder / "small.yaml").write_text(
            "trainyard: {command: [/bin/true], resources: {cpu: 0.1, memory: 64MiB}}\n")
        for tier in (), ("--scale-tier", "custom"):
            plan = cluster.json("jobs", "submit", "training", "two", "--config",
                                cluster.folder / "small.yaml", *tier, "--worker-count", "1",
                                "--plan")
            assert plan["startsNow"] and plan["nodes"] == ["n1"], plan
        told = cluster.refused(2, "custom-jobs", "create", "b", "--command", "/bin/true", "--after",
                               "a:finish")
        assert "a:end" in told, told
        cluster.submit("a", sleeper(600))
        told = cluster.refused(3, "jobs", "wait", "a", "nobody", "--timeout", "60s")
        assert "nobody" in told, told


def lost_node_is_told(build):
    """Until the lease of a lost node ends its run is not called lost, but `why` says what is up."""
    with Cluster(build) as cluster:
        cluster.start_agent("n1")
        cluster.submit("a", sleeper(600))
        cluster.until_state("a", "RUNNING")
        assert not cluster.json("jobs", "why", "a").get("reason"), cluster.json("jobs", "why", "a")
        cluster.daemons["n1"].kill()
        cluster.until(lambda: cluster.json("jobs", "why", "a").get("reason") == "NODE_UNREACHABLE",
                      "why names the lost node")
        assert "node n1 does not answer" in cluster.json("jobs", "why", "a")["message"]


def quota_limits_and_reclaim(build):
    """Nobody passes a limit; what is guaranteed comes back from whoever borrowed it."""
    with Cluster(build, "--policy=las-r", "--min_run=1s") as cluster:
        cluster.start_agent("n1", cores=2)
        cluster.run("projects", "create", "p")
        cluster.run("quota", "set", "projects/default", "--model", "cpu", "--limit", "1")
        cluster.submit("one", trainer(100_000))
        cluster.until_state("one", "RUNNING")
        cluster.submit("two", trainer(100_000))
        cluster.until(lambda: cluster.json("jobs", "why", "two").get("reason") == "QUOTA_EXCEEDED",
                      f"two is over the limit: {cluster.json('jobs', 'why', 'two')}")
        cluster.run("quota", "set", "projects/default", "--model", "cpu", "--no-limit")
        cluster.until_state("two", "RUNNING")
        cluster.run("quota", "set", "projects/p", "--model", "cpu", "--guarantee", "1")
        cluster.run("custom-jobs", "create", "theirs", "--command", "/bin/sleep,600", "--project",
                    "p")
        cluster.until(lambda: cluster.json("jobs", "describe", "theirs", "--project", "p")["state"]
                      == "RUNNING", "a borrowed core is given back")
        states = sorted(cluster.job(name)["state"] for name in ("one", "two"))
        assert states == ["QUEUED", "RUNNING"], states
        used = cluster.json("quota", "describe", "projects/p")["shares"][0]
        assert used["usedMilli"] == "1000", used


def history_replays(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1")
        for name in ("a", "b"):
            cluster.submit(name, trainer(20))
        for name in ("a", "b"):
            cluster.until_state(name, "SUCCEEDED")
        tune = cluster.folder / "tune.yaml"
        tune.write_text(json.dumps({
            "studySpec": {
                "metrics": [{"metricId": "x", "goal": "MAXIMIZE"}],
                "parameters": [{"parameterId": "p",
                                "doubleValueSpec": {"minValue": 0, "maxValue": 1}}]},
            "maxTrialCount": 2, "parallelTrialCount": 1,
            **command("/bin/sh", "-c", "echo '" + json.dumps(
                {"timestamp": 1.5, "trial": "0", "x": "0.5", "global_step": "1"}) +
                "' >> $CLOUD_ML_HP_METRIC_FILE")}))
        cluster.run("hp-tuning-jobs", "create", "tune", "--config", tune)
        cluster.until_state("tune", "SUCCEEDED")
        text = cluster.run("history", "-o", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["job_id"] for row in rows] == ["1", "2", "3", "4"], text
        names = [run["job"] for run in cluster.json("history")]
        jobs = ("a", "b", "tune", "tune")
        assert names == [f"projects/default/jobs/{name}" for name in jobs], names
        assert all(int(row["duration"]) >= 1 and row["vc"] == "default" for row in rows), text
        assert [row["study"] for row in rows] == ["0", "0", "1", "1"], text
        path = cluster.folder / "past.csv"
        path.write_text(text)
        program = cluster.bin / "trainyard-sim"
        if not program.exists():
            print("trainyard-sim is not built: the replay is left out")
            return
        done = subprocess.run([str(program), "replay", "--trace", str(path), "--nodes", "1",
                               "--gpus-per-node", "1", "--policy", "fifo"], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def drain_with_deadline(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=1)
        cluster.submit("work", trainer(100_000))
        cluster.until_state("work", "RUNNING")
        cluster.run("drain", "n1", "--deadline", "+2s", "--reason", "new fan")
        work = cluster.until_state("work", "QUEUED")
        assert work["attempts"][-1]["state"] == "PREEMPTED", work["attempts"]
        assert "deadline" in work["attempts"][-1]["exit"]["message"], work["attempts"]
        cluster.until(lambda: cluster.node("n1")["state"] == "DRAINED", "n1 is drained")
        cluster.run("drain", "n1", "--undo")
        cluster.until_state("work", "RUNNING")
        resumes_where_it_was(cluster, "work")


def resumes_where_it_was(cluster, job):
    """The second attempt begins at the step at which the first one ended."""
    lines = []

    def two_attempts():
        lines[:] = cluster.run("jobs", "logs", job).stdout.splitlines()
        return sum("begins at" in line for line in lines) == 2

    cluster.until(two_attempts, f"{job} begins a second time")
    ended = [int(line.split()[-1]) for line in lines if "ends at" in line][0]
    begun = [int(line.split()[-1]) for line in lines if "begins at" in line]
    assert begun[0] == 0 and ended > 0 and begun[1] == ended, lines


def maintenance(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=1)
        cluster.run("reservations", "create", "works", "--nodes", "n1", "--from", "+300s",
                    "--duration", "1h", "--reason", "new fan")
        cluster.submit("long", sleeper(0), "--time-limit", "1h")
        cluster.submit("short", sleeper(0), "--time-limit", "60s", "--priority", "5")
        cluster.until_state("short", "SUCCEEDED")
        why = cluster.json("jobs", "why", "long")
        if has_policy(build, "las-r"):
            assert why["reason"] == "WAITING_FOR_MAINTENANCE", why
        assert cluster.job("long")["state"] == "QUEUED", why
        cluster.run("reservations", "delete", "works")
        cluster.until_state("long", "SUCCEEDED")
        # One that begins under a run takes it off with its checkpoint.
        cluster.submit("work", trainer(100_000))
        cluster.until_state("work", "RUNNING")
        cluster.run("reservations", "create", "now", "--all-nodes", "--duration", "1h")
        cluster.until_state("work", "QUEUED")
        cluster.run("reservations", "delete", "now")
        cluster.until_state("work", "RUNNING")
        resumes_where_it_was(cluster, "work")


def labels_and_taints(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", "--labels=zone=a", "--taints=spot")
        cluster.start_agent("n2", "--labels=zone=b")
        cluster.submit("in-b", sleeper(0, nodeSelector={"zone": "b"}))
        assert cluster.until_state("in-b", "SUCCEEDED")["attempts"][-1]["nodes"] == ["n2"]
        cluster.submit("in-a", sleeper(0, nodeSelector={"zone": "a"}))
        cluster.submit("in-a-too", sleeper(0, nodeSelector={"zone": "a"}, tolerations=["spot"]))
        assert cluster.until_state("in-a-too", "SUCCEEDED")["attempts"][-1]["nodes"] == ["n1"]
        assert cluster.job("in-a")["state"] == "QUEUED"
        why = cluster.json("jobs", "why", "in-a")
        assert why["reason"] in ("NO_CAPACITY", "WAITING_FOR_NODES"), why


def plan_before_submit(build):
    with Cluster(build) as cluster:
        cluster.start_agent("n1", cores=2)
        plan = cluster.json("custom-jobs", "create", "x", "--command", "/bin/true", "--plan")
        assert plan["startsNow"] and plan["nodes"] == ["n1"], plan
        cluster.submit("full", sleeper(600, cores=2))
        cluster.until_state("full", "RUNNING")
        plan = cluster.json("custom-jobs", "create", "x", "--command", "/bin/true", "--plan")
        assert plan["reason"] == "WAITING_FOR_RESOURCES" and not plan.get("startsNow"), plan
        assert cluster.run("jobs", "describe", "x", check=False).returncode == 3, "it was submitted"


def revoked_node(build):
    """A node whose key was revoked is cut off, also over a restart, and comes back by joining."""
    with Cluster(build) as cluster:
        cluster.start_agent("n1")
        cluster.start_agent("n2")
        cluster.refused(3, "revoke-node", "n9")
        cluster.run("revoke-node", "n1")
        cluster.until(lambda: cluster.node("n1")["state"] == "UNREACHABLE", "n1 is cut off")
        assert cluster.node("n1")["reason"] == "its key was revoked", cluster.node("n1")
        cluster.stop("scheduler")
        cluster.start_scheduler()
        cluster.until(lambda: cluster.node("n2").get("state") == "READY", "n2 is back")
        assert cluster.node("n1")["state"] == "UNREACHABLE", "by a revoked key"
        cluster.submit("a", sleeper(0, cores=4))
        assert cluster.until_state("a", "SUCCEEDED")["attempts"][-1]["nodes"] == ["n2"]
        cluster.stop("n1")
        (cluster.folder / "n1" / "agent.token").unlink()
        cluster.start_agent("n1")
        assert cluster.node("n1").get("reason", "") == "", cluster.node("n1")


def preemption(build):
    """A job of higher priority takes the place of a lower one, which goes on later where it was."""
    with Cluster(build, "--policy=las-r", "--min_run=1s") as cluster:
        cluster.start_agent("n1", cores=1)
        cluster.submit("low", trainer(100_000, preemptible=True, retries=0))
        cluster.until_state("low", "RUNNING")
        cluster.submit("high", trainer(40), "--priority", "500")
        cluster.until_state("high", "SUCCEEDED")
        low = cluster.until_state("low", "RUNNING")
        preempted = [a for a in low["attempts"] if a["state"] == "PREEMPTED"]
        assert len(preempted) == 1, low["attempts"]
        assert preempted[0]["exit"]["cause"] == "PREEMPTED_CAUSE", preempted
        high = cluster.job("high")
        assert preempted[0]["endTime"] <= high["attempts"][0]["startTime"], (preempted, high)
        resumes_where_it_was(cluster, "low")


TESTS = [hold_and_release, priorities_and_limits, dependencies, queues, quotas_and_usage,
         quota_limits_and_reclaim,
         history_replays, drain_with_deadline, maintenance, labels_and_taints, plan_before_submit,
         revoked_node, lost_node_is_told,
         flags_over_what_is_there, preemption]


def has_policy(build, name):
    done = subprocess.run([f"{build}/bin/trainyard-scheduler", "--policy=?"], capture_output=True,
                          text=True, timeout=60)
    return f"--policy={name}" in done.stderr


def main():
    build, names = sys.argv[1], sys.argv[2:]
    failed = 0
    for test in TESTS:
        if names and test.__name__ not in names:
            continue
        needs_policy = test in (preemption, quota_limits_and_reclaim)
        if needs_policy and not has_policy(build, "las-r"):
            print(f"the policy las-r is not there: {test.__name__} is left out")
            continue
        start = time.monotonic()
        try:
            test(build)
            print(f"ok {test.__name__} {time.monotonic() - start:.1f} s", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {test.__name__}\n{traceback.format_exc()}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
