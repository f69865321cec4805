#!/usr/bin/python3
"""trainyard.training with torch tensors on a GPU, where there is none: torch's CPU tensors stand
for those of a GPU, and the plug-in that is loaded runs over an NCCL that reduces in the host's
memory. What is asked of numpy arrays goes by the host as before.

usage: device_python_test.py LIBRARY PLUGIN         the test
       device_python_test.py LIBRARY PLUGIN CHECK   one rank of it
"""
import ctypes
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "client" / "python"))


def modules():
    """The checks of the test on the CPU."""
    spec = importlib.util.spec_from_file_location(
        "python_test", ROOT / "tests" / "worker" / "training" / "python_test.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def pretend(stream=None):
    """From now on torch's tensors count as those of this rank's GPU."""
    from trainyard import training

    number = int(os.environ["LOCAL_RANK"]) % 2
    training._gpu = lambda data: number if hasattr(data, "data_ptr") else None
    training._stream = lambda _: stream
    return training


def all_of_it(checks):
    training = pretend()
    gang = training.init()
    checks.check_numpy(gang)
    assert not gang._device, "arrays of the host asked for a GPU"
    checks.check_torch(gang)
    assert gang._device
    checks.check_gradients_of_two_modules(gang)
    checks.check_attached(gang)
    checks.check_broadcast_of_any_type(gang)
    checks.check_after_an_exception(gang)
    moved(gang)
    training._gpu = lambda _: 7
    said = checks.raises(ValueError, gang.all_reduce, torch_ones(3))
    assert "on GPU 7" in said, said


def torch_ones(count):
    import torch

    return torch.ones(count)


def moved(gang):
    """Collectives that have two arrays."""
    import numpy

    from trainyard import training

    mine, everyone = torch_ones(5) * gang.rank, torch_ones(5 * gang.size)
    gang.all_gather(mine, everyone)
    assert everyone.tolist() == [r for r in range(gang.size) for _ in range(5)]
    part = gang.reduce_scatter(everyone, torch_ones(5), op="sum")
    assert part.tolist() == [gang.rank * gang.size] * 5, part
    try:
        gang.all_gather(mine, numpy.zeros(5 * gang.size, dtype="float32"))
    except ValueError as error:
        assert "receive on" in str(error)
    else:
        raise AssertionError("send on the GPU, receive on the host")
    assert training._gpu(numpy.zeros(3)) is None


def behind_the_stream(_):
    """A call waits for what torch's current stream was given before."""
    import torch

    late = ctypes.CDLL(os.environ["TRAINYARD_NCCL_PLUGIN"]).fake_late_write
    late.argtypes, late.restype = [ctypes.c_void_p, ctypes.c_float], ctypes.c_void_p
    data = torch.zeros(1)
    gang = pretend().init()
    gang.all_reduce(torch.zeros(1))  # it has joined
    pretend(stream=late(data.data_ptr(), 5.0))
    assert gang.all_reduce(data, op="sum").item() == 5.0 * gang.size, data


def absent(checks):
    gang = pretend().init()
    said = checks.raises(Exception, gang.all_reduce, torch_ones(3))
    assert "no collectives on GPUs here" in said and "/absent/plugin.so" in said, said
    os._exit(0)


def as_on_a_gpu(_):
    """What tests/gpu runs with real ones."""
    pretend()
    sys.path.insert(0, str(ROOT / "tests" / "gpu"))
    import torch_check

    sys.argv[1:] = ["5", "cpu"]
    assert torch_check.main() == 0


CHECKS = {"gpu": as_on_a_gpu, "all": all_of_it, "stream": behind_the_stream, "absent": absent}


def start(check, size, library, plugin, log):
    ranks = []
    for rank in range(size):
        env = dict(os.environ, RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank),
                   LOCAL_WORLD_SIZE=str(size), TRAINYARD_TRAINING_LIBRARY=library,
                   TRAINYARD_NCCL_PLUGIN=plugin if check != "absent" else "/absent/plugin.so",
                   TRAINYARD_JOB=f"device-python-{os.getpid()}-{check}-{size}", FAKE_NCCL_LOG=log)
        ranks.append(subprocess.Popen([sys.executable, __file__, library, plugin, check], env=env,
                                      text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    said = [rank.communicate(timeout=250)[0] for rank in ranks]
    assert all(rank.returncode == 0 for rank in ranks), "\n".join(said)


def main():
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}")
        return 77
    library, plugin = (os.path.abspath(path) for path in sys.argv[1:3])
    if len(sys.argv) > 3:
        CHECKS[sys.argv[3]](modules())
        return 0
    for check, size in (("all", 1), ("all", 3), ("gpu", 2), ("stream", 2), ("absent", 2)):
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "calls")
            start(check, size, library, plugin, log)
            calls = open(log, encoding="utf-8").read() if os.path.exists(log) else ""
        kinds = {line.split()[0] for line in calls.splitlines()}
        wanted = {"all": {"join", "all-reduce", "broadcast", "all-gather", "reduce-scatter"},
                  "gpu": {"join", "all-reduce", "broadcast", "all-gather"},
                  "stream": {"join", "all-reduce"}, "absent": set()}[check]
        assert kinds == wanted, (check, kinds)
        print(f"{check}, {size} ranks: right; {len(calls.splitlines())} calls to NCCL")
    return 0


if __name__ == "__main__":
    sys.exit(main())
