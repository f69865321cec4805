"""Studies driven from Python: ask for parameters, tell what they gave.

    from trainyard.study import Study

    study = Study("lr_search", config="study.yaml")   # made on the cluster when it is not there
    for trial in study.ask(4):
        for step in range(10):
            if study.tell(trial, step=step, loss=train_one(trial.parameters)):
                break                                 # the study says it is hopeless
        study.complete(trial, loss=0.2)
    print(study.best())

Study.local(config, seed) is the same without a cluster, in a process of its own that forgets.

Invariants: one program (`trainyard study stream` or `trainyard-tune`) beside this process, one
reply line a request line; a refused request raises StudyError and the study goes on; each ask gives
other trials, and a later Study with the same client id is given that client's open trials again.
Thread-safe. Standard library only;
trials_dataframe() needs pandas.
"""
import json
import math
import os
import shutil
import subprocess
import threading


class StudyError(ValueError):
    """What was refused; `reason` is one of docs/errors.md."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class Trial:
    """One suggestion. `origin`: the trial from whose checkpoint it goes on (PBT), 0: none;
    `same_as`: with duplicates REUSE a trial that measured the same point, 0: none."""

    __slots__ = ("id", "parameters", "origin", "same_as")

    def __init__(self, id, parameters, origin=0, same_as=0):
        self.id, self.parameters, self.origin, self.same_as = id, parameters, origin, same_as

    def __repr__(self):
        return f"Trial(id={self.id}, parameters={self.parameters})"


def _program(name):
    """TRAINYARD_BIN's folder first, then PATH."""
    folder = os.environ.get("TRAINYARD_BIN")
    path = os.path.join(folder, name) if folder else shutil.which(name)
    if path is None or not os.path.exists(path):
        raise FileNotFoundError(
            f"the program {name} is not found; put Trainyard's bin folder on PATH or name it in "
            "TRAINYARD_BIN")
    return path


def _number(value):
    """JSON has no nan and no infinity: they travel as text."""
    value = float(value)
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")


class Study:
    """A study of a cluster. `config`: a YAML file of a studySpec, for a study that may not exist
    yet; `client_id`: whose open trials ask() gives again, by default nobody's."""

    def __init__(self, name, config=None, client_id=None):
        self.name = name
        self._trainyard = _program("trainyard")
        if config is not None:
            self._make(config)
        command = [self._trainyard, "study", "stream", name]
        if client_id:
            command += ["--client-id", client_id]
        self._begin(command)

    @classmethod
    def local(cls, config, seed=None):
        """Without a cluster: trials live as long as this object."""
        study = cls.__new__(cls)
        study.name, study._trainyard = None, None
        command = [_program("trainyard-tune"), "--config", os.fspath(config)]
        if seed is not None:
            command += ["--seed", str(seed)]
        study._begin(command)
        return study

    def _make(self, config):
        known = self._run("describe", self.name)
        if known.returncode == 0:
            return
        made = self._run("create", self.name, "--config", os.fspath(config))
        if made.returncode != 0 and self._run("describe", self.name).returncode != 0:
            raise StudyError("INVALID_ARGUMENT", made.stderr.strip())

    def _run(self, verb, *arguments):
        return subprocess.run([self._trainyard, "study", verb, *arguments], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, check=False)

    def _begin(self, command):
        self._lock = threading.Lock()
        self._told = {}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, encoding="utf-8")

    def _exchange(self, request):
        line = json.dumps(request, allow_nan=False)
        with self._lock:
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except (BrokenPipeError, ValueError):
                pass  # it has ended; the read below says so
            reply = self._process.stdout.readline()
            if not reply:
                self._process.wait()
                said = self._process.stderr.read().strip()
                raise StudyError("UNAVAILABLE", f"the study's program has ended: {said}")
        reply = json.loads(reply)
        if "error" in reply:
            raise StudyError(reply["error"]["reason"], reply["error"]["message"])
        return reply

    def ask(self, count=1):
        """At most `count` trials; fewer, or none, when the study is over."""
        trials = [Trial(t["id"], t["parameters"], t.get("origin", 0), t.get("same_as", 0))
                  for t in self._exchange({"ask": count})["trials"]]
        for trial in trials:
            self._told.setdefault(trial.id, {"id": trial.id, "state": "ACTIVE",
                                             "parameters": trial.parameters, "metrics": {}})
        return trials

    def tell(self, trial, step=None, **metrics):
        """A measurement on the way; True when the trial should end now."""
        request = {"tell": self._id(trial), "metrics": {k: _number(v) for k, v in metrics.items()}}
        if step is not None:
            request["step"] = step
        return self._exchange(request)["should_stop"]

    def should_stop(self, trial):
        return self._exchange({"should_stop": self._id(trial)})["should_stop"]

    def complete(self, trial, infeasible=None, **metrics):
        """The end of a trial: its metrics, or why it has none."""
        request = {"complete": self._id(trial)}
        if infeasible is not None:
            request["infeasible"] = str(infeasible)
        else:
            request["metrics"] = {k: _number(v) for k, v in metrics.items()}
        self._exchange(request)
        known = self._told.get(self._id(trial))
        if known is not None:
            known["state"] = "INFEASIBLE" if infeasible is not None else "SUCCEEDED"
            known["metrics"] = {k: float(v) for k, v in metrics.items()}

    def best(self, count=1):
        """The best trials, each {"id", "parameters", "metrics"}, best first; 0: the best one, or of
        several metrics the whole Pareto front."""
        return self._exchange({"best": count})["trials"]

    def trials(self):
        """Every trial as {"id", "state", "parameters", "metrics"}."""
        if self._trainyard is None:
            return [dict(trial) for trial in self._told.values()]
        listed = self._run("trials", self.name, "-o", "json")
        if listed.returncode != 0:
            raise StudyError("UNAVAILABLE", listed.stderr.strip())
        return [self._plain(trial) for trial in json.loads(listed.stdout)]

    @staticmethod
    def _plain(trial):
        parameters = {}
        for value in trial.get("parameters", []):
            if "integer" in value:
                parameters[value["parameterId"]] = int(value["integer"])
            else:
                parameters[value["parameterId"]] = value.get("text", value.get("number"))
        metrics = {m["metricId"]: float(m.get("value", 0))
                   for m in trial.get("finalMeasurement", {}).get("metrics", [])}
        return {"id": trial["id"], "state": trial.get("state", "").replace("TRIAL_", ""),
                "parameters": parameters, "metrics": metrics}

    def trials_dataframe(self):
        """A pandas.DataFrame, one row a trial: id, state, params_NAME, metrics_NAME."""
        import pandas  # only here: nothing else needs it

        rows = []
        for trial in self.trials():
            row = {"id": trial["id"], "state": trial["state"]}
            row.update((f"params_{k}", v) for k, v in trial["parameters"].items())
            row.update((f"metrics_{k}", v) for k, v in trial["metrics"].items())
            rows.append(row)
        return pandas.DataFrame(rows)

    def close(self):
        """Ends the program beside this one; open trials stay open on the cluster."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    @staticmethod
    def _id(trial):
        return trial.id if isinstance(trial, Trial) else int(trial)
