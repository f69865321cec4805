"""Gradients of a torch module, averaged over a gang while its backward pass goes on.

Gradients lie one after the other in shared memory, or on the GPU of the module, last parameters
first, cut into buckets. A parameter's gradient is complete when its accumulation ran; buckets are
started in the order of their numbers on every rank, whatever order gradients come in; what no
rank's loss touched is reduced at the end of the pass with the rest.
"""
import contextlib
import weakref

import torch

from trainyard import training


class _Bucket:
    """Gradients that travel together."""

    def __init__(self, begin):
        self.begin, self.end, self.size, self.missing, self.pending = begin, begin, 0, 0, None


class _Pass:
    """One backward pass. torch alone holds it: when the pass ends by an exception, it is gone."""

    def __init__(self, finish):
        self._finish = finish

    def __call__(self):
        self._finish()


class GradientHook:
    """Made by Gang.attach()."""

    def __init__(self, gang, module, bucket_bytes, wire):
        self._gang = gang
        named = [(n, p) for n, p in module.named_parameters() if p.requires_grad][::-1]
        self._names = [name for name, _ in named]
        self._parameters = [parameter for _, parameter in named]
        for parameter in self._parameters:
            if parameter.dtype != torch.float32 or parameter.device.type not in ("cpu", "cuda"):
                raise ValueError(f"a parameter is {parameter.dtype} on {parameter.device}; "
                                 "gradients are averaged as float32, on the cpu or a CUDA device")
        if wire not in ("float32", "float16", "bfloat16"):
            raise ValueError(f"gradients do not travel as {wire!r}; "
                             "use float32, float16 or bfloat16")
        gang.broadcast_parameters(module.parameters())
        gang.broadcast_parameters(b for b in module.buffers() if b.numel() > 0)
        count = sum(p.numel() for p in self._parameters)
        home = training._home(self._parameters)
        self._whole = gang._tensor(count, home)
        self._wire = None
        if wire != "float32":
            self._wire = gang._tensor(count, home, "float16").view(getattr(torch, wire))
        # The sum of what float16 holds need not be held by it, the mean is: divided before, by a
        # power of two, which rounds nothing but what is very small.
        self._share = 1.0
        if wire == "float16":
            self._share = 2.0 ** -(gang.size - 1).bit_length()
        self._size = gang.size
        self._buckets, self._bucket_of, self._places = [], [], []
        self._cut(max(1, bucket_bytes // 4))
        self._started, self._pass, self._off = 0, None, False
        self._came = set()  # numbers of the parameters whose gradients came in this pass
        self._accumulators = []  # torch holds them weakly
        for number, parameter in enumerate(self._parameters):
            accumulator = parameter.expand_as(parameter).grad_fn.next_functions[0][0]
            accumulator.register_hook(lambda *_, n=number: self._ready(n))
            self._accumulators.append(accumulator)

    def _cut(self, most):
        offset, bucket = 0, _Bucket(0)
        for parameter in self._parameters:
            size = parameter.numel()
            if bucket.size > 0 and offset + size - bucket.begin > most:
                self._buckets.append(bucket)
                bucket = _Bucket(offset)
            self._places.append(self._whole[offset:offset + size].view(parameter.shape))
            self._bucket_of.append(len(self._buckets))
            offset += size
            bucket.size += 1
            bucket.end = offset
        if bucket.size > 0:
            self._buckets.append(bucket)

    @contextlib.contextmanager
    def no_sync(self):
        """Backward passes inside only add to the gradients of this rank."""
        before, self._off = self._off, True
        try:
            yield
        finally:
            self._off = before

    def _running(self):
        return self._pass is not None and self._pass() is not None

    def _begin(self):
        for bucket in self._buckets:
            bucket.missing = bucket.size
            if bucket.pending is not None:  # of a pass that an exception ended
                bucket.pending.wait()
                bucket.pending = None
        self._started = 0
        self._came.clear()
        this = _Pass(self._finish)
        self._pass = weakref.ref(this)
        # Runs when the pass is through, before backward() returns.
        torch.autograd.Variable._execution_engine.queue_callback(this)

    def _ready(self, number):
        if self._off:
            return
        if not self._running():
            self._begin()
        if number in self._came:
            raise training.TrainingError(
                f"the gradient of {self._names[number]} came twice in one backward pass, as in "
                "checkpointed activations of a layer that is used twice; it may be travelling by "
                "now. Checkpoint with use_reentrant=False, or run the pass under no_sync() and "
                "call average_gradients() behind it")
        self._came.add(number)
        self._collect(number)
        self._buckets[self._bucket_of[number]].missing -= 1
        while self._started < len(self._buckets) and self._buckets[self._started].missing == 0:
            self._start_next()

    def _collect(self, number):
        """Moves a gradient to its place, unless it was computed there."""
        parameter, place = self._parameters[number], self._places[number]
        if parameter.grad is None:
            place.zero_()
        elif parameter.grad.data_ptr() != place.data_ptr():
            place.copy_(parameter.grad)
        parameter.grad = place

    def _start_next(self):
        bucket = self._buckets[self._started]
        data = self._whole[bucket.begin:bucket.end]
        if self._wire is not None:
            data = data if self._share == 1 else data * self._share
            data = self._wire[bucket.begin:bucket.end].copy_(data)
        op = "mean" if self._share == 1 else "sum"
        bucket.pending = self._gang.start_all_reduce(data, op=op)
        self._started += 1

    def _finish(self):
        self._pass = None
        for number, bucket in enumerate(self._bucket_of):
            if self._buckets[bucket].missing > 0:
                self._collect(number)
        while self._started < len(self._buckets):
            self._start_next()
        for bucket in self._buckets:
            data = bucket.pending.wait()
            bucket.pending = None
            if self._wire is not None:
                whole = self._whole[bucket.begin:bucket.end].copy_(data)
                if self._share != 1:
                    whole.mul_(1 / (self._share * self._size))
