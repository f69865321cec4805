"""Reads checkpoints and models that a training left, with numpy alone.

    from trainyard import checkpoints

    newest = checkpoints.load("out/checkpoints")        # verified; None when there is none
    newest.step, newest.state["epoch"], newest.tensors["parameters"]
    model = checkpoints.load_tensors("out/model/model.safetensors")

A checkpoint whose bytes do not match its manifest is passed over, and the one before it is taken.
Nothing in a file is executed. bfloat16 tensors come as uint16 with the same bits.
"""
import dataclasses
import hashlib
import json
import os
import pathlib
import re

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
          "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
_HEADER_BYTES_MAX = 100_000_000


class CheckpointError(ValueError):
    """The bytes are no checkpoint; the text says what is wrong with which file."""


@dataclasses.dataclass
class Checkpoint:
    """What one committed step holds."""

    step: int
    world_size: int
    state: dict
    shards: list  # of dicts from name to array, one per shard
    skipped: list  # what was passed over, and why

    @property
    def tensors(self):
        """Arrays by name; of several shards, the pieces of each put together along their first
        axis, in the order of the shards."""
        if len(self.shards) == 1:
            return self.shards[0]
        import numpy  # only who reads tensors needs it

        names = dict.fromkeys(name for shard in self.shards for name in shard)
        return {name: numpy.concatenate([shard[name] for shard in self.shards if name in shard])
                for name in names}


def decode(data, name="data"):
    """Arrays by name from the bytes of a safetensors file."""
    import numpy  # only who reads tensors needs it

    if len(data) < 8:
        raise CheckpointError(f"{name}: shorter than its length field")
    length = int.from_bytes(data[:8], "little")
    if length > _HEADER_BYTES_MAX or length > len(data) - 8:
        raise CheckpointError(f"{name}: a header of {length} bytes does not fit")
    try:
        header = json.loads(data[8:8 + length])
    except ValueError as error:
        raise CheckpointError(f"{name}: the header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{name}: the header is no JSON object")
    body = memoryview(data)[8 + length:]
    arrays = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        try:
            kind = numpy.dtype(_TYPES[entry["dtype"]])
            shape = [int(extent) for extent in entry["shape"]]
            begin, end = (int(offset) for offset in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{name}: tensor {key} is not described: {error}") from error
        count = 1
        for extent in shape:
            count *= extent
        if min([0, begin, *shape]) < 0 or end > len(body) or end - begin != count * kind.itemsize:
            raise CheckpointError(f"{name}: shape and offsets of {key} do not fit the file")
        arrays[key] = numpy.frombuffer(body[begin:end], dtype=kind).reshape(shape)
    return arrays


def load_tensors(path):
    """Arrays by name from a safetensors file."""
    return decode(pathlib.Path(path).read_bytes(), str(path))


def read(folder):
    """The checkpoint in `folder` (one step's), verified. CheckpointError when it is damaged."""
    folder = pathlib.Path(folder)
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        stated = manifest.pop("sha256")
        entries = manifest["shards"]
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256(text.encode()).hexdigest() != stated:
            raise CheckpointError(f"{path}: it does not match its own sha256")
        shards = [_shard(folder, entry) for entry in entries]
        return Checkpoint(int(manifest["step"]), int(manifest["world_size"]),
                          dict(manifest.get("state") or {}), shards, [])
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _shard(folder, entry):
    name = entry["file"]
    if os.path.basename(name) != name or name in ("", ".", ".."):
        raise CheckpointError(f"{folder}: shard {name!r} lies outside")
    data = (folder / name).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise CheckpointError(f"{folder / name}: its bytes do not match the manifest's sha256")
    return decode(data, str(folder / name))


def load(folder):
    """The newest checkpoint below `folder` that verifies, None without one."""
    folder = pathlib.Path(folder)
    steps = []
    for path in folder.iterdir() if folder.is_dir() else []:
        match = re.fullmatch(r"step_(\d+)", path.name)
        if match:
            steps.append((int(match.group(1)), path))
    skipped = []
    for _, path in sorted(steps, reverse=True):
        try:
            found = read(path)
        except CheckpointError as error:
            skipped.append(str(error))
            continue
        found.skipped = skipped
        return found
    return None
