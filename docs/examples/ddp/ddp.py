"""Fits y = 3 x - 1 with PyTorch DistributedDataParallel over Gloo; knows nothing of Trainyard.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT are all that init_process_group("gloo") reads.
"""
import argparse
import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    args = parser.parse_args()

    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(rank)  # each rank has points of its own; DDP copies rank 0's weights
    model = DistributedDataParallel(nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate)
    for _ in range(args.steps):
        x = torch.rand(32, 1) * 2 - 1
        loss = nn.functional.mse_loss(model(x), 3 * x - 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if rank == 0:
        line = model.module
        print(f"{world} ranks: y = {line.weight.item():.2f} x {line.bias.item():+.2f}", flush=True)
        torch.save(line.state_dict(), os.path.join(os.environ["AIP_MODEL_DIR"], "line.pt"))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
