"""Reads and writes checkpoints, and reads models that a training left, with numpy alone.

    from trainyard import checkpoints

    newest = checkpoints.load("out/checkpoints")        # verified; None when there is none
    newest.step, newest.state["epoch"], newest.tensors["parameters"]
    model = checkpoints.load_tensors("out/model/model.safetensors")

    path = checkpoints.save("out/checkpoints", step, {"weights": array}, {"epoch": "3"})
    trainyard.save_checkpoint(step, path)               # in a job: it is uploaded

A checkpoint whose bytes do not match its manifest is passed over, and the one before it is taken.
Nothing in a file is executed. bfloat16 tensors come as uint16 with the same bits. What is saved
appears under its name by one rename, after all of it is durable.
"""
import ctypes
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
          "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}
_NAMES = {"<f8": "F64", "<f4": "F32", "<f2": "F16", "<i8": "I64", "<i4": "I32", "<i2": "I16",
          "|i1": "I8", "|u1": "U8", "|b1": "BOOL"}
_HEADER_BYTES_MAX = 100_000_000
_FORMAT = "trainyard-checkpoint-1"
_EXCHANGE = 2  # RENAME_EXCHANGE of <linux/fs.h>


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


def _steps(folder):
    """Numbers and paths of the steps that were committed."""
    steps = []
    for path in folder.iterdir() if folder.is_dir() else []:
        match = re.fullmatch(r"step_(\d+)", path.name)
        if match:
            steps.append((int(match.group(1)), path))
    return steps


def load(folder):
    """The newest checkpoint below `folder` that verifies, None without one."""
    skipped = []
    for _, path in sorted(_steps(pathlib.Path(folder)), reverse=True):
        try:
            found = read(path)
        except CheckpointError as error:
            skipped.append(str(error))
            continue
        found.skipped = skipped
        return found
    return None


def _array_of(tensor):
    """A tensor's safetensors type, shape and bytes."""
    if hasattr(tensor, "detach"):  # torch's; numpy knows no bfloat16
        tensor = tensor.detach().cpu().contiguous()
        if str(tensor.dtype) == "torch.bfloat16":
            import torch  # the caller has it

            return "BF16", tuple(tensor.shape), tensor.view(torch.int16).numpy().tobytes()
        tensor = tensor.numpy()
    import numpy  # only who writes tensors needs it

    array = numpy.asarray(tensor)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype.str not in _NAMES:
        raise TypeError(f"elements of type {array.dtype} cannot be saved")
    return _NAMES[array.dtype.str], array.shape, array.tobytes()


def encode(tensors):
    """The bytes of a safetensors file with `tensors`, a dict from name to numpy array or torch
    tensor."""
    header, pieces, offset = {}, [], 0
    for name, tensor in tensors.items():
        kind, shape, data = _array_of(tensor)
        header[name] = {"dtype": kind, "shape": list(shape),
                        "data_offsets": [offset, offset + len(data)]}
        pieces.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors start 8-byte aligned
    return b"".join([len(text).to_bytes(8, "little"), text, *pieces])


def _write_durably(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path):
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _publish(hidden, visible, old):
    """Gives the complete folder its name; a step that is there already gives way whole."""
    if not visible.exists():
        hidden.rename(visible)
        return
    shutil.rmtree(old, ignore_errors=True)
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here = -100  # AT_FDCWD
    if exchange and exchange(here, os.fsencode(hidden), here, os.fsencode(visible), _EXCHANGE) == 0:
        hidden.rename(old)
    else:
        visible.rename(old)
        hidden.rename(visible)
    shutil.rmtree(old, ignore_errors=True)


def _commit(folder, step, world_size, state, shards, keep, committed):
    hidden = folder / f".step_{step}.partial"
    for left in hidden.iterdir():  # of a writer that was killed
        if left.name not in {shard["file"] for shard in shards}:
            left.unlink()
    manifest = {"format": _FORMAT, "step": step, "world_size": world_size, "state": state,
                "shards": shards}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    _write_durably(hidden / "manifest.json",
                   json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False).encode())
    _sync_folder(hidden)
    _publish(hidden, folder / f"step_{step}", folder / f".step_{step}.old")
    _sync_folder(folder)
    older = sorted((s for s, _ in _steps(folder) if s <= committed), reverse=True)
    for gone in older[keep:] if keep else []:
        away = folder / f".step_{gone}.old"
        shutil.rmtree(away, ignore_errors=True)
        (folder / f"step_{gone}").rename(away)  # nobody finds half a checkpoint
        shutil.rmtree(away, ignore_errors=True)


def save(folder, step, tensors, state=None, gang=None, keep=None):
    """Writes and commits the checkpoint of `step` below `folder`; returns its path.

    `tensors`: a dict from name to numpy array or torch tensor. `state`: counters and the like, a
    dict from text to text. With a `gang` (trainyard.training) all ranks call: each writes the
    tensors that it passes as its shard, and load() puts pieces of the same name together along
    their first axis, in the order of ranks; who keeps equal tensors everywhere passes them on rank
    0 and {} elsewhere. `keep`: how many committed checkpoints stay, None for all; where nodes have
    folders of their own, one more, which another node may need. OSError when the disk is full.
    """
    folder, step = pathlib.Path(folder), int(step)
    state = dict(state or {})
    if step < 0 or (keep is not None and keep < 1):
        raise ValueError("a step is a whole number from 0, keep one from 1")
    if not all(isinstance(text, str) for entry in state.items() for text in entry):
        raise TypeError("state is a dict from text to text")
    rank, size = (gang.rank, gang.size) if gang is not None else (0, 1)
    local, beside = _place(rank, size)
    _begin(folder, local, gang)
    failure, card = None, (0, bytes(32))
    try:
        card = _write_shard(folder / f".step_{step}.partial", rank, tensors)
    except (OSError, TypeError, ValueError) as error:
        failure = error
    cards = _exchange(gang, *card)
    if failure is None and not all(count for count, _ in cards):
        failure = OSError(f"another rank could not write its shard of step {step}")
    if failure is None and local == 0:
        shards = [{"file": f"shard-{number}.safetensors", "bytes": count, "sha256": digest.hex()}
                  for number, (count, digest) in enumerate(cards)]
        before, _committed[folder] = _committed[folder], step
        try:
            _commit(folder, step, size, state, shards, keep, step if beside == size else before)
        except OSError as error:
            failure = error
    # Nobody goes on before all know what became of it.
    if not all(count for count, _ in _exchange(gang, int(failure is None), bytes(32))):
        raise failure or OSError(f"another rank could not commit step {step}")
    return str(folder / f"step_{step}")


_committed = {}  # the last step of each folder that this process wrote to, -1 before the first


def _begin(folder, local, gang):
    """The first time: removes what killed writers left, before any rank writes."""
    if folder in _committed:
        return
    _committed[folder] = -1
    for path in folder.glob(".step_*") if local == 0 and folder.is_dir() else []:
        if re.fullmatch(r"\.step_\d+\.(partial|old)", path.name):
            shutil.rmtree(path, ignore_errors=True)
    if gang is not None:
        gang.barrier()


def _write_shard(hidden, rank, tensors):
    """Its size and digest."""
    data = encode(tensors)
    hidden.mkdir(parents=True, exist_ok=True)
    _write_durably(hidden / f"shard-{rank}.safetensors", data)
    return len(data), hashlib.sha256(data).digest()


def _exchange(gang, count, digest):
    """Every rank's size and digest of its shard."""
    if gang is None or gang.size == 1:
        return [(count, digest)]
    import array

    mine = array.array("q", count.to_bytes(8, "little") + digest)
    everyone = array.array("q", bytes(8 * len(mine) * gang.size))
    gang.all_gather(mine, everyone)
    data = everyone.tobytes()
    return [(int.from_bytes(data[at:at + 8], "little"), data[at + 8:at + 40])
            for at in range(0, len(data), 40)]


def _place(rank, size):
    """This rank's number among those of its node, and how many they are."""
    def number(name, default):
        value = os.environ.get(name) or os.environ.get(f"OMPI_COMM_WORLD_{name}")
        return int(value) if value else default
    return number("LOCAL_RANK", rank), number("LOCAL_WORLD_SIZE", size)
