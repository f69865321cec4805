#!/usr/bin/python3
"""trainyard.checkpoints reads what the runtime wrote, and passes over what is damaged.

usage: checkpoints_test.py SAMPLE_PROGRAM
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

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

    def test_any_damage_has_an_answer(self):
        good, source = self.shard.read_bytes(), random.Random(5)
        for _ in range(3000):
            data = bytearray(good)
            for _ in range(source.randrange(1, 4)):
                data[source.randrange(len(data))] = source.randrange(256)
            try:
                checkpoints.decode(bytes(data[:source.randrange(1, len(data) + 1)]))
            except checkpoints.CheckpointError:
                pass


if __name__ == "__main__":
    unittest.main(verbosity=2)
