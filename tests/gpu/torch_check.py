#!/usr/bin/env python3
"""One rank that trains with torch on its GPU: collectives on fresh random tensors against float64
on the host, gradients of a module against those of the whole batch, calls behind a stream of the
program's own. Ranks are started by gpus.py. Exit 77: this Python's torch has no CUDA.

usage: torch_check.py SEED [DEVICE]
"""
import contextlib
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "client" / "python"))


def collectives(torch, gang, device, seed):
    generator = torch.Generator().manual_seed(seed)
    for kind, close in (("float32", 1e-6), ("float64", 1e-14), ("float16", 4e-3),
                        ("bfloat16", 3e-2), ("int32", 0), ("int64", 0)):
        for count in (1, 1023, 100003):
            everyone = (100 * torch.rand(gang.size, count, generator=generator)).to(
                getattr(torch, kind))
            for op in ("sum", "max"):
                mine = everyone[gang.rank].to(device, copy=True)
                got = gang.all_reduce(mine, op=op).cpu().double()
                whole = everyone.double()
                expected = whole.sum(0) if op == "sum" else whole.max(0).values
                assert torch.allclose(got, expected, rtol=close, atol=100 * close), (kind, op)
            gathered = torch.zeros(gang.size * count, dtype=everyone.dtype, device=device)
            gang.all_gather(everyone[gang.rank].to(device, copy=True), gathered)
            assert torch.equal(gathered.cpu(), everyone.reshape(-1)), kind
            sent = gang.broadcast(everyone[gang.rank].to(device, copy=True), root=gang.size - 1)
            assert torch.equal(sent.cpu(), everyone[-1]), kind


def gradients(torch, gang, device, seed, stream):
    def make():
        return torch.nn.Sequential(torch.nn.Linear(300, 500), torch.nn.Tanh(),
                                   torch.nn.Linear(500, 1)).to(device)

    torch.manual_seed(seed + gang.rank)
    model = make()
    gang.attach(model, bucket_bytes=64 << 10)
    twin = make()
    twin.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(seed)
    rows = 64
    inputs = torch.randn(rows * gang.size, 300, generator=generator).to(device)
    mine = slice(rows * gang.rank, rows * gang.rank + rows)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    other = torch.optim.SGD(twin.parameters(), lr=0.05)
    for _ in range(5):
        with stream():
            optimizer.zero_grad()
            model(inputs[mine]).square().mean().backward()
            optimizer.step()
        other.zero_grad()
        twin(inputs).square().mean().backward()
        other.step()
    for a, b in zip(model.parameters(), twin.parameters()):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4), (a - b).abs().max()


def behind_own_stream(torch, gang, device):
    """Much work goes to a stream of the program's own before the data are there."""
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        for _ in range(5):
            heavy = torch.ones(4096, 4096, device=device)
            for _ in range(10):
                heavy = heavy @ heavy / 4096
            got = gang.all_reduce(heavy.clone(), op="sum")
            assert (got.cpu() == gang.size).all(), "reduced before it was computed"


def main():
    import torch

    from trainyard import training

    seed = int(sys.argv[1])
    number = int(os.environ["LOCAL_RANK"]) % max(1, torch.cuda.device_count())
    device = torch.device(sys.argv[2] if len(sys.argv) > 2 else f"cuda:{number}")
    if device.type == "cuda" and not torch.cuda.is_available():
        print("this Python's torch has no CUDA")
        return 77
    gang = training.init()
    collectives(torch, gang, device, seed)
    gradients(torch, gang, device, seed, contextlib.nullcontext)
    if device.type == "cuda":
        behind_own_stream(torch, gang, device)
        own = torch.cuda.Stream(device)
        gradients(torch, gang, device, seed + 1, lambda: torch.cuda.stream(own))
        torch.cuda.synchronize(device)
        assert torch.cuda.current_device() == 0, "the current GPU of the program was changed"
    assert gang._device, "nothing went by NCCL"
    if gang.rank == 0:
        print(f"torch on {device}: right with {gang.size} ranks, seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
