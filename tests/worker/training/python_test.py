#!/usr/bin/python3
"""trainyard.training in real gangs, on numpy arrays, plain buffers and, where torch is there, its
tensors.

Run with Debian's own Python, which has Debian's numpy.

usage: python_test.py LIBRARY            the test
       python_test.py LIBRARY rank       one rank of it, started by mpirun
       python_test.py LIBRARY leave HOW  a rank that ends without closing its gang
"""
import array
import gc
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "client" / "python"))


def raises(kind, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except kind as error:
        return str(error)
    raise AssertionError(f"{call} raised no {kind}")


def check_numpy(gang):
    import numpy

    ranks = numpy.arange(1, gang.size + 1)
    for dtype in ("float32", "float64", "float16", "int32", "int64"):
        for count in (1, 1000, 300001):
            values = numpy.full(count, gang.rank + 1, dtype=dtype)
            gang.all_reduce(values, op="sum")
            assert (values == ranks.sum()).all(), (dtype, count, values)
    mean = gang.all_reduce(numpy.full((3, 4), gang.rank, dtype="float32"))
    assert mean.shape == (3, 4) and (mean == (gang.size - 1) / 2).all(), mean
    assert gang.all_reduce(numpy.array([gang.rank]), op="max")[0] == gang.size - 1
    arena = gang.empty(200000)
    arena += gang.rank + 1
    gang.all_reduce(arena, op="min")
    assert (arena == 1).all()
    everyone = numpy.zeros(2 * gang.size, dtype="int64")
    gang.all_gather(numpy.array([gang.rank, 7]), everyone)
    assert everyone.tolist() == [x for r in range(gang.size) for x in (r, 7)]
    part = numpy.zeros(2, dtype="float32")
    gang.reduce_scatter(numpy.arange(2 * gang.size, dtype="float32"), part, op="sum")
    assert part.tolist() == [gang.size * 2 * gang.rank, gang.size * (2 * gang.rank + 1)]
    assert gang.broadcast(numpy.array([gang.rank + 5.0]), root=gang.size - 1)[0] == gang.size + 4
    assert "not contiguous" in raises(ValueError, gang.all_reduce, numpy.zeros((4, 4))[:, 0])
    assert "are not reduced" in raises(TypeError, gang.all_reduce, numpy.zeros(3, dtype="int8"))
    assert "no operator" in raises(ValueError, gang.all_reduce, numpy.zeros(3), op="product")
    frozen = numpy.zeros(3)
    frozen.setflags(write=False)
    assert "read-only" in raises(ValueError, gang.all_reduce, frozen)


def check_buffers(gang):
    values = array.array("d", [gang.rank, 1.0])
    gang.all_reduce(values, op="sum")
    assert list(values) == [gang.size * (gang.size - 1) / 2, gang.size]


def check_torch(gang):
    try:
        import torch
    except ImportError as error:
        if gang.rank == 0:
            print(f"skipped: torch tensors ({error})")
        return
    torch.manual_seed(gang.rank)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    gang.broadcast_parameters(model.parameters())
    torch.manual_seed(99)
    inputs, targets = torch.randn(4 * gang.size, 4), torch.randn(4 * gang.size, 1)
    mine = slice(4 * gang.rank, 4 * gang.rank + 4)
    for _ in range(2):  # the second time the gradients lie in shared memory already
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        torch.nn.functional.mse_loss(model(inputs[mine]), targets[mine]).backward()
        gang.average_gradients(model.parameters())
    got = [p.grad.clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = None
    torch.nn.functional.mse_loss(model(inputs), targets).backward()
    for parameter, gradient in zip(model.parameters(), got):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6), (parameter.grad, gradient)
    tensor = gang.all_reduce(torch.full((5,), float(gang.rank)).bfloat16(), op="max")
    assert tensor.tolist() == [gang.size - 1] * 5


def check_gradients_of_two_modules(gang):
    """Modules of equal size have memory of their own; that of modules that are gone is used
    again."""
    try:
        import torch
    except ImportError as error:
        print(f"skipped: gradients of two modules ({error})")
        return
    mean = (gang.size - 1) / 2

    def average(module, value):
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, value + gang.rank)
        gang.average_gradients(module.parameters())

    for sizes in ((3, 3), (3, 7)):
        first, second = (torch.nn.Linear(size, 2) for size in sizes)
        average(first, 10.0)
        average(second, 20.0)
        for module, value in ((first, 10.0), (second, 20.0)):
            for parameter in module.parameters():
                assert (parameter.grad == value + mean).all(), (sizes, value, parameter.grad)
        known = len(gang._gradients)
        for _ in range(3):
            average(first, 1.0)
            average(second, 2.0)
        assert len(gang._gradients) == known, "memory is asked for again and again"
    for _ in range(5):
        module = torch.nn.Linear(11, 2)
        average(module, 1.0)
        del module
        gc.collect()
        most = len(gang._gradients)
        assert most <= known + 1, f"{most} pieces of memory, {known} before"


def check_broadcast_of_any_type(gang):
    try:
        import torch
    except ImportError as error:
        print(f"skipped: buffers of any type ({error})")
        return
    for kind in ("bool", "uint8", "int16", "float16", "float64", "complex64", "float32"):
        for count in (1, 5, 1000):
            tensor = (torch.arange(count) % 2 + gang.rank).to(getattr(torch, kind))
            gang.broadcast_parameters([tensor])
            expected = (torch.arange(count) % 2).to(getattr(torch, kind))
            assert torch.equal(tensor, expected), (kind, count, tensor)
    turned = torch.full((3, 4), float(gang.rank)).t()
    gang.broadcast_parameters([turned])
    assert (turned == 0).all()
    module = torch.nn.Linear(2, 2)
    module.register_buffer("mask", torch.full((7,), gang.rank % 2 == 1))
    module.register_buffer("scale", torch.tensor(float(gang.rank), dtype=torch.float64))
    gang.attach(module)
    assert not module.mask.any() and module.scale == 0, (module.mask, module.scale)


def check_after_an_exception(gang):
    """A backward pass that failed in the middle leaves nothing behind."""
    try:
        import torch
    except ImportError as error:
        print(f"skipped: exceptions in backward ({error})")
        return

    class Fails(torch.autograd.Function):
        broken = True

        @staticmethod
        def forward(_, x):
            return x.clone()

        @staticmethod
        def backward(_, gradient):
            if Fails.broken:
                raise ArithmeticError("in the middle")
            return gradient

    first, last = torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)
    model = torch.nn.Sequential(first, last)
    gang.attach(model, bucket_bytes=16)  # a bucket for each parameter
    inputs = torch.full((1, 3), 1.0 + gang.rank)
    raises(ArithmeticError, lambda: last(Fails.apply(first(inputs))).sum().backward())
    Fails.broken = False
    for only in (False, True):  # all of it, then the part which the failed pass did not reach
        model.zero_grad(set_to_none=True)
        (first if only else model)(inputs).sum().backward()
        mean = first.weight.grad.clone()
        gathered = torch.zeros(gang.size * 9)
        gang.all_gather(mean.reshape(-1), gathered)
        assert torch.equal(gathered.reshape(gang.size, 9)[0], gathered.reshape(gang.size, 9)[-1])
        if only:
            assert torch.allclose(mean, torch.full((3, 3), (gang.size + 1) / 2)), mean
        Fails.broken = True
        raises(ArithmeticError, lambda: last(Fails.apply(first(inputs))).sum().backward())
        Fails.broken = False


def check_pending_that_is_dropped(gang):
    """Its memory is not given back before the reduction is through."""
    import numpy

    for _ in range(20):
        gang.start_all_reduce(numpy.ones(1 << 18, dtype="float32"), op="sum")
        other = numpy.full(1 << 18, 3.0, dtype="float32")  # likely where the first one was
        gang.barrier()
        assert (other == 3).all(), "memory of others was written to"


def check_checkpoints(gang):
    """Each rank's shard, committed as one; a rank that fails costs the step on all."""
    import numpy

    from trainyard import checkpoints

    folder = pathlib.Path(os.environ["CHECKPOINTS"])
    for step in (1, 2, 3):
        mine = {"part": numpy.full(2, 10 * step + gang.rank, dtype="float32")}
        if gang.rank == 0:
            mine["whole"] = numpy.array([step])
        path = checkpoints.save(folder, step, mine, {"epoch": str(step)}, gang=gang, keep=2)
        found = checkpoints.read(path)
        assert found.world_size == gang.size and found.state == {"epoch": str(step)}
        assert found.tensors["whole"].tolist() == [step]
        assert found.tensors["part"].tolist() == [10 * step + r for r in range(gang.size)
                                                  for _ in range(2)]
    assert sorted(p.name for p in folder.iterdir()) == ["step_2", "step_3"], list(folder.iterdir())
    gang.barrier()
    last = gang.rank == gang.size - 1
    bad = {"part": numpy.array(["text" if last else 1])}
    said = raises(TypeError if last else OSError, checkpoints.save, folder, 4, bad, gang=gang)
    assert last or "another rank" in said, said
    assert checkpoints.load(folder).step == 3


def make_model(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(4, 8)
            self.norm = torch.nn.BatchNorm1d(8, track_running_stats=True)
            self.unused = torch.nn.Linear(3, 3)
            self.last = torch.nn.Linear(8, 1)

        def forward(self, x):
            return self.last(torch.tanh(self.first(x)))

    return Model()


def check_attached(gang):
    """Overlapped gradients against those of one process that sees the whole batch."""
    try:
        import torch
    except ImportError as error:
        print(f"skipped: torch modules ({error})")
        return
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(4 * gang.size, 4, generator=generator)
    targets = torch.randn(4 * gang.size, 1, generator=generator)
    mine = slice(4 * gang.rank, 4 * gang.rank + 4)

    def loss(model, rows):
        return torch.nn.functional.mse_loss(model(inputs[rows]), targets[rows])

    for bucket_bytes, wire, close in ((64, "float32", 1e-6), (4 << 20, "float32", 1e-6),
                                      (100, "bfloat16", 2e-2)):
        torch.manual_seed(gang.rank)
        model = make_model(torch)
        model.norm.running_mean.fill_(gang.rank)
        hook = gang.attach(model, bucket_bytes=bucket_bytes, wire=wire)
        assert model.norm.running_mean.tolist() == [0.0] * 8
        torch.manual_seed(0)
        twin = make_model(torch)
        for a, b in zip(model.parameters(), twin.parameters()):
            assert torch.equal(a, b), "not rank 0's parameters"
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        other = torch.optim.SGD(twin.parameters(), lr=0.1)
        for step in range(4):
            optimizer.zero_grad(set_to_none=step % 2 == 0)
            other.zero_grad()
            if step == 2:  # two passes, the first unreduced
                with hook.no_sync():
                    loss(model, mine).backward()
                loss(twin, slice(None)).backward()
            loss(model, mine).backward()
            loss(twin, slice(None)).backward()
            for (name, a), b in zip(model.named_parameters(), twin.parameters()):
                expected = torch.zeros_like(a) if b.grad is None else b.grad
                assert torch.allclose(a.grad, expected, atol=close), (name, step, a.grad, expected)
            optimizer.step()
            other.step()
            twin.load_state_dict(model.state_dict())
    pending = gang.start_all_reduce(torch.full((9,), 2.0 + gang.rank), op="max")
    assert pending.wait().tolist() == [1.0 + gang.size] * 9
    try:
        gang.attach(torch.nn.Linear(2, 2).double())
    except ValueError as error:
        assert "float64" in str(error)
    else:
        raise AssertionError("float64 parameters were taken")


def check_ready_twice(gang):
    """A layer that reentrant checkpoints compute twice in one pass is refused: its gradient would
    be added to while it travels. What computes it once is not."""
    try:
        import torch
        from torch.utils.checkpoint import checkpoint
    except ImportError as error:
        print(f"skipped: checkpointed activations ({error})")
        return
    from trainyard import training

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.last = torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)

        def forward(self, x, reentrant):
            for _ in range(2):
                x = checkpoint(self.shared, x, use_reentrant=reentrant)
            return self.last(x).sum()

    model = Model()
    hook = gang.attach(model, bucket_bytes=4)  # a bucket for each parameter
    inputs = torch.full((1, 3), 1.0 + gang.rank, requires_grad=True)
    said = raises(training.TrainingError, lambda: model(inputs, True).backward())
    assert "shared." in said and "no_sync()" in said, said
    model.zero_grad(set_to_none=True)
    model(inputs, False).backward()
    mine = model.shared.weight.grad.reshape(-1)
    everyone = torch.zeros(9 * gang.size)
    gang.all_gather(mine.clone(), everyone)
    assert torch.equal(everyone.reshape(gang.size, 9), mine.expand(gang.size, 9))
    # What the text advises gives the same.
    averaged = mine.clone()
    model.zero_grad(set_to_none=True)
    with hook.no_sync():
        model(inputs, True).backward()
    gang.average_gradients(model.parameters())
    assert torch.allclose(model.shared.weight.grad.reshape(-1), averaged, atol=1e-6)


def check_half_precision(gang):
    """The mean of what float16 holds is what float16 holds, though their sum is not."""
    try:
        import torch
    except ImportError as error:
        print(f"skipped: gradients as float16 ({error})")
        return
    model = torch.nn.Linear(1, 1, bias=False)
    gang.attach(model, wire="float16")
    model(torch.full((1, 1), 40000.0)).sum().backward()
    assert abs(model.weight.grad.item() - 40000) <= 32, model.weight.grad


def rank():
    from trainyard import training

    gang = training.init()
    assert gang is training.init()
    assert (gang.rank, gang.size) == (int(os.environ["OMPI_COMM_WORLD_RANK"]),
            int(os.environ["OMPI_COMM_WORLD_SIZE"]))
    check_numpy(gang)
    check_buffers(gang)
    check_torch(gang)
    check_gradients_of_two_modules(gang)
    check_attached(gang)
    check_broadcast_of_any_type(gang)
    check_after_an_exception(gang)
    check_ready_twice(gang)
    check_half_precision(gang)
    check_pending_that_is_dropped(gang)
    check_checkpoints(gang)
    for busy, slow in ((1.0, None), (5.0 if gang.rank == gang.size - 1 else 1.0, gang.size - 1)):
        assert gang.report_times(3, busy) == (slow if gang.size > 1 else None)
    gang.barrier()
    gang.close()
    print(f"rank {gang.rank} ok")


def leave(how):
    """Ends without close(), well or, on the last rank, badly while the others wait for it."""
    import numpy

    from trainyard import training

    gang = training.init()
    gang.all_reduce(numpy.ones(3))
    print(f"rank {gang.rank} ok", flush=True)
    if how == "well":
        return
    if gang.rank == gang.size - 1:
        if how == "exit":
            sys.exit(3)
        if how == "hang":
            time.sleep(100)
        raise ArithmeticError("this rank fails")
    gang.all_reduce(numpy.ones(3))


def check_leaving(command, environment):
    """Two nodes of one rank each: MPI is begun, and must be ended by who ends well only."""
    environment = dict(environment, TRAINYARD_PRETEND_NODES_OF="1")
    for how in ("well", "exit", "raise"):
        done = subprocess.run([*command, "leave", how], env=environment, capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.stdout.count(" ok") == 2, (how, done.stdout, done.stderr)
        assert (done.returncode == 0) == (how == "well"), (how, done.returncode, done.stderr)
        assert ("this rank fails" in done.stderr) == (how == "raise"), done.stderr
    del environment["TRAINYARD_PRETEND_NODES_OF"]  # one node: who waits can ask for the stack
    done = subprocess.run([*command, "leave", "hang"], capture_output=True, text=True, timeout=60,
                          env=dict(environment, TRAINYARD_HANG_TIMEOUT="1"), check=False)
    assert done.returncode != 0 and "hang: rank 1 (asleep" in done.stderr, done.stderr
    assert "most recent call first" in done.stderr and "in leave\n" in done.stderr, done.stderr


def main():
    library = sys.argv[1]
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                       TRAINYARD_TRAINING_LIBRARY=library)
    if sys.argv[2:] == ["rank"]:
        rank()
        return 0
    if sys.argv[2:3] == ["leave"]:
        leave(sys.argv[3])
        return 0
    check_leaving(["mpirun", "-np", "2", "--oversubscribe", sys.executable, __file__, library],
                  environment)
    for ranks in (1, 2, 3):
        command = ["mpirun", "-np", str(ranks), "--oversubscribe", sys.executable, __file__,
                library, "rank"]
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(command, env=dict(environment, CHECKPOINTS=folder), text=True,
                                  capture_output=True, timeout=250, check=False)
        print(done.stdout, end="")
        if done.returncode != 0 or done.stdout.count(" ok") != ranks:
            print(f"{ranks} ranks: exit {done.returncode}\n{done.stderr}")
            return 1
    environment["TRAINYARD_TRAINING_LIBRARY"] = "/absent.so"
    done = subprocess.run([sys.executable, "-c", "from trainyard import training; training.init()"],
            text=True,
                          env=dict(environment, PYTHONPATH=sys.path[0]), capture_output=True,
                                  check=False)
    assert "TrainingError" in done.stderr and "/absent.so" in done.stderr, done.stderr
    return 0


if __name__ == "__main__":
    sys.exit(main())
