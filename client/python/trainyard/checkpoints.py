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
import contextlib
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


# What reading bytes that are none of ours may raise.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


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
        header = json.loads(data[8:8 + length], object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{name}: the header is no JSON: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{name}: the header is no JSON object")
    body = memoryview(data)[8 + length:]
    arrays, places = {}, []
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        try:
            kind = numpy.dtype(_TYPES[entry["dtype"]])
            shape = [_whole(extent) for extent in entry["shape"]]
            begin, end = (_whole(offset) for offset in entry["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{name}: tensor {key} is not described: {error}") from error
        count = 1
        for extent in shape:
            count *= extent
        if end > len(body) or end - begin != count * kind.itemsize:
            raise CheckpointError(f"{name}: shape and offsets of {key} do not fit the file")
        try:
            arrays[key] = numpy.frombuffer(body[begin:end], dtype=kind).reshape(shape)
        except ValueError as error:  # more dimensions than numpy takes, or too large beside a 0
            raise CheckpointError(f"{name}: the shape of {key}: {error}") from error
        places.append((begin, end))
    described = 0
    for begin, end in sorted(places):
        if begin != described:
            raise CheckpointError(f"{name}: tensors overlap or leave a hole")
        described = end
    if described != len(body):
        raise CheckpointError(f"{name}: {len(body)} bytes of data, {described} described")
    return arrays


def _once(pairs):
    """A JSON object in which no name comes twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _whole(number):
    """An extent or an offset: a whole number from 0, and no truth value."""
    if type(number) is not int or number < 0:
        raise ValueError(f"{number!r} is no whole number from 0")
    return number


def load_tensors(path):
    """Arrays by name from a safetensors file."""
    return decode(pathlib.Path(path).read_bytes(), str(path))


def read(folder):
    """The checkpoint in `folder` (one step's), verified. CheckpointError when it is damaged."""
    folder = pathlib.Path(folder)
    manifest = _manifest(folder)
    try:
        shards = [_shard(folder, entry) for entry in manifest["shards"]]
        return Checkpoint(int(manifest["step"]), int(manifest["world_size"]),
                          dict(manifest.get("state") or {}), shards, [])
    except CheckpointError:
        raise
    except _DAMAGE as error:
        raise CheckpointError(f"{folder / 'manifest.json'}: {error}") from error


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
    """The newest checkpoint below `folder` that verifies, None without one. A folder that is itself
    a checkpoint counts too."""
    folder, skipped = pathlib.Path(folder), []
    paths = [path for _, path in sorted(_steps(folder), reverse=True)]
    for path in paths + ([folder] if (folder / "manifest.json").exists() else []):
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
        if name == "__metadata__" or not isinstance(name, str):
            raise ValueError(f"a tensor cannot have the name {name!r}")
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


def _remove(folder):
    """The manifest first: a folder that has one has all the rest of it."""
    with contextlib.suppress(OSError):
        (folder / "manifest.json").unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _publish(hidden, visible, old):
    """Gives the complete folder its name; a step that is there already gives way whole."""
    if not visible.exists():
        hidden.rename(visible)
        return
    _remove(old)
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    here = -100  # AT_FDCWD
    if exchange and exchange(here, os.fsencode(hidden), here, os.fsencode(visible), _EXCHANGE) == 0:
        hidden.rename(old)
    else:
        # Who is killed in between leaves two that are whole, and _sweep() gives one its name.
        visible.rename(old)
        hidden.rename(visible)
    _remove(old)


def _commit(folder, step, world_size, state, shards):
    hidden = folder / f".step_{step}.partial"
    for left in hidden.iterdir():  # of a writer that was killed
        if left.name not in {"manifest.json", *(shard["file"] for shard in shards)}:
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


def _manifest(folder):
    """What the manifest of a step's folder says. CheckpointError when it is damaged."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        stated = manifest.pop("sha256")
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256(text.encode()).hexdigest() != stated:
            raise CheckpointError(f"{path}: it does not match its own sha256")
        if manifest["format"] != _FORMAT:
            raise CheckpointError(f"{path}: not a manifest of format {_FORMAT}")
        return manifest
    except CheckpointError:
        raise
    except _DAMAGE as error:
        raise CheckpointError(f"{path}: {error}") from error


def _prune(folder, newest, keep):
    """Removes all but the last `keep` steps up to `newest` whose manifests can be read. What cannot
    be removed costs room, no more."""
    kept = 0
    for step, path in sorted(_steps(folder), reverse=True):
        if step > newest:
            continue
        if kept < keep:
            with contextlib.suppress(CheckpointError):
                _manifest(path)
                kept += 1
            continue
        away = folder / f".step_{step}.old"
        _remove(away)
        with contextlib.suppress(OSError):
            path.rename(away)  # nobody finds half a checkpoint
            _remove(away)


def save(folder, step, tensors, state=None, gang=None, keep=None):
    """Writes and commits the checkpoint of `step` below `folder`; returns its path.

    `tensors`: a dict from name to numpy array or torch tensor. `state`: counters and the like, a
    dict from text to text. With a `gang` (trainyard.training) all ranks call: each writes the
    tensors that it passes as its shard, and load() puts pieces of the same name together along
    their first axis, in the order of ranks; who keeps equal tensors everywhere passes them on rank
    0 and {} elsewhere. `keep`: how many committed checkpoints stay, None for all; nothing is
    removed before every node has committed this step. OSError when the disk is full.
    """
    folder, step = pathlib.Path(folder), int(step)
    state = dict(state or {})
    if step < 0 or (keep is not None and keep < 1):
        raise ValueError("a step is a whole number from 0, keep one from 1")
    if not all(isinstance(text, str) for entry in state.items() for text in entry):
        raise TypeError("state is a dict from text to text")
    rank, size = (gang.rank, gang.size) if gang is not None else (0, 1)
    commits = _begin(folder, rank, size, gang)
    failure, card = None, (0, bytes(32))
    try:
        card = _write_shard(folder / f".step_{step}.partial", rank, tensors)
    except (OSError, TypeError, ValueError) as error:
        failure = error
    cards = _exchange(gang, *card)
    if failure is None and not all(count for count, _ in cards):
        failure = OSError(f"another rank could not write its shard of step {step}")
    if failure is None and commits:
        shards = [{"file": f"shard-{number}.safetensors", "bytes": count, "sha256": digest.hex()}
                  for number, (count, digest) in enumerate(cards)]
        try:
            _commit(folder, step, size, state, shards)
        except OSError as error:
            failure = error
    # Nobody goes on before all know what became of it.
    if not all(count for count, _ in _exchange(gang, int(failure is None), bytes(32))):
        raise failure or OSError(f"another rank could not commit step {step}")
    if commits and keep is not None:
        _prune(folder, step, keep)
    if gang is not None:
        gang.barrier()  # all ranks find the same steps now
    return str(folder / f"step_{step}")


_commits = {}  # by folder and size of the gang: whether this process commits there


def _begin(folder, rank, size, gang):
    """Whether this rank commits. The first time: removes what killed writers left, before any rank
    writes, and finds out which nodes see the same folder; one of them commits."""
    if (folder, size) in _commits:
        return _commits[folder, size]
    local, beside = _place(rank, size)
    first = local == 0
    if first:
        _sweep(folder)
    if gang is not None:
        gang.barrier()
        if beside < size:
            first = _is_first(folder, first, gang)
    _commits[folder, size] = first
    return first


def _sweep(folder):
    """Removes what killed writers left; a step whose name nothing has and of which all was written
    is published."""
    for kind in ("partial", "old"):  # what was to be published is newer than what made way for it
        for path in folder.glob(f".step_*.{kind}") if folder.is_dir() else []:
            match = re.fullmatch(r"\.(step_\d+)\." + kind, path.name)
            if not match:
                continue
            visible = folder / match.group(1)
            if not visible.exists() and _is_complete(path):
                with contextlib.suppress(OSError):
                    path.rename(visible)
                    continue
            _remove(path)
    for path in folder.glob(".place-*") if folder.is_dir() else []:
        with contextlib.suppress(OSError):
            path.unlink()


def _is_complete(folder):
    """Whether nothing of what this folder holds of a step is missing: its manifest comes last and
    goes first. Shards of other nodes lie elsewhere."""
    try:
        paths = [(folder / entry["file"], entry["bytes"]) for entry in _manifest(folder)["shards"]]
        sizes = [(path.stat().st_size, size) for path, size in paths if path.exists()]
    except (CheckpointError, OSError, KeyError, TypeError):
        return False
    return bool(sizes) and all(size == stated for size, stated in sizes)


def _is_first(folder, looks, gang):
    """Whether this rank is the lowest of those ranks that look and see the same folder: each makes
    a file there, and looks for those of the others."""
    number = _exchange(gang, 0, os.urandom(32))[0][1].hex()
    mine = folder / f".place-{number[:16]}-{gang.rank}"
    if looks:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            mine.touch()
    gang.barrier()
    seen = looks and any((folder / f".place-{number[:16]}-{rank}").exists()
                         for rank in range(gang.rank))
    gang.barrier()  # nobody removes a file before all have looked
    if looks:
        with contextlib.suppress(OSError):
            mine.unlink()
    return looks and not seen


def _write_shard(hidden, rank, tensors):
    """Its size and digest."""
    data = encode(tensors)
    hidden.mkdir(parents=True, exist_ok=True)
    (hidden / "manifest.json").unlink(missing_ok=True)  # of a commit that failed: of other bytes
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
