"""The hypertune interface that tuning programs already use, without installing anything.

    hpt = hypertune.HyperTune()
    hpt.report_hyperparameter_tuning_metric(
        hyperparameter_metric_tag="accuracy", metric_value=0.93, global_step=5)

Writes the file named by CLOUD_ML_HP_METRIC_FILE: the last 100 reports of the object as JSON lines
with sorted keys, the whole file anew at each report. Trainyard watches the file and accumulates its
lines. Not for several threads.
"""
import collections
import json
import os
import time

_DEFAULT_FILE = "/tmp/hypertune/output.metrics"
_REPORTS_MAX = 100


class HyperTune:
    """Reports the metric of one trial."""

    def __init__(self):
        self.metric_path = os.environ.get("CLOUD_ML_HP_METRIC_FILE") or _DEFAULT_FILE
        self.trial_id = os.environ.get("CLOUD_ML_TRIAL_ID", "0")
        self.metrics_queue = collections.deque(maxlen=_REPORTS_MAX)
        folder = os.path.dirname(self.metric_path)
        if folder:
            os.makedirs(folder, exist_ok=True)

    def report_hyperparameter_tuning_metric(
            self, hyperparameter_metric_tag, metric_value, global_step=None, checkpoint_path=""):
        """Adds one point: `metric_value` of `hyperparameter_metric_tag` at `global_step`."""
        point = {
            "timestamp": time.time(),
            "trial": str(self.trial_id),
            str(hyperparameter_metric_tag): str(float(metric_value)),
            "global_step": str(int(global_step) if global_step else 0),
            "checkpoint_path": checkpoint_path,
        }
        self.metrics_queue.append(json.dumps(point, sort_keys=True))
        with open(self.metric_path, "w", encoding="utf-8") as output:
            output.write("\n".join(self.metrics_queue) + "\n")
