#!/usr/bin/python3
"""trainyard-train under real mpirun: the same curve for 1, 2 and 4 ranks, resuming bit for bit,
stopping together,
the saved model's accuracy, wrong command lines.

usage: gangs_test.py TRAINYARD_TRAIN
"""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "client" / "python"))

from trainyard import checkpoints  # noqa: E402  pylint: disable=wrong-import-position

TRAIN = os.path.abspath(sys.argv.pop(1))
RANKS = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TRAINYARD_SOCKET",
        "AIP_MODEL_DIR",
         "AIP_CHECKPOINT_DIR"]


def environment(**more):
    values = {k: v for k, v in os.environ.items() if k not in RANKS}
    return dict(values, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **more)


def command(ranks, *arguments):
    if ranks == 1:
        return [TRAIN, *arguments]
    return ["mpirun", "-np", str(ranks), "--oversubscribe", "--mca", "btl", "self,vader", TRAIN,
            *arguments]


def train(ranks, *arguments, expected=0, **more):
    done = subprocess.run(command(ranks, *arguments), env=environment(**more), capture_output=True,
            text=True,
                          timeout=120, check=False)
    assert done.returncode == expected, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def history(folder):
    text = (pathlib.Path(folder) / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


class Gangs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.data = f"--data={self.write_data()}"

    def write_data(self, rows=331):
        """Two noisy rings of 16 features, so that no model learns it at once."""
        source = random.Random(4)
        path = self.folder / "data.csv"
        with open(path, "w", encoding="utf-8") as out:
            for _ in range(rows):
                label = source.randrange(3)
                cells = [source.gauss(1.0 if i % 3 == label else 0.0, 1.0) for i in range(16)]
                out.write(",".join(f"{c:.4f}" for c in cells) + f",{label}\n")
        return path

    def write_text(self):
        """Sentences of few words: a model that learns guesses far better than by frequency."""
        source = random.Random(5)
        words = ["the ", "quick ", "brown ", "fox ", "jumps ", "over ", "lazy ", "dog.\n"]
        path = self.folder / "text.txt"
        path.write_text("".join(source.choice(words) for _ in range(1200)), encoding="utf-8")
        return f"--data={path}"

    def test_transformer_has_the_same_curve_and_exports(self):
        arguments = [self.write_text(), "--model=transformer", "--width=16", "--blocks=1",
                     "--heads=2", "--context=16", "--batch_size=30", "--epochs=4",
                     "--optimizer=adamw", "--learning_rate=0.01", "--schedule=cosine",
                     "--warmup_epochs=0.5", "--checkpoint_every=2"]
        curves, said = {}, {}
        for ranks in (1, 2, 4):
            out = self.folder / f"transformer-{ranks}"
            done = train(ranks, *arguments, f"--job-dir={out}", f"--export={out}/model.pt")
            curves[ranks], said[ranks] = history(out), done.stdout
            self.assertRegex(done.stdout, r"\d+ characters/s  +\d+% in communication")
        for ranks in (2, 4):
            for one, many in zip(curves[1], curves[ranks]):
                self.assertAlmostEqual(one["loss"], many["loss"], delta=1e-3 * one["loss"])
        self.assertLess(curves[1][-1]["loss"], 0.8 * curves[1][0]["loss"], "it learns nothing")
        out = self.folder / "transformer-2"
        self.assertIn("exported", said[2])
        accuracy = said[2].strip().splitlines()[-1]
        again = train(1, f"--evaluate={out / 'model'}", arguments[0],
                      f"--export={out}/again.pt").stdout
        self.assertEqual(again.strip().splitlines()[-1], accuracy)
        self.assertTrue((out / "again.pt").stat().st_size > 1000)
        # Resumed, it goes on bit for bit.
        subprocess.run(["rm", "-r", max((out / "checkpoints").iterdir(),
                                        key=lambda p: int(p.name[5:]))], check=True)
        self.assertIn("resumed from step_", train(2, *arguments, f"--job-dir={out}").stdout)
        self.assertEqual(history(out)[-2:], curves[2][-2:])

    def test_precision_is_measured_once(self):
        arguments = [self.data, "--hidden=16", "--epochs=4", "--checkpoint_every=2",
                     "--precision=auto", f"--job-dir={self.folder / 'out'}"]
        done = train(2, *arguments)
        self.assertRegex(done.stdout, r"precision (float32|bfloat16): a batch takes [0-9.]+ ms")
        newest = max((self.folder / "out" / "checkpoints").iterdir(), key=lambda p: int(p.name[5:]))
        subprocess.run(["rm", "-r", newest], check=True)
        done = train(2, *arguments)
        self.assertIn("resumed from step_", done.stdout)
        self.assertNotIn("a batch takes", done.stdout)
        exact = train(2, self.data, "--hidden=16", "--epochs=2", "--precision=bfloat16")
        self.assertIn("epoch 2/2", exact.stdout)

    def test_one_two_and_four_ranks_have_the_same_curve(self):
        for model in ("logistic", "mlp", "cnn", "resnet"):
            curves = {}
            for ranks in (1, 2, 4):
                # 199 training rows in batches of 30: the last batch is ragged for every gang.
                out = self.folder / f"{model}-{ranks}"
                train(ranks, self.data, f"--model={model}", "--hidden=16", "--batch_size=30",
                      "--channels=8", "--blocks=1",
                      "--learning_rate=" + ("0.1" if model == "resnet" else "0.05"),
                        "--epochs=6",
                      "--momentum=0.5", f"--job-dir={out}")
                curves[ranks] = history(out)
            self.assertEqual([len(c) for c in curves.values()], [6, 6, 6])
            for ranks in (2, 4):
                for one, many in zip(curves[1], curves[ranks]):
                    self.assertAlmostEqual(one["train_loss"], many["train_loss"],
                            delta=2e-4 * one["train_loss"])
                    self.assertAlmostEqual(one["loss"], many["loss"], delta=2e-4 * one["loss"])
                    self.assertAlmostEqual(one["accuracy"], many["accuracy"], delta=0.02)
            self.assertLess(curves[1][-1]["train_loss"], 0.9 * curves[1][0]["train_loss"],
                    f"{model} learns nothing")

    def test_buckets_change_no_result(self):
        """Overlap, accumulation, clipping and shared-out optimisers against one plain rank."""
        common = [self.data, "--model=cnn", "--hidden=16", "--batch_size=30", "--epochs=3",
                  "--clip_norm=0.5", "--learning_rate=0.01"]
        for optimizer in ("sgd", "adamw"):
            arguments = [*common, f"--optimizer={optimizer}"]
            train(1, *arguments, f"--job-dir={self.folder / optimizer}")
            one = history(self.folder / optimizer)
            for number, more in enumerate((
                    ["--overlap=on"], ["--overlap=on", "--accumulate=3"],
                    ["--accumulate=40", "--shard_optimizer=yes"],
                    ["--overlap=on", "--shard_optimizer=yes", "--wire=bfloat16"])):
                out = self.folder / f"{optimizer}-{number}"
                train(3, *arguments, *more, f"--job-dir={out}")
                share = 2e-2 if "--wire=bfloat16" in more else 2e-3
                for a, b in zip(one, history(out)):
                    self.assertAlmostEqual(a["train_loss"], b["train_loss"],
                                           delta=share * a["train_loss"], msg=f"{more}")
            out = self.folder / f"{optimizer}-unclipped"
            train(1, *[a for a in arguments if "clip" not in a], f"--job-dir={out}")
            if optimizer == "sgd":  # Adam's steps hardly depend on the gradients' size
                self.assertNotAlmostEqual(one[-1]["train_loss"], history(out)[-1]["train_loss"],
                                          places=6)

    def test_steps_whose_gradients_are_no_numbers_are_left_out(self):
        """One row of the data is far too large: the model stays usable."""
        path = self.folder / "data.csv"
        lines = path.read_text(encoding="utf-8").splitlines()
        lines[0] = ",".join(["3e38"] * 16 + ["1"])
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for seed in (1, 2, 3, 4):  # the row may be one of those that are not trained on
            out = self.folder / f"out-{seed}"
            done = train(2, self.data, "--hidden=64", "--epochs=2", "--normalize=none",
                         "--clip_norm=1", f"--split_seed={seed}", f"--job-dir={out}")
            for tensor in checkpoints.load_tensors(out / "model" / "model.safetensors").values():
                self.assertTrue((tensor == tensor).all(), "not a number")
            if "are left out" in done.stderr:
                self.assertEqual(done.stderr.count("are left out"), 1)
                return
        self.fail("no step was left out")

    def test_a_slow_rank_is_named_inside_the_epoch(self):
        data = f"--data={self.write_data(rows=200_000)}"  # minutes of training
        words = command(2, data, "--model=cnn", "--batch_size=2", "--epochs=1",
                        "--watch_seconds=0.5")
        with subprocess.Popen(words, env=environment(), text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as run:
            over = threading.Event()

            def slow_down():
                while not over.wait(0.05):
                    for pid in subprocess.run(["pgrep", "-P", str(run.pid)], text=True, check=False,
                                              capture_output=True).stdout.split():
                        seen = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                        if b"OMPI_COMM_WORLD_RANK=1" in seen:
                            os.kill(int(pid), signal.SIGSTOP)
                            over.wait(0.15)
                            os.kill(int(pid), signal.SIGCONT)

            thread = threading.Thread(target=slow_down)
            thread.start()
            timer = threading.Timer(60, run.kill)
            timer.start()
            try:
                named = next((line for line in run.stderr if "slower" in line), "nobody")
            finally:
                over.set()
                thread.join()
                timer.cancel()
                run.terminate()
                said = run.stdout.read()
        self.assertRegex(named, r"rank 1 on node \S+ was [0-9.]+ times slower than the others in "
                                r"the last [0-9.]+ s")
        self.assertNotIn("epoch 1/1", said.split("test accuracy")[0])

    def test_resumed_run_goes_on_bit_for_bit(self):
        for optimizer, share in (("sgd", "no"), ("adam", "no"), ("adam", "yes")):
            arguments = [self.data, "--hidden=16", f"--optimizer={optimizer}",
                    f"--shard_optimizer={share}",
                    "--learning_rate=0.02",
                         "--schedule=cosine", "--epochs=6", "--batch_size=30"]
            whole, part = (self.folder / f"{name}-{optimizer}-{share}"
                           for name in ("whole", "part"))
            train(2, *arguments, "--checkpoint_every=6", f"--job-dir={whole}")
            train(2, *arguments, "--checkpoint_every=2", f"--job-dir={part}")
            # As if it had been killed after the checkpoint of epoch 4 (7 steps an epoch).
            steps = sorted(int(p.name[5:]) for p in (part / "checkpoints").iterdir())
            self.assertEqual(steps, [14, 28, 42])
            subprocess.run(["rm", "-r", part / "checkpoints" / "step_42", part / "model"],
                    check=True)
            done = train(2, *arguments, "--checkpoint_every=2", f"--job-dir={part}")
            self.assertIn("resumed from step_28", done.stdout)
            self.assertEqual(history(part)[-2:], history(whole)[-2:])
            self.assertEqual((part / "model" / "model.safetensors").read_bytes(),
                             (whole / "model" / "model.safetensors").read_bytes())
            state = [p / "checkpoints" / "step_42" / "shard-0.safetensors" for p in (part, whole)]
            self.assertEqual(state[0].read_bytes(), state[1].read_bytes())

    def test_checkpoints_by_the_clock_lie_inside_epochs(self):
        arguments = [self.data, "--model=cnn", "--epochs=2", "--batch_size=2",
                     "--checkpoint_every=0"]  # 100 steps an epoch
        whole, part = self.folder / "whole", self.folder / "part"
        train(2, *arguments, f"--job-dir={whole}")
        self.assertFalse(any((whole / "checkpoints").iterdir()))
        arguments += ["--checkpoint_minutes=0.00005", "--checkpoint_keep=1000"]
        train(2, *arguments, f"--job-dir={part}")
        saved = {int(p.name[5:]): p for p in (part / "checkpoints").iterdir()}
        inside = [step for step in saved if step % 100 != 0 and step > 100]
        self.assertTrue(inside, sorted(saved))
        for step in saved:
            if step > min(inside):
                shutil.rmtree(saved[step])
        done = train(2, *arguments, f"--job-dir={part}")
        self.assertIn(f"resumed from step_{min(inside)}\n", done.stdout)
        self.assertEqual(history(part), history(whole), "each epoch once, bit for bit")
        self.assertEqual((part / "model" / "model.safetensors").read_bytes(),
                         (whole / "model" / "model.safetensors").read_bytes())

    def test_resuming_with_other_ranks_keeps_the_order(self):
        arguments = [self.data, "--hidden=16", "--epochs=4", "--batch_size=30",
                "--checkpoint_every=2"]
        whole, part = self.folder / "whole", self.folder / "part"
        train(1, *arguments, f"--job-dir={whole}")
        train(4, *arguments, f"--job-dir={part}")
        subprocess.run(["rm", "-r", part / "checkpoints" / "step_28"], check=True)
        train(2, *arguments, f"--job-dir={part}")
        self.assertAlmostEqual(history(part)[-1]["train_loss"], history(whole)[-1]["train_loss"],
                delta=1e-4)

    def test_terminated_in_the_middle_saves_and_goes_on(self):
        arguments = [self.data, "--model=cnn", "--epochs=60", "--batch_size=4",
                "--checkpoint_every=1000"]
        whole, part = self.folder / "whole", self.folder / "part"
        train(2, *arguments, f"--job-dir={whole}")
        with subprocess.Popen(command(2, *arguments, f"--job-dir={part}"), env=environment(),
                text=True,
                              stdout=subprocess.PIPE) as run:
            line = run.stdout.readline()
            self.assertIn("epoch 1/60", line)
            ranks = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True,
                    check=True)
            os.kill(int(ranks.stdout.split()[-1]), signal.SIGTERM)  # one rank: all stop
            rest, _ = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 0)
        self.assertIn("test accuracy", rest)
        self.assertNotIn("epoch 60/60", rest)
        done = train(2, *arguments, f"--job-dir={part}")
        self.assertIn("resumed from step_", done.stdout)
        self.assertEqual(history(part)[-1], history(whole)[-1])

    def members(self, *arguments, folders="ab", **more):
        """Two ranks as nodes with folders of their own, a and b, or with one."""
        command = ["mpirun", "--oversubscribe", "--mca", "btl", "self,vader"]
        for rank, name in enumerate(folders):
            command += [":"] * rank + ["-np", "1"]
            for key, value in (("RANK", rank), ("WORLD_SIZE", 2), ("LOCAL_RANK", 0),
                               ("LOCAL_WORLD_SIZE", 1), ("TRAINYARD_PRETEND_NODES_OF", 1),
                               ("AIP_CHECKPOINT_DIR", f"{self.folder / name}/")):
                command += ["-x", f"{key}={value}"]
            command += [TRAIN, *arguments]
        done = subprocess.run(command, env=environment(**more), capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")
        return done

    def test_nodes_with_one_folder_commit_once(self):
        arguments = [self.data, "--hidden=16", "--epochs=8", "--batch_size=30",
                     "--checkpoint_every=1", "--checkpoint_keep=3",
                     f"--job-dir={self.folder / 'out'}"]
        left = self.folder / "a" / ".place-0123456789abcdef-1"
        left.parent.mkdir()
        left.touch()
        done = self.members(*arguments, folders="aa")
        self.assertNotIn("warning", done.stderr)
        self.assertEqual({p.name for p in (self.folder / "a").iterdir()},
                         {"step_42", "step_49", "step_56"})
        for step in (self.folder / "a").iterdir():
            self.assertEqual({p.name for p in step.iterdir()},
                             {"manifest.json", "shard-0.safetensors", "shard-1.safetensors"})
        done = self.members(*arguments, "--epochs=9", folders="aa")
        self.assertIn("resumed from step_56", done.stdout)

    def test_what_one_node_could_not_commit_takes_nothing_from_the_others(self):
        """And each failure is told, also after another warning."""
        arguments = [self.data, "--hidden=16", "--epochs=6", "--batch_size=30",
                     "--checkpoint_every=2", "--checkpoint_keep=1",
                     f"--job-dir={self.folder / 'out'}"]
        (self.folder / "b").mkdir()
        for step in (28, 42):  # a file has the name
            (self.folder / "b" / f"step_{step}").touch()
        done = self.members(*arguments, TRAINYARD_SOCKET=str(self.folder / "absent"))
        self.assertIn("the supervisor at", done.stderr)
        for step in (28, 42):
            self.assertEqual(done.stderr.count(f"step_{step} was not committed"), 1, done.stderr)
        for step in (28, 42):
            (self.folder / "b" / f"step_{step}").unlink()
            shutil.rmtree(self.folder / "b" / f".step_{step}.partial")
        self.assertIn("resumed from step_14", self.members(*arguments).stdout)

    def test_nodes_keep_their_shards_and_commit_as_one(self):
        arguments = [self.data, "--hidden=16", "--epochs=6", "--batch_size=30",
                     "--optimizer=adam", "--learning_rate=0.02", "--checkpoint_every=2",
                     f"--job-dir={self.folder / 'out'}"]
        self.members(*arguments)
        whole = history(self.folder / "out")
        for rank, name in enumerate("ab"):
            newest = self.folder / name / "step_42"
            self.assertEqual({p.name for p in newest.iterdir()},
                             {"manifest.json", f"shard-{rank}.safetensors"})
        manifests = {(self.folder / n / "step_42" / "manifest.json").read_bytes() for n in "ab"}
        self.assertEqual(len(manifests), 1)
        # One node's shard is damaged: both go back to the step before, bit for bit.
        shard = self.folder / "b" / "step_42" / "shard-1.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1] + b"x")
        done = self.members(*arguments)
        self.assertIn("passed over", done.stderr)
        self.assertIn("resumed from step_28", done.stdout)
        self.assertEqual(history(self.folder / "out")[-2:], whole[-2:])
        # All parts put over each other, as a gang of another shape gets them.
        both = self.folder / "both" / "checkpoints"
        for name in "ab":
            shutil.copytree(self.folder / name, both, dirs_exist_ok=True)
        state = checkpoints.load(both)
        count = 16 * 16 + 16 + 16 * 3 + 3
        self.assertEqual((state.step, len(state.shards), state.tensors["parameters"].shape),
                         (42, 2, (count,)))
        done = train(3, *arguments[:-1], "--epochs=8", f"--job-dir={both.parent}")
        self.assertIn("resumed from step_42", done.stdout)
        state = checkpoints.load(both)
        self.assertEqual((state.step, len(state.shards), state.tensors["first_moment"].shape),
                         (56, 3, (count,)))
        # A node whose disk is new has nothing: the step is whole no more.
        shutil.rmtree(self.folder / "a")
        done = self.members(*arguments)
        self.assertIn("lacks a shard", done.stderr)
        self.assertNotIn("resumed", done.stdout)

    def test_damaged_checkpoint_is_passed_over(self):
        arguments = [self.data, "--epochs=4", "--checkpoint_every=2",
                f"--job-dir={self.folder / 'out'}"]
        train(1, *arguments)
        newest = max((self.folder / "out" / "checkpoints").iterdir(), key=lambda p: int(p.name[5:]))
        shard = newest / "shard-0.safetensors"
        shard.write_bytes(shard.read_bytes()[:-5])
        done = train(1, *arguments)
        self.assertIn("passed over", done.stderr)
        self.assertIn("resumed from step_", done.stdout)
        self.assertEqual([line["epoch"] for line in history(self.folder / "out")], [1, 2, 3, 4])

    def test_what_a_killed_writer_left_is_swept(self):
        left = self.folder / "out" / "checkpoints" / ".step_9999.partial"
        left.mkdir(parents=True)
        (left / "shard-0.safetensors").write_bytes(b"half")
        train(2, self.data, "--epochs=1", "--checkpoint_every=1",
              f"--job-dir={self.folder / 'out'}")
        self.assertEqual([p.name for p in left.parent.iterdir()], ["step_4"])

    def test_checkpoint_of_another_model_is_refused(self):
        out = f"--job-dir={self.folder / 'out'}"
        train(1, self.data, "--epochs=2", "--checkpoint_every=1", out)
        done = train(2, self.data, "--epochs=2", "--model=logistic", out, expected=1)
        self.assertEqual(done.stderr.count("does not fit this run"), 1)

    def test_checkpoint_of_another_run_is_refused_by_what_differs(self):
        """Its samples would come in another order, or training rows be test rows."""
        arguments = [self.data, "--epochs=2", "--checkpoint_every=1", "--seed=3",
                     f"--job-dir={self.folder / 'out'}"]
        train(1, *arguments)
        for flag, said in (("--seed=4", "seed was 3, is 4"),
                           ("--split_seed=2", "split_seed was 1, is 2"),
                           ("--validation_fraction=0.3", "validation_fraction was 0.2, is 0.3"),
                           ("--test_fraction=0.1", "test_fraction was 0.2, is 0.1"),
                           ("--optimizer=adam", "optimizer was sgd, is adam")):
            done = train(2, *arguments, flag, expected=1)
            self.assertIn(said, done.stderr)
            self.assertIn("does not fit this run", done.stderr)
        self.write_data(rows=330)
        done = train(1, *arguments, "--seed=9", expected=1)
        self.assertIn("rows was 331, is 330; seed was 3, is 9", done.stderr)
        self.write_data()
        done = train(2, *arguments, "--epochs=3", "--learning_rate=0.01")
        self.assertIn("resumed from step_", done.stdout)
        self.assertEqual([line["epoch"] for line in history(self.folder / "out")], [1, 2, 3])
        # Between epochs a tuner may change the batch.
        done = train(2, *arguments, "--epochs=4", "--batch_size=32")
        self.assertIn("resumed from step_", done.stdout)
        self.assertEqual([line["epoch"] for line in history(self.folder / "out")], [1, 2, 3, 4])

    def test_saved_model_evaluates_to_what_the_run_said(self):
        for model in ("logistic", "mlp", "cnn"):
            out = self.folder / model
            done = train(2, self.data, f"--model={model}", "--epochs=3", "--split_seed=5",
                    f"--job-dir={out}")
            said = done.stdout.strip().splitlines()[-1]
            self.assertRegex(said, r"^test accuracy 0\.\d{1,4}$")
            self.assertEqual(train(1, f"--evaluate={out / 'model'}", self.data).stdout.strip(),
                    said)

    def test_wrong_command_lines_are_answered_once(self):
        for ranks in (1, 2):
            done = train(ranks, self.data, "--learning_rat=1", expected=2)
            self.assertEqual(done.stderr.count("unrecognized arguments: --learning_rat=1"), 1)
            self.assertIn("did you mean --learning_rate?", done.stderr)
        done = train(1, "--data=/absent.csv", expected=1)
        self.assertIn("cannot open the data file /absent.csv", done.stderr)

    def test_reports_to_the_supervisor_and_stops_when_told(self):
        path = str(self.folder / "socket")
        requests, others = [], []
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(4)

            def serve_one(connection):
                with connection, connection.makefile("rw") as lines:
                    rank = None
                    for line in lines:
                        request = json.loads(line)
                        rank = request.get("hello", {}).get("rank", rank)
                        (requests if rank == 0 else others).append(request)
                        stop = request.get("report", {}).get("step", 0) >= 3
                        lines.write(json.dumps({"ok": True, "should_stop": stop}) + "\n")
                        lines.flush()

            def serve():
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
            done = train(2, self.data, "--epochs=50", "--checkpoint_every=2", TRAINYARD_SOCKET=path,
                         AIP_MODEL_DIR=f"{self.folder}/model/",
                                 AIP_CHECKPOINT_DIR=f"{self.folder}/checkpoints/")
        told = [r["report"] for r in requests if "report" in r]
        reports = [r for r in told if "step_seconds" not in r["metrics"]]
        for times in ([r for r in told if r not in reports],
                      [r["report"] for r in others if "report" in r]):
            self.assertEqual([r["step"] for r in times], [1, 2, 3], "of each rank")
            self.assertTrue(all(r["metrics"]["step_seconds"] > 0 and
                                r["metrics"]["wait_seconds"] >= 0 for r in times), times)
        self.assertEqual([r["step"] for r in reports], [1, 2, 3, 3])
        self.assertEqual(set(reports[0]["metrics"]), {"accuracy", "loss", "train_loss"})
        said = done.stdout.strip().splitlines()[-1]
        self.assertEqual(said, f"test accuracy {reports[-1]['metrics']['test_accuracy']:g}")
        for checkpoint in (r["checkpoint"] for r in requests if "checkpoint" in r):
            committed = self.folder / "checkpoints" / checkpoint["path"]
            self.assertTrue((committed / "manifest.json").exists())
        self.assertEqual(sum("checkpoint" in r for r in requests), 2)
        self.assertTrue((self.folder / "model" / "model.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
