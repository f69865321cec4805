"""Data-parallel training from Python: collectives between the ranks of a gang.

    from trainyard import training

    gang = training.init()                       # this process's gang, by its environment
    gang.broadcast(weights)                      # rank 0's values everywhere
    ...
    gang.all_reduce(gradients, op="mean")        # in place: numpy arrays, torch tensors
    gang.average_gradients(module.parameters())  # of a torch module, as one all-reduce
    gang.attach(module)                          # or: each backward() does that, overlapped

`gang.empty(count, dtype)` gives a numpy array in the memory that is reduced fastest. All ranks must
make the same calls in the same order, with data in the same kind of memory: tensors on a GPU go by
NCCL, behind what torch's current stream was given. One thread at a time uses a gang. A gang is left
when the program ends; a program that fails does not wait for the others then. Nothing is compiled:
this loads libtrainyard_training.so, from TRAINYARD_TRAINING_LIBRARY, from beside this package's
folder, or from beside the programs of Trainyard in PATH.
"""
import atexit
import contextlib
import ctypes
import faulthandler
import os
import pathlib
import signal
import sys
import weakref

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
            "open_device": [pointer, number, ctypes.POINTER(pointer)],
            "behind": [pointer, pointer],
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


def _gpu(data):
    """The number of the GPU that `data` is on, None for host memory."""
    device = getattr(data, "device", None)
    kind = getattr(device, "type", "cpu")  # numpy 2 arrays have a device "cpu"
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"the tensor is on {device}; move it to the cpu or to a CUDA device")
    return device.index if kind == "cuda" else None


def _stream(data):
    """The CUDA stream that torch gives work on `data`."""
    import torch  # the caller has it

    return torch.cuda.current_stream(data.device).cuda_stream


def _memory(data, writable):
    """Address, count and type name of a torch tensor or a buffer (numpy array)."""
    if hasattr(data, "data_ptr"):
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


def _together(send, receive):
    if _gpu(send) != _gpu(receive):
        raise ValueError(f"send is on {getattr(send, 'device', 'cpu')}, "
                         f"receive on {getattr(receive, 'device', 'cpu')}")


def _home(parameters):
    """The one device of torch parameters."""
    import torch  # the caller has it

    devices = {parameter.device for parameter in parameters}
    if len(devices) > 1:
        raise ValueError(f"parameters are on {', '.join(sorted(map(str, devices)))}; "
                         "move them to one device")
    return devices.pop() if devices else torch.device("cpu")


def _current(data):
    """With it the GPU of `data` is current, as torch keeps it."""
    if getattr(getattr(data, "device", None), "type", "cpu") != "cuda":
        return contextlib.nullcontext()
    import torch  # the caller has it

    return torch.cuda.device(data.device)


class Pending:
    """A reduction under way; wait() for it."""

    def __init__(self, gang, handle, data):
        self._gang, self._handle, self._data = gang, handle, data  # keeps the memory alive

    def wait(self):
        """Returns the reduced data."""
        if self._handle:
            handle, self._handle = self._handle, None
            if not self._gang._handle:
                raise TrainingError("the gang was closed before the reduction was waited for")
            self._gang._must(self._gang._library.trainyard_wait(handle))
        return self._data

    def __del__(self):
        # The memory is written until the reduction is through: it cannot be given back before.
        if self._handle:
            try:
                self.wait()
            except TrainingError:
                pass  # the next call says it again


class _Gradients:
    """Shared memory for the gradients of some torch parameters, held by their identities."""

    def __init__(self, parameters, memory):
        self._of, self.memory = [], memory
        self.take(parameters)

    def take(self, parameters):
        self._of = [weakref.ref(parameter) for parameter in parameters]

    def belongs_to(self, parameters):
        return len(self._of) == len(parameters) and all(
            reference() is parameter for reference, parameter in zip(self._of, parameters))

    def free(self):
        return all(reference() is None for reference in self._of)


class Gang:
    """The ranks of this launch. Made by init()."""

    def __init__(self):
        self._broken = False
        self._library = _load()
        _dump_stacks()
        self._handle = ctypes.c_void_p()
        self._must(self._library.trainyard_open(ctypes.byref(self._handle)))
        self.rank = self._library.trainyard_rank(self._handle)
        self.size = self._library.trainyard_size(self._handle)
        self.name = self._library.trainyard_name(self._handle).decode()
        self._gradients = []  # _Gradients, of as many modules on every rank
        self._device, self._device_number = ctypes.c_void_p(), None  # for tensors on a GPU

    def _must(self, code):
        if code != 0:
            self._broken = True
            raise TrainingError(self._library.trainyard_error().decode(errors="replace"))

    def _call(self, name, *arguments):
        self._must(getattr(self._library, f"trainyard_{name}")(self._handle, *arguments))

    def _call_on(self, data, name, *arguments):
        """The call by the communicator for the memory that `data` is in."""
        gpu = _gpu(data)
        if gpu is None:
            self._call(name, *arguments)
            return
        with _current(data):
            if not self._device:
                self._call("open_device", gpu, ctypes.byref(self._device))
                self._device_number = gpu
            if gpu != self._device_number:
                raise ValueError(f"the tensor is on GPU {gpu}; "
                                 f"this rank's collectives run on GPU {self._device_number}")
            self._must(self._library.trainyard_behind(self._device, _stream(data)))
            self._must(getattr(self._library, f"trainyard_{name}")(self._device, *arguments))

    def all_reduce(self, data, op="mean"):
        """Reduces `data` in place over all ranks."""
        address, count, name = _memory(data, writable=True)
        self._call_on(data, "all_reduce", address, count, _TYPES[name], _operator(op))
        return data

    def start_all_reduce(self, data, op="mean"):
        """Begins to reduce `data` in place; the result is there once the answer's wait() returned.

        `data` must not be touched meanwhile. Wait in the order of the starts, once each.
        """
        address, count, name = _memory(data, writable=True)
        handle = ctypes.c_void_p()
        self._call_on(data, "start_all_reduce", address, count, _TYPES[name], _operator(op),
                      ctypes.byref(handle))
        return Pending(self, handle, data)

    def reduce_scatter(self, send, receive, op="mean"):
        """`send` is size times as long as `receive`: rank r gets the reduction of block r."""
        source, sent, name = _memory(send, writable=False)
        target, count, other = _memory(receive, writable=True)
        _together(send, receive)
        if name != other or sent != count * self.size:
            raise ValueError(f"send must hold {count * self.size} {other}, it holds {sent} {name}")
        self._call_on(send, "reduce_scatter", source, target, count, _TYPES[name], _operator(op))
        return receive

    def all_gather(self, send, receive):
        """`receive` is size times as long as `send`: block r comes from rank r."""
        source, count, name = _memory(send, writable=False)
        target, received, other = _memory(receive, writable=True)
        _together(send, receive)
        if name != other or received != count * self.size:
            raise ValueError(f"receive must hold {count * self.size} {name}, "
                             f"it holds {received} {other}")
        self._call_on(send, "all_gather", source, target, count, _TYPES[name])
        return receive

    def broadcast(self, data, root=0):
        """Makes `data` equal to that of rank `root`, in place."""
        address, count, name = _memory(data, writable=True)
        self._call_on(data, "broadcast", address, count, _TYPES[name], root)
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
        """Rank 0's values of torch parameters or buffers (module.parameters()) everywhere.

        They may be of any type and layout, on the CPU or a GPU.
        """
        for parameter in parameters:
            parameter = parameter.detach()
            if str(parameter.dtype).rpartition(".")[2] in _TYPES and parameter.is_contiguous():
                self.broadcast(parameter)
            else:
                self._broadcast_bytes(parameter)

    def _broadcast_bytes(self, tensor):
        """Of a tensor whose elements the collectives do not know."""
        import torch  # the caller has it

        own = tensor.contiguous().reshape(-1).view(torch.uint8)
        words = torch.zeros((own.numel() + 3) // 4 * 4, dtype=torch.uint8, device=tensor.device)
        words[:own.numel()] = own
        self.broadcast(words.view(torch.int32))
        tensor.copy_(words[:own.numel()].view(tensor.dtype).reshape(tensor.shape))

    def average_gradients(self, parameters):
        """Replaces each torch parameter's gradient by its mean over ranks.

        Call it between backward() and step(). One all-reduce; parameters are float32, all on the
        CPU or all on one GPU. The first call moves their gradients into one piece of memory, where
        zero_grad(set_to_none=False) leaves them; memory of parameters that are gone is used again.
        """
        parameters = [p for p in parameters if p.requires_grad]
        memory = self._gradient_memory(parameters)
        offset = 0
        for parameter in parameters:
            place = memory[offset:offset + parameter.numel()].view(parameter.shape)
            if parameter.grad is None:
                place.zero_()
                parameter.grad = place
            elif parameter.grad.data_ptr() != place.data_ptr():
                place.copy_(parameter.grad)
                parameter.grad = place
            offset += parameter.numel()
        self.all_reduce(memory, op="mean")

    def _gradient_memory(self, parameters):
        """A tensor as long as `parameters` together, always the same for the same ones."""
        import torch  # the caller has it

        for known in self._gradients:
            if known.belongs_to(parameters):
                return known.memory
        count = sum(p.numel() for p in parameters)
        # Ranks collect their garbage at different times: what is used again must be free on all.
        home = _home(parameters)
        free = torch.tensor([int(known.free() and known.memory.numel() == count
                                 and known.memory.device == home)
                             for known in self._gradients], dtype=torch.int32)
        if free.numel() > 0:
            self.all_reduce(free, op="min")
        for known, usable in zip(self._gradients, free.tolist()):
            if usable:
                known.take(parameters)
                return known.memory
        self._gradients.append(_Gradients(parameters, self._tensor(count, home)))
        return self._gradients[-1].memory

    def _tensor(self, count, device, dtype="float32"):
        """A torch tensor of zeros there, in the memory that is reduced fastest."""
        import torch  # the caller has it

        if device.type == "cpu":
            return torch.from_numpy(self.empty(count, dtype))
        return torch.zeros(count, dtype=getattr(torch, dtype), device=device)

    def attach(self, module, bucket_bytes=4 << 20, wire="float32"):
        """From now on each backward() through a torch module leaves averaged gradients.

        Parameters and buffers become rank 0's first. Gradients are reduced in buckets while the
        backward pass goes on, as float32 or, with wire="float16" or "bfloat16", in half the bytes.
        All ranks call it for equal modules; parameters are float32, all on the CPU or all on one
        GPU. Returns the hook: inside `with hook.no_sync():` gradients add up unreduced.
        """
        from trainyard import _torch_hook

        return _torch_hook.GradientHook(self, module, bucket_bytes, wire)

    def report_times(self, step, busy_seconds, wait_seconds=0.0):
        """Reports how long this rank was busy and waited since the last time, as metrics of `step`.

        All ranks call it, now and then. Returns the number of a rank that was busy 1.5 times as
        long as the median and 100 ms longer, None without one; rank 0 reports it as straggler.
        """
        import array

        import trainyard

        mine = array.array("d", [busy_seconds])
        everyone = array.array("d", bytes(8 * self.size))
        self.all_gather(mine, everyone)
        median = sorted(everyone)[(self.size - 1) // 2]
        slowest = max(range(self.size), key=lambda rank: everyone[rank])
        slow = everyone[slowest] > 1.5 * median and everyone[slowest] - median >= 0.1
        metrics = {"step_seconds": busy_seconds, "wait_seconds": wait_seconds}
        if slow and self.rank == 0:
            metrics["straggler"] = slowest
        trainyard.report(step, metrics)
        return slowest if slow else None

    def close(self):
        """Leaves the gang; its arrays must not be used any more."""
        if self._device:
            self._library.trainyard_close(self._device)
            self._device = ctypes.c_void_p()
        if self._handle:
            self._library.trainyard_close(self._handle)
            self._handle = ctypes.c_void_p()


_gang = None
_failed = False  # the program ends with an error


def _dump_stacks():
    """On SIGUSR2, which ranks that wait in vain for this one send, all threads' stacks go to
    stderr."""
    wish = os.environ.get("TRAINYARD_STACK_DUMP")
    if wish in (None, "own") and signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
        try:
            faulthandler.register(signal.SIGUSR2, all_threads=True)
        except (AttributeError, OSError, RuntimeError, ValueError):
            return  # stderr is no file
        os.environ["TRAINYARD_STACK_DUMP"] = "own"


def _watch_exit():
    """A rank that fails must not wait for peers that wait for it: that is known by its exit."""
    leave = sys.exit

    def leave_watched(code=None):
        global _failed
        _failed = code not in (None, 0)
        leave(code)

    sys.exit = leave_watched


def _at_exit():
    # What was raised and printed is in last_value; os._exit() and signals do not come here.
    if _gang is not None and not (_gang._broken or _failed or hasattr(sys, "last_value")):
        _gang.close()


def init():
    """The gang of this process; made by the first call, which all ranks must make."""
    global _gang
    if _gang is None:
        _gang = Gang()
        _watch_exit()
        atexit.register(_at_exit)
    return _gang
