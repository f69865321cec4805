#!/usr/bin/python3
"""The peer of bench/steps.py: trainyard-train's MLP and CNN in PyTorch DDP over Gloo, one rank.

usage: ddp.py DATA MODEL BATCH EPOCHS (with RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT)
Rank 0 prints the samples a second of each epoch's steps.
"""
import os
import sys
import time

import numpy
import torch
from torch import nn


def make(model, features, classes):
    if model == "mlp":
        return nn.Sequential(nn.Linear(features, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                             nn.Linear(512, classes))
    side = int(features ** 0.5)
    return nn.Sequential(
        nn.Unflatten(1, (1, side, side)),
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (side // 4) ** 2, 64), nn.ReLU(), nn.Linear(64, classes))


def main():
    path, model, batch, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.distributed.init_process_group("gloo")
    table = numpy.loadtxt(path, delimiter=",", dtype=numpy.float32)
    inputs, labels = torch.from_numpy(table[:, :-1].copy()), torch.from_numpy(table[:, -1]).long()
    torch.manual_seed(1)
    network = nn.parallel.DistributedDataParallel(make(model, inputs.shape[1], 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    train = int(len(inputs) * 0.6)
    for epoch in range(epochs):
        order = torch.randperm(train, generator=torch.Generator().manual_seed(epoch))
        start = time.perf_counter()
        for begin in range(0, train, batch):
            rows = order[begin:begin + batch]
            rows = rows[len(rows) * rank // size:len(rows) * (rank + 1) // size]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        if rank == 0:
            print(train / (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
