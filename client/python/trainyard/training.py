"""Data-parallel training from Python: collectives between the ranks of a gang.

    from trainyard import training

    gang = training.init()                       # this process's gang, by its environment
    gang.broadcast(weights)                      # rank 0's values everywhere
    ...
    gang.all_reduce(gradients, op="mean")        # in place: numpy arrays, torch CPU tensors
    gang.average_gradients(module.parameters())  # of a torch module, as one all-reduce
    gang.attach(module)                          # or: each backward() does that, overlapped

`gang.empty(count, dtype)` gives a numpy array in the memory that is reduced fastest. All ranks must
make the same calls in the same order. One thread at a time uses a gang. Nothing is compiled: this
loads libtrainyard_training.so, from TRAINYARD_TRAINING_LIBRARY, from beside this package's folder,
or from beside the programs of Trainyard in PATH.
"""
import ctypes
import os
import pathlib

_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 3, "int32": 4, "int64": 5}
_FORMATS = {"f": "float32", "d": "float64", "e": "float16", "i": "int32", "q": "int64",
        "l": "int64"}
_BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int32": 4, "int64": 8}
_OPERATORS = {"sum": 0, "mean": 1, "min": 2, "max": 3}
_NAME = "libtrainyard_training.so"


class TrainingError(RuntimeError):
    """A collective failed: the ranks are out of step, or one has ended. End the process."""


def _candidates():
    named = os.environ.get("TRAINYARD_TRAINING_LIBRARY")
    if named:
        yield pathlib.Path(named)
        return
    yield pathlib.Path(__file__).resolve().parents[2] / _NAME  # <prefix>/lib/python/trainyard
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and os.path.exists(os.path.join(folder, "trainyard-rank")):
            yield pathlib.Path(folder).resolve().parent / "lib" / _NAME


def _load():
    tried = []
    for path in _candidates():
        if path.exists():
            library = ctypes.CDLL(str(path))
            _declare(library)
            return library
        tried.append(str(path))
    raise TrainingError(f"{_NAME} is not in {', '.join(tried) or 'PATH'}; "
                        "name it in TRAINYARD_TRAINING_LIBRARY")


def _declare(library):
    pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    for name, arguments in {
            "open": [ctypes.POINTER(pointer)],
            "rank": [pointer],
            "size": [pointer],
            "barrier": [pointer],
            "all_reduce": [pointer, pointer, size, number, number],
            "reduce_scatter": [pointer, pointer, pointer, size, number, number],
            "all_gather": [pointer, pointer, pointer, size, number],
            "broadcast": [pointer, pointer, size, number, number],
            "start_all_reduce": [pointer, pointer, size, number, number, ctypes.POINTER(pointer)],
            "wait": [pointer],
            "allocate": [pointer, size, ctypes.POINTER(pointer)]}.items():
        function = getattr(library, f"trainyard_{name}")
        function.argtypes, function.restype = arguments, number
    library.trainyard_close.argtypes, library.trainyard_close.restype = [pointer], None
    library.trainyard_name.argtypes, library.trainyard_name.restype = [pointer], ctypes.c_char_p
    library.trainyard_error.argtypes, library.trainyard_error.restype = [], ctypes.c_char_p


def _memory(data, writable):
    """Address, count and type name of a torch CPU tensor or a buffer (numpy array)."""
    if hasattr(data, "data_ptr"):
        if data.device.type != "cpu":
            raise ValueError(f"the tensor is on {data.device}; move it to the cpu")
        if not data.is_contiguous():
            raise ValueError("the tensor is not contiguous; pass tensor.contiguous()")
        return _checked(data.data_ptr(), data.numel(), str(data.dtype).rpartition(".")[2])
    view = memoryview(data)
    if not view.c_contiguous:
        raise ValueError("the array is not contiguous; pass numpy.ascontiguousarray(array)")
    if writable and view.readonly:
        raise ValueError("the array is read-only")
    count = view.nbytes // view.itemsize
    name = _FORMATS.get(view.format.lstrip("@="), view.format)
    if view.readonly:  # ctypes takes addresses of writable memory only
        address = data.ctypes.data if hasattr(data, "ctypes") else None
        if address is None:
            raise ValueError("the buffer is read-only; pass a numpy array or a writable buffer")
    else:
        whole = ctypes.c_char * view.nbytes
        address = ctypes.addressof(whole.from_buffer(view)) if view.nbytes else 0
    return _checked(address, count, name)


def _checked(address, count, name):
    if name not in _TYPES:
        raise TypeError(f"elements of type {name} are not reduced; use one of {', '.join(_TYPES)}")
    return address, count, name


def _operator(op):
    if op not in _OPERATORS:
        raise ValueError(f"there is no operator {op!r}; use one of {', '.join(_OPERATORS)}")
    return _OPERATORS[op]


class Pending:
    """A reduction under way; wait() for it."""

    def __init__(self, gang, handle, data):
        self._gang, self._handle, self._data = gang, handle, data  # keeps the memory alive

    def wait(self):
        """Returns the reduced data."""
        if self._handle:
            handle, self._handle = self._handle, None
            self._gang._must(self._gang._library.trainyard_wait(handle))
        return self._data


class Gang:
    """The ranks of this launch. Made by init()."""

    def __init__(self):
        self._library = _load()
        self._handle = ctypes.c_void_p()
        self._must(self._library.trainyard_open(ctypes.byref(self._handle)))
        self.rank = self._library.trainyard_rank(self._handle)
        self.size = self._library.trainyard_size(self._handle)
        self.name = self._library.trainyard_name(self._handle).decode()
        self._gradients = None

    def _must(self, code):
        if code != 0:
            raise TrainingError(self._library.trainyard_error().decode(errors="replace"))

    def _call(self, name, *arguments):
        self._must(getattr(self._library, f"trainyard_{name}")(self._handle, *arguments))

    def all_reduce(self, data, op="mean"):
        """Reduces `data` in place over all ranks."""
        address, count, name = _memory(data, writable=True)
        self._call("all_reduce", address, count, _TYPES[name], _operator(op))
        return data

    def start_all_reduce(self, data, op="mean"):
        """Begins to reduce `data` in place; the result is there once the answer's wait() returned.

        `data` must not be touched meanwhile. Wait in the order of the starts, once each.
        """
        address, count, name = _memory(data, writable=True)
        handle = ctypes.c_void_p()
        self._call("start_all_reduce", address, count, _TYPES[name], _operator(op),
                   ctypes.byref(handle))
        return Pending(self, handle, data)

    def reduce_scatter(self, send, receive, op="mean"):
        """`send` is size times as long as `receive`: rank r gets the reduction of block r."""
        source, sent, name = _memory(send, writable=False)
        target, count, other = _memory(receive, writable=True)
        if name != other or sent != count * self.size:
            raise ValueError(f"send must hold {count * self.size} {other}, it holds {sent} {name}")
        self._call("reduce_scatter", source, target, count, _TYPES[name], _operator(op))
        return receive

    def all_gather(self, send, receive):
        """`receive` is size times as long as `send`: block r comes from rank r."""
        source, count, name = _memory(send, writable=False)
        target, received, other = _memory(receive, writable=True)
        if name != other or received != count * self.size:
            raise ValueError(f"receive must hold {count * self.size} {name}, "
                             f"it holds {received} {other}")
        self._call("all_gather", source, target, count, _TYPES[name])
        return receive

    def broadcast(self, data, root=0):
        """Makes `data` equal to that of rank `root`, in place."""
        address, count, name = _memory(data, writable=True)
        self._call("broadcast", address, count, _TYPES[name], root)
        return data

    def barrier(self):
        """Waits for all ranks."""
        self._call("barrier")

    def empty(self, count, dtype="float32"):
        """A numpy array of `count` zeros in the memory that is reduced fastest.

        It lives as long as the gang. All ranks call with the same count and dtype.
        """
        import numpy  # only who wants arrays needs it

        _, _, name = _checked(0, 0, numpy.dtype(dtype).name)
        memory = ctypes.c_void_p()
        size = count * _BYTES[name]
        self._call("allocate", size, ctypes.byref(memory))
        whole = (ctypes.c_char * max(size, 1)).from_address(memory.value)
        return numpy.frombuffer(whole, dtype=name, count=count)

    def broadcast_parameters(self, parameters):
        """Rank 0's values of torch parameters (module.parameters()) everywhere."""
        for parameter in parameters:
            self.broadcast(parameter.detach())

    def average_gradients(self, parameters):
        """Replaces each torch parameter's gradient by its mean over ranks.

        Call it between backward() and step(). One all-reduce; parameters are float32 on the CPU.
        The first call moves the gradients into shared memory, where zero_grad(set_to_none=False)
        leaves them.
        """
        import torch  # the caller has it

        parameters = [p for p in parameters if p.requires_grad]
        count = sum(p.numel() for p in parameters)
        if self._gradients is None or self._gradients.numel() != count:
            self._gradients = torch.from_numpy(self.empty(count))
        offset = 0
        for parameter in parameters:
            place = self._gradients[offset:offset + parameter.numel()].view(parameter.shape)
            if parameter.grad is None:
                place.zero_()
                parameter.grad = place
            elif parameter.grad.data_ptr() != place.data_ptr():
                place.copy_(parameter.grad)
                parameter.grad = place
            offset += parameter.numel()
        self.all_reduce(self._gradients, op="mean")

    def attach(self, module, bucket_bytes=4 << 20, wire="float32"):
        """From now on each backward() through a torch module leaves averaged gradients.

        Parameters and buffers become rank 0's first. Gradients are reduced in buckets while the
        backward pass goes on, as float32 or, with wire="float16" or "bfloat16", in half the bytes.
        All ranks call it for equal modules; parameters are float32 on the CPU. Returns the hook:
        inside `with hook.no_sync():` gradients add up unreduced.
        """
        from trainyard import _torch_hook

        return _torch_hook.GradientHook(self, module, bucket_bytes, wire)

    def close(self):
        """Leaves the gang; its arrays must not be used any more."""
        if self._handle:
            self._library.trainyard_close(self._handle)
            self._handle = ctypes.c_void_p()


_gang = None


def init():
    """The gang of this process; made by the first call, which all ranks must make."""
    global _gang
    if _gang is None:
        _gang = Gang()
    return _gang
