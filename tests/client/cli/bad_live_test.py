#!/usr/bin/env python3
"""Bad inputs that are about submitting, given to the real client on a real cluster.

Each case is a command line that must fail; its answer, as text and with -o json, is compared with
bad_live/NAME.txt and bad_live/NAME.json after folders, ports and made-up names were put into words.
Every fault has a reason of docs/errors.md, a message and a fix; one command has one answer, all
faults in it, nothing on standard output that is not data.

Usage: bad_live_test.py BUILD_FOLDER [--write] [NAME...]     --write: the answers are written anew
"""
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = pathlib.Path(__file__).resolve().parent / "bad_live"
REASONS = set(re.findall(r"^### ([A-Z_]+)$", (ROOT / "docs" / "errors.md").read_text(), re.M))

STRICT = """import argparse
parser = argparse.ArgumentParser(prog="strict.py")
parser.add_argument("--steps", type=int, default=1)
parser.parse_args()
"""
REPORTER = """import trainyard
trainyard.report(1, acuracy=0.5, loss=0.1)
"""
TUNING = """studySpec:
  metrics: [{metricId: accuracy, goal: MAXIMIZE}]
  parameters:
    - parameterId: lr
      doubleValueSpec: {minValue: 0.001, maxValue: 0.1}
maxTrialCount: 1
trialJobSpec:
  workerPoolSpecs:
    - pythonPackageSpec: {packageUris: [trainer], pythonModule: trainer.MODULE}
"""
TWICE_WRONG = """trainingInput:
  scaleTier: STANDART_1
  packageUris: [trainr]
  pythonModule: trainer.task
  argz: [--lr, "0.1"]
"""
FILES = {
    "trainer/__init__.py": "",
    "trainer/task.py": "print('ran')\n",
    "trainer/strict.py": STRICT,
    "trainer/quiet.py": "import sys\n",
    "trainer/reporter.py": REPORTER,
    "trainer/needs.py": "import a_module_that_is_not_there\n",
    "trainer/breaks.py": "raise ValueError('the data has no column \"label\"')\n",
    # As nobody, where the test is root.
    "trainer/saves.py": "import os\nif os.getuid() == 0:\n    os.setuid(65534)\n"
                        "os.makedirs('/usr/lib/models')\n",
    "notes.txt": "not a program\n",
    "pkg/part.py": "import os\nfrom . import whole\n",
    "steps.sh": "echo one\n",
    "train.py": "print('ran')\n",
    "tuning.yaml": TUNING.replace("MODULE", "task"),
    "refuses.yaml": TUNING.replace("MODULE", "strict"),
    "other_metric.yaml": TUNING.replace("MODULE", "reporter"),
    "no_metric.yaml": TUNING.replace("MODULE", "quiet"),
    "twice_wrong.yaml": TWICE_WRONG,
    "broken.json": '{"trainingInput": {"scaleTier": "BASIC",, }}\n',
    "package.zip": "no archive at all",
}
TRAIN = ["jobs", "submit", "training"]
TASK = ["--package-path", "trainer", "--module-name", "trainer.task"]
GPU = "replica-count=1,python-module=trainer.task,local-package-path=trainer"

# Name, exit status, words. "{...}" is filled in by the scene.
CASES = [
    # 10 to 12: what no node could ever run
    ("10_accelerator_that_no_node_has", 9,
     ["custom-jobs", "create", "c10", "--stream",
      f"--worker-pool-spec={GPU},accelerator-type=nvidia-tesla-t4"]),
    ("11_more_gpus_than_a_node", 9,
     ["custom-jobs", "create", "c11", "--stream",
      f"--worker-pool-spec={GPU},accelerator-type=nvidia-h100-80gb,accelerator-count=16"]),
    ("12_more_than_the_cluster", 9,
     [*TRAIN, "c12", *TASK, "--stream-logs", "--scale-tier", "custom", "--master-machine-type",
      "n1-standard-4", "--worker-machine-type", "n1-standard-4", "--worker-count", "5000"]),
    ("12_never_also_when_not_followed", 9,
     ["custom-jobs", "create", "c12_off",
      f"--worker-pool-spec={GPU},accelerator-type=nvidia-tesla-t4"]),
    ("12_plan_of_what_never_fits", 9,
     ["custom-jobs", "create", "c12_plan", "--plan",
      f"--worker-pool-spec={GPU},accelerator-type=nvidia-tesla-t4"]),
    ("12_more_than_a_quota", 9,
     ["custom-jobs", "create", "c12_quota", "--project", "small",
      "--worker-pool-spec=replica-count=2,python-module=trainer.task,local-package-path=trainer"]),
    # 20: paths
    ("20_config_that_is_not_there", 4, [*TRAIN, "c20", "--config", "tunning.yaml"]),
    ("20_package_that_is_not_there", 4,
     [*TRAIN, "c20", "--package-path", "trainr", "--module-name", "trainer.task"]),
    ("20_archive_that_is_not_there", 4,
     [*TRAIN, "c20", "--packages", "dist/a.tar.gz,package.zip,notes.txt", "--module-name", "a.b"]),
    ("20_program_that_is_not_there", 4, ["run", "trian.py", "--lr", "0.1"]),
    ("20_program_that_is_no_program", 4, ["run", "notes.txt"]),
    ("20_program_that_is_a_folder", 4, ["run", "trainer"]),
    ("20_script_of_an_interpreter", 4, ["run", "python3", "trian.py"]),
    ("20_script_of_a_package", 4, ["run", "pkg/part.py"]),
    ("20_script_without_an_interpreter", 4, ["run", "steps.sh"]),
    ("20_command_that_is_not_there", 4,
     ["custom-jobs", "create", "c20_cmd", "--command", "/usr/bin/no-such-program"]),
    ("20_command_in_no_package", 4,
     ["custom-jobs", "create", "c20_rel", "--command", "python3,train.py"]),
    # 26: metrics
    ("26_metric_never_reported", 8,
     ["hp-tuning-jobs", "create", "c26", "--config", "other_metric.yaml", "--stream"]),
    ("26_no_metric_at_all", 8,
     ["hp-tuning-jobs", "create", "c26_none", "--config", "no_metric.yaml", "--stream"]),
    ("26_metric_of_another_name", 3, ["metrics", "c26", "--metric", "acuracie"]),
    # 33: images
    ("33_image_by_flags", 4,
     [*TRAIN, "c33", "--master-image-uri", "gcr.io/team/trainer:v1", "--worker-image-uri",
      "gcr.io/team/trainer:v1"]),
    ("33_image_in_a_pool", 4,
     ["custom-jobs", "create", "c33", "--worker-pool-spec=container-image-uri=gcr.io/t/x"]),
    # 34: modules
    ("34_module_misspelt", 4,
     [*TRAIN, "c34", "--package-path", "trainer", "--module-name", "trainer.tsk"]),
    ("34_module_that_cannot_be_imported", 8,
     [*TRAIN, "c34", "--package-path", "trainer", "--module-name", "trainer.needs",
      "--stream-logs"]),
    ("34_module_in_no_package", 4,
     ["custom-jobs", "create", "c34_none", "--worker-pool-spec=python-module=trainer.task"]),
    # 35: arguments that the program does not know
    ("35_job_dir_refused", 8,
     [*TRAIN, "c35", "--package-path", "trainer", "--module-name", "trainer.strict", "--job-dir",
      "gs://team/x", "--stream-logs"]),
    ("35_hyperparameter_refused", 8,
     ["hp-tuning-jobs", "create", "c35_hp", "--config", "refuses.yaml", "--stream"]),
    ("35_argument_refused", 8,
     [*TRAIN, "c35_arg", "--package-path", "trainer", "--module-name", "trainer.strict",
      "--stream-logs", "--", "--stepz", "3"]),
    ("35_job_dir_refused_locally", 8,
     ["local", "train", "--package-path", "trainer", "--module-name", "trainer.strict",
      "--job-dir", "out"]),
    # 36: outputs
    ("36_output_not_writable", 8,
     [*TRAIN, "c36", "--package-path", "trainer", "--module-name", "trainer.saves",
      "--stream-logs"]),
    ("36_folder_to_pull_into_is_taken", 4, ["pull", "{published}", "{taken}"]),
    # 37: names
    ("37_name_taken", 4, [*TRAIN, "taken", *TASK]),
    ("37_name_invalid", 4, [*TRAIN, "1st job!", *TASK]),
    ("37_request_id_used_for_something_else", 4,
     [*TRAIN, "another", *TASK, "--request-id", "used"]),
    # 38: the scheduler
    ("38_nothing_listens", 6, ["jobs", "list", "--endpoint", "127.0.0.1:1"]),
    ("38_no_such_socket", 6, ["jobs", "list", "--endpoint", "unix:/nowhere/socket"]),
    ("38_tls_to_a_plain_port", 6, ["jobs", "list", "--endpoint", "https://{plain}"]),
    ("38_plain_to_a_tls_port", 6, ["jobs", "list", "--endpoint", "{tls}"]),
    ("38_certificate_of_nobody", 6, ["jobs", "list", "--endpoint", "https://{tls}"]),
    ("38_store_instead_of_scheduler", 6, ["jobs", "list", "--endpoint", "{http}"]),
    ("38_no_such_host", 6, ["jobs", "list", "--endpoint", "scheduler.invalid:7450"]),
    ("38_no_address", 4, ["jobs", "list", "--endpoint", "scheduler"]),
    ("38_token_in_the_clear", 4, ["jobs", "list", "--endpoint", "http://10.0.0.5:7450"]),
    ("38_ca_file_that_is_not_there", 4, ["jobs", "list", "--ca-file", "ca.pem"]),
    ("38_no_cluster_here", 6, ["jobs", "list", "{elsewhere}"]),
    # 39: who may
    ("39_token_unknown", 5, ["jobs", "list", "--token", "ty_wrong"]),
    ("39_token_expired", 5, ["jobs", "list", "--token", "{expired}"]),
    ("39_role_missing", 5, [*TRAIN, "c39", *TASK, "--token", "{viewer}"]),
    ("39_role_missing_to_cancel", 5, ["jobs", "cancel", "taken", "--token", "{viewer}"]),
    ("39_role_missing_to_administer", 5, ["token", "create", "ann", "--token", "{viewer}"]),
    ("39_no_such_project", 3, [*TRAIN, "c39", *TASK, "--project", "defualt"]),
    ("39_no_such_project_to_list", 3, ["jobs", "list", "--project", "defualt"]),
    # command lines
    ("50_unknown_command", 2, ["jbos", "list"]),
    ("50_unknown_command_of_a_group", 2, ["jobs", "descibe", "a"]),
    ("50_unknown_group_word", 2, ["tiers", "sett", "BASIC"]),
    ("50_unknown_flags", 2, [*TRAIN, "c50", "--scale-teir", "basic", "--modul-name", "x.y"]),
    ("50_flag_without_value", 2, [*TRAIN, "c50", "--module-name"]),
    ("50_word_missing", 2, ["jobs", "describe"]),
    ("50_words_too_many", 2, ["jobs", "describe", "a", "b", "c"]),
    ("50_program_words_before_dashes", 2, [*TRAIN, "c50", *TASK, "steps", "10"]),
    ("50_values_of_flags", 2,
     [*TRAIN, "1st", "--package-path", "trainr", "--scale-tier", "STANDART_1", "--priority", "high",
      "--worker-count", "-3", "--labels", "team", "--master-accelerator", "typ=NVIDIA_L4"]),
    ("50_value_of_choices", 2, ["jobs", "list", "--state", "RUNING", "--limit", "x"]),
    ("50_pools", 2,
     ["custom-jobs", "create", "--worker-pool-spec=replica-cuont=2,machine-type",
      "--worker-pool-spec=accelerator-count=no"]),
    ("50_nothing_to_run", 4, [*TRAIN, "c50"]),
    ("50_no_search_space", 4, ["hp-tuning-jobs", "create", "c50", "--max-trial-count", "3"]),
    # files
    ("51_config_and_flags_wrong", 4,
     [*TRAIN, "c51", "--config", "twice_wrong.yaml", "--priority", "5000"]),
    ("51_not_json", 4, [*TRAIN, "c51", "--config", "broken.json"]),
    ("51_folder_for_a_config", 4, [*TRAIN, "c51", "--config", "trainer"]),
    ("51_binary_config", 4, [*TRAIN, "c51", "--config", "binary.yaml"]),
    # things that are not there, or not so
    ("52_job_misspelt", 3, ["jobs", "describe", "takn"]),
    ("52_jobs_of_which_two_are_not_there", 3, ["jobs", "cancel", "nope_a", "nope_b"]),
    ("52_cancelled_after_the_end", 1, ["jobs", "cancel", "taken"]),
    ("52_trials_of_a_plain_job", 3, ["trials", "taken"]),
    ("52_trial_that_is_not_there", 3, ["logs", "c26", "--trial", "77"]),
    ("52_rank_that_is_not_there", 3, ["logs", "taken", "--rank", "5"]),
    ("52_job_that_failed", 8,
     [*TRAIN, "c52", "--package-path", "trainer", "--module-name", "trainer.breaks",
      "--stream-logs"]),
    ("52_job_without_outputs", 3, ["pull", "taken", "out"]),
    ("52_paused_after_the_end", 1, ["jobs", "pause", "taken"]),
    ("52_wait_too_short", 7, ["jobs", "wait", "c12", "--timeout", "0.2"]),
    ("52_filter_not_understood", 4, ["jobs", "list", "--filter", "stat:FAILED"]),
    ("52_node_misspelt", 3, ["nodes", "locl"]),
    ("52_tier_unknown", 4, [*TRAIN, "c52_tier", *TASK, "--scale-tier", "HUGE"]),
    ("53_reservation_that_is_over", 4,
     ["reservations", "create", "r", "--all-nodes", "--from", "2020-01-01", "--until",
      "2020-01-02"]),
    ("53_limit_below_guarantee", 4,
     ["quota", "set", "projects/default", "--guarantee", "8", "--limit", "2"]),
    ("53_flags_of_the_queue", 2,
     [*TRAIN, "c53", *TASK, "--max-wait", "x", "--time-limit", "soon", "--after", "a:b"]),
    ("53_no_such_objects", 3, ["store", "ls", "gs://nobody/"]),
    ("53_jobs_to_wait_for", 3, ["jobs", "wait", "nope_a", "taken", "nope_b"]),
    ("53_queue_to_move_to", 3, ["jobs", "update", "c12", "--queue", "nigth"]),
]


# Commands that have no -o, and words that are no command.
TEXT_ALONE = {"35_job_dir_refused_locally", "50_unknown_command", "50_unknown_command_of_a_group",
              "50_unknown_group_word"}


class Scene:
    """A cluster with a job "taken" that published, tokens, and servers that are no schedulers."""

    def __init__(self, build, folder):
        self.folder = folder
        self.program = str(build / "bin" / "trainyard")
        self.environment = dict(
            os.environ, HOME=str(folder / "home"), TRAINYARD_STATE=str(folder / "state"),
            TMPDIR=str(folder / "tmp"), NO_COLOR="1", OMPI_ALLOW_RUN_AS_ROOT="1",
            OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", PYTHONDONTWRITEBYTECODE="1")
        for name in ("TRAINYARD_ENDPOINT", "TRAINYARD_TOKEN", "TRAINYARD_PROJECT",
                     "XDG_CONFIG_HOME"):
            self.environment.pop(name, None)
        for name in ("home", "tmp", "work"):
            (folder / name).mkdir()
        for name, text in FILES.items():
            path = folder / "work" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "work" / "binary.yaml").write_bytes(bytes(range(256)) * 8)
        self.words = {}

    def run(self, words, **changes):
        return subprocess.run([self.program, *words], cwd=self.folder / "work", text=True,
                              env=dict(self.environment, **changes), capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=200, check=False)

    def must(self, *words):
        done = self.run(words)
        if done.returncode != 0:
            raise RuntimeError(f"{words}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def prepare(self):
        self.must("up", "--cores", "2")
        endpoint = json.loads((self.folder / "state" / "endpoint.json").read_text())
        self.words["plain"] = endpoint["grpc_tcp"]
        self.words["http"] = endpoint["http"]
        self.words["tls"] = self.tls_server()
        self.must("token", "create", "vera", "--role", "viewer")
        self.words["viewer"] = self.must("token", "create", "vic", "--role", "viewer").strip()
        self.words["expired"] = self.must("token", "create", "old", "--ttl", "1s").strip()
        self.must("projects", "create", "small")
        self.must("quota", "set", "projects/small", "--model", "cpu", "--limit", "0.5")
        self.must("run", "--name", "taken", "-q", "train.py")
        self.must("run", "--name", "publisher", "-q", "--", "sh", "-c",
                  "echo model > $AIP_MODEL_DIR/model.txt")
        self.must(*TRAIN, "used", *TASK, "--request-id", "used")
        self.must("jobs", "wait", "used")
        self.words["published"] = "publisher"
        self.words["taken"] = "taken"
        (self.folder / "work" / "taken" / "model").mkdir(parents=True)
        deadline = time.monotonic() + 60
        while self.run(["jobs", "list", "--token", self.words["expired"]]).returncode == 0:
            if time.monotonic() > deadline:
                raise RuntimeError("a token of one second is good after a minute")
            time.sleep(0.2)

    def tls_server(self):
        """host:port of something that speaks TLS with a certificate of its own making."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
                        certificate, "-days", "2", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            while True:
                plain, _ = listener.accept()
                plain.settimeout(10)
                try:
                    with context.wrap_socket(plain, server_side=True) as connection:
                        connection.recv(1)
                except OSError:
                    pass

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def fill(self, words):
        """The words of a case, and the environment changes it asks for."""
        changes = {}
        if "{elsewhere}" in words:
            words = [word for word in words if word != "{elsewhere}"]
            changes["TRAINYARD_STATE"] = str(self.folder / "elsewhere")
        return [word.format(**self.words) for word in words], changes

    def plain(self, text):
        """What differs from run to run, in words."""
        for name in ("viewer", "expired"):
            text = text.replace(self.words[name], name.upper() + "_TOKEN")
        for name in ("plain", "http", "tls"):
            text = text.replace(self.words[name], f"127.0.0.1:{name.upper()}")
        text = text.replace(str(self.folder / "work"), "WORK").replace(str(self.folder), "SCENE")
        text = re.sub(r"SCENE/tmp/trainyard-local-\w+", "SCENE/tmp/LOCAL", text)
        text = re.sub(r"SCENE/state/agent/\S*?/package/\d+", "PACKAGE", text)
        text = re.sub(r"SCENE/state/agent/[^\s\"':,]*[^\s\"':,.]", "ATTEMPT", text)
        text = re.sub(r"^state: (QUEUED|PREPARING|RUNNING)$", "state: STATE", text, flags=re.M)
        text = re.sub(r"^ *File \"<frozen [^\n]*\n", "", text, flags=re.M)
        text = re.sub(r"lr=[0-9.e-]+[0-9]", "lr=X", text)
        # Python shows this line to whom may read the file.
        text = re.sub(r"^ +os\.makedirs\(.*\n", "", text, flags=re.M)
        text = re.sub(r"\bt[0-9a-f]{12}\b", "TOKEN_ID", text)
        # Progress comes and goes with the machine's speed.
        return re.sub(r"^(waiting: .*|c\d\w*: (QUEUED|PREPARING|RUNNING))\n", "", text, flags=re.M)


def faults_of(text):
    """The one JSON answer on standard error, after lines that are none of it."""
    at = text.find('{\n "faults"')
    return json.loads(text[at:])["faults"] if at >= 0 else None


def check_faults(name, faults, failures):
    if not faults:
        failures.append(f"{name}: no faults as JSON")
        return
    for fault in faults:
        if fault["reason"] not in REASONS:
            failures.append(f"{name}: unknown reason {fault['reason']}")
        if not fault.get("message") or not fault.get("fix"):
            failures.append(f"{name}: a fault without message or fix: {fault}")


def compare(path, text, write, failures):
    if write:
        path.write_text(text)
        return
    known = path.read_text() if path.exists() else "(there is no such file)\n"
    if known != text:
        failures.append(f"{path.name} differs.\n--- expected\n{known}--- found\n{text}")


def answer(scene, words, extra):
    words, changes = scene.fill([*words])
    dashes = words.index("--") if "--" in words else len(words)
    first = 1 if words[0] == "run" else dashes
    words = words[:first] + extra + words[first:]
    return words, scene.run(words, **changes)


def run_case(scene, case, write, failures):
    name, status, words = case
    typed, done = answer(scene, words, [])
    shown = " ".join(f"'{word}'" if re.search(r"[ !{}]", word) else word for word in typed)
    text = scene.plain(f"$ trainyard {shown}\nexit status {done.returncode}\n"
                       f"{done.stdout}---\n{done.stderr}")
    if done.returncode != status:
        failures.append(f"{name}: exit status {done.returncode}, expected {status}\n{text}")
    compare(GOLDEN / f"{name}.txt", text, write, failures)
    # The same as JSON; a name that the first run has taken is another one now.
    again = [word if word not in typed or not re.fullmatch(r"c\d\d(_\w+)?", word) or
             words[0] in ("pull", "metrics") or words[:2] == ["jobs", "wait"] else word + "_json"
             for word in words]
    if name in TEXT_ALONE:
        return
    _, done = answer(scene, again, ["-o", "json"])
    if done.returncode != status:
        failures.append(f"{name} -o json: exit status {done.returncode}, expected {status}\n"
                        f"{done.stdout}{done.stderr}")
    faults = faults_of(done.stderr)
    check_faults(name, faults, failures)
    json_text = scene.plain(json.dumps({"faults": faults}, indent=1, ensure_ascii=False) + "\n")
    compare(GOLDEN / f"{name}.json", json_text.replace("_json", ""), write, failures)


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    write = "--write" in sys.argv
    only = [word for word in sys.argv[2:] if not word.startswith("--")]
    failures = []
    with tempfile.TemporaryDirectory(prefix="trainyard-bad-") as folder:
        scene = Scene(build, pathlib.Path(folder).resolve())
        try:
            scene.prepare()
            for case in CASES:
                if not only or any(case[0].startswith(word) for word in only):
                    run_case(scene, case, write, failures)
        finally:
            scene.run(["down", "--kill"])
    if not only:
        known = {path.stem for path in GOLDEN.glob("*.txt")}
        for name in known ^ {case[0] for case in CASES}:
            failures.append(f"{name}: an answer without a case, or a case without an answer")
    for failure in failures:
        print("FAILED", failure)
    print(f"{len(CASES)} bad inputs, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
