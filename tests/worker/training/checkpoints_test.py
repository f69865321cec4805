#!/usr/bin/python3
"""trainyard.checkpoints reads what the runtime wrote, and passes over what is damaged; the runtime
reads what it wrote.

usage: checkpoints_test.py SAMPLE_PROGRAM
"""
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import numpy

SAMPLE = os.path.abspath(sys.argv.pop(1))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "client" / "python"))

from trainyard import checkpoints  # noqa: E402  pylint: disable=wrong-import-position


class Checkpoints(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        subprocess.run([SAMPLE, self.folder], check=True)
        self.shard = self.folder / "step_7" / "shard-0.safetensors"

    def test_newest_is_read_with_types_and_shapes(self):
        found = checkpoints.load(self.folder)
        self.assertEqual((found.step, found.world_size, found.skipped), (7, 2, []))
        self.assertEqual(found.state, {"epoch": "4", "note": 'quotes " and \u00e9 and \x01'})
        weights = found.tensors["weights"]
        self.assertEqual(weights.tolist(), [[0.5, -1.0, 7.0], [4.0, 5.0, 6.0]])
        self.assertEqual(found.tensors["numbers"].tolist(), [7, 1 << 40])
        self.assertEqual(found.tensors["brain"].tolist(), [0x4000])
        self.assertEqual(checkpoints.load_tensors(self.shard)["weights"].dtype.str, "<f4")

    def test_damaged_is_passed_over_and_named(self):
        data = bytearray(self.shard.read_bytes())
        data[-1] ^= 1
        self.shard.write_bytes(data)
        found = checkpoints.load(self.folder)
        self.assertEqual(found.step, 3)
        self.assertIn("shard-0.safetensors: its bytes do not match", found.skipped[0])
        manifest = self.folder / "step_3" / "manifest.json"
        changed = json.loads(manifest.read_text(encoding="utf-8"))
        changed["step"] = 4
        manifest.write_text(json.dumps(changed), encoding="utf-8")
        self.assertIsNone(checkpoints.load(self.folder))
        with self.assertRaisesRegex(checkpoints.CheckpointError, "its own sha256"):
            checkpoints.read(self.folder / "step_3")

    def test_nothing_there_is_none(self):
        self.assertIsNone(checkpoints.load(self.folder / "absent"))

    def test_what_is_saved_is_read_here_and_by_the_runtime(self):
        folder = self.folder / "own"
        tensors = {"weights": numpy.arange(6, dtype="float32").reshape(2, 3),
                   "big": numpy.array([1, 2], dtype=">f8"),
                   "turned": numpy.arange(6, dtype="int32").reshape(2, 3).T,
                   "empty": numpy.zeros((0, 4), dtype="int64"), "one": numpy.float64(2.5)}
        path = checkpoints.save(folder, 12, tensors, {"note": 'quotes " and \u00e9 and \x01'})
        self.assertEqual(path, str(folder / "step_12"))
        self.assertEqual([p.name for p in folder.iterdir()], ["step_12"])
        found = checkpoints.load(folder)
        self.assertEqual((found.step, found.world_size, found.skipped), (12, 1, []))
        self.assertEqual(found.state, {"note": 'quotes " and \u00e9 and \x01'})
        self.assertEqual(set(found.tensors), set(tensors))
        for name, tensor in tensors.items():
            self.assertEqual(found.tensors[name].tolist(), tensor.tolist(), name)
            self.assertEqual(found.tensors[name].shape, tensor.shape, name)
        read = subprocess.run([SAMPLE, folder, "read"], check=True, capture_output=True, text=True)
        self.assertIn("step 12 of 1 note=quotes", read.stdout)
        self.assertIn(" weights:float32,2,3=", read.stdout)
        self.assertIn(" empty:int64,0,4=0", read.stdout)
        with self.assertRaisesRegex(TypeError, "cannot be saved"):
            checkpoints.save(folder, 13, {"names": numpy.array(["a"])})
        with self.assertRaisesRegex(TypeError, "text to text"):
            checkpoints.save(folder, 13, {}, {"epoch": 3})
        self.assertEqual(checkpoints.load(folder).step, 12)

    def test_saving_again_exchanges_keeps_and_sweeps(self):
        folder = self.folder / "own"
        (folder / ".step_99.partial").mkdir(parents=True)
        for step in (1, 2, 3, 2):
            checkpoints.save(folder, step, {"x": numpy.full(3, step)}, keep=2)
        self.assertEqual(sorted(p.name for p in folder.iterdir()), ["step_2", "step_3"])
        self.assertEqual(checkpoints.read(folder / "step_2").tensors["x"].tolist(), [2, 2, 2])
        # What a writer of more ranks left in the folder of the same step is no part of it.
        (folder / ".step_5.partial").mkdir()
        (folder / ".step_5.partial" / "shard-7.safetensors").write_bytes(b"left")
        checkpoints.save(folder, 5, {"x": numpy.full(3, 5)})
        self.assertEqual(sorted(p.name for p in (folder / "step_5").iterdir()),
                         ["manifest.json", "shard-0.safetensors"])

    def test_a_save_that_fails_leaves_the_one_before(self):
        folder = self.folder / "own"
        checkpoints.save(folder, 1, {"x": numpy.zeros(3)})
        (folder / ".step_2.partial").write_text("no folder", encoding="utf-8")
        with self.assertRaises(OSError):
            checkpoints.save(folder, 2, {"x": numpy.zeros(3)})
        self.assertEqual(checkpoints.load(folder).step, 1)

    def test_what_killed_writers_left_is_published_or_removed(self):
        folder = self.folder / "own"
        for step in (1, 2, 3, 4, 5):
            checkpoints.save(folder, step, {"x": numpy.full(3, step)})
        (folder / "step_1").rename(folder / ".step_1.old")  # killed between two renames
        (folder / "step_2").rename(folder / ".step_2.partial")
        (folder / "step_3").rename(folder / ".step_3.old")  # half removed
        (folder / ".step_3.old" / "manifest.json").unlink()
        (folder / "step_4").rename(folder / ".step_4.partial")  # cut short
        shard = folder / ".step_4.partial" / "shard-0.safetensors"
        shard.write_bytes(shard.read_bytes()[:-1])
        (folder / ".place-0123456789abcdef-1").touch()
        checkpoints._commits.clear()  # as a process that begins
        checkpoints.save(folder, 6, {"x": numpy.zeros(3)})
        self.assertEqual(sorted(p.name for p in folder.iterdir()),
                         ["step_1", "step_2", "step_5", "step_6"])
        for step in (1, 2):
            found = checkpoints.read(folder / f"step_{step}")
            self.assertEqual(found.tensors["x"].tolist(), [step] * 3)

    def test_what_cannot_be_read_is_not_counted_as_kept(self):
        folder = self.folder / "own"
        for step in (1, 2, 3, 4):
            checkpoints.save(folder, step, {"x": numpy.full(3, step)})
        (folder / "step_4" / "manifest.json").write_bytes(b"{}")
        (folder / "step_3" / "manifest.json").unlink()
        checkpoints.save(folder, 5, {"x": numpy.zeros(3)}, keep=2)
        self.assertEqual(sorted(p.name for p in folder.iterdir()),
                         ["step_2", "step_3", "step_4", "step_5"])

    def test_a_folder_that_is_a_checkpoint_counts(self):
        self.assertEqual(checkpoints.load(self.folder / "step_3").step, 3)

    def test_names_that_nobody_could_read_are_refused(self):
        with self.assertRaisesRegex(ValueError, "__metadata__"):
            checkpoints.save(self.folder, 9, {"__metadata__": numpy.zeros(3)})
        self.assertEqual(checkpoints.load(self.folder).step, 7)

    def test_manifests_that_nobody_wrote_are_passed_over(self):
        manifest = self.folder / "step_7" / "manifest.json"
        good = json.loads(manifest.read_text(encoding="utf-8"))
        del good["sha256"]
        deep = "[" * 100_000 + "]" * 100_000
        texts = ["{", "[]", deep, '{"sha256": "", "shards": ' + deep + "}"]
        for key, value in (("step", float("inf")), ("world_size", float("nan")), ("step", None),
                           ("shards", 3), ("shards", [{"file": 3, "sha256": ""}]), ("state", 3),
                           ("format", "another")):
            forged = dict(good, **{key: value})
            text = json.dumps(forged, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            forged["sha256"] = hashlib.sha256(text.encode()).hexdigest()
            texts.append(json.dumps(forged))
        for text in texts:
            manifest.write_text(text, encoding="utf-8")
            found = checkpoints.load(self.folder)
            self.assertEqual((found.step, len(found.skipped)), (3, 1), text[:200])

    def test_what_the_runtime_refuses_is_refused(self):
        def file(header, data=b""):
            text = header.encode()
            return len(text).to_bytes(8, "little") + text + data

        def tensor(begin, end, shape="[1]"):
            return f'{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}'

        good = file(f'{{"a":{tensor(4, 8)},"b":{tensor(0, 4)}}}', bytes(8))
        self.assertEqual(set(checkpoints.decode(good)), {"a", "b"})
        for bad in (file(f'{{"a":{tensor(0, 4)},"b":{tensor(0, 4)}}}', bytes(4)),  # overlap
                    file(f'{{"a":{tensor(4, 8)}}}', bytes(8)),  # hole
                    file(f'{{"a":{tensor(0, 4)}}}', bytes(8)),  # more than is described
                    file(f'{{"a":{tensor(0, 4)},"a":{tensor(4, 8)}}}', bytes(8)),  # twice
                    file(f'{{"a":{tensor(0, "1e999")}}}', bytes(4)),
                    file(f'{{"a":{tensor(0, 4, "[1e999]")}}}', bytes(4)),
                    file(f'{{"a":{tensor(0, 4, "[true]")}}}', bytes(4)),
                    file(f'{{"a":{tensor(0, 0, str([0] + [1 << 40] * 3))}}}'),
                    file(f'{{"a":{tensor(0, 4, str([1] * 100))}}}', bytes(4)),
                    file("[" * 100_000 + "]" * 100_000)):
            with self.assertRaises(checkpoints.CheckpointError, msg=bad[:80]):
                checkpoints.decode(bad)

    def test_any_damage_has_an_answer(self):
        corpus = pathlib.Path(__file__).resolve().parents[2] / "fuzz" / "corpus"
        seeds = [p.read_bytes() for p in sorted((corpus / "safetensors_fuzz").iterdir())]
        source = random.Random(5)
        for good in [self.shard.read_bytes(), *seeds]:
            checkpoints.decode(good)
            for _ in range(1000):
                data = bytearray(good)
                for _ in range(source.randrange(1, 4)):
                    data[source.randrange(len(data))] = source.randrange(256)
                try:
                    checkpoints.decode(bytes(data[:source.randrange(1, len(data) + 1)]))
                except checkpoints.CheckpointError:
                    pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
