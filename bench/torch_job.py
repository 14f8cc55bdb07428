#!/usr/bin/env python3
"""The bird-vs-plane job in PyTorch, to be timed beside tern's.

usage: torch_job.py MODEL EPOCHS THREADS SEED L2 CIFAR_DIR [ORDER]

MODEL is net, width, dropout or batchnorm; ORDER is tanh-pool, as in the article, or pool-tanh, which computes the same
with a quarter of the tanh, as tern's models do.

Prints one line an epoch: its number, mean loss and seconds. The images lie in memory as float32 and a batch is one
gather, so that no time goes into decoding or worker processes.
"""
import sys
import time

import numpy as np
import torch
from torch import nn


def planes_and_birds(path):
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, 3073)
    records = records[np.isin(records[:, 0], (0, 2))]
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32)).float() / 255
    return images, torch.from_numpy((records[:, 0] == 2).astype(np.int64))


class Net(nn.Module):
    """All four of the article's models: two blocks of convolution, tanh and pooling, then two linear layers."""

    def __init__(self, channels=(16, 8), batchnorm=False, dropout=0.0, pool_first=False):
        super().__init__()
        layers, before = [], 3
        for after in channels:
            layers.append(nn.Conv2d(before, after, kernel_size=3, padding=1))
            if batchnorm:
                layers.append(nn.BatchNorm2d(after))
            layers += [nn.MaxPool2d(2), nn.Tanh()] if pool_first else [nn.Tanh(), nn.MaxPool2d(2)]
            if dropout:
                layers.append(nn.Dropout2d(dropout))
            before = after
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(before * 64, 32), nn.Tanh(), nn.Linear(32, 2))

    def forward(self, x):
        return self.classifier(self.features(x))


MODELS = {
    "net": {},
    "width": {"channels": (32, 16)},
    "dropout": {"channels": (32, 16), "dropout": 0.4},
    "batchnorm": {"channels": (32, 16), "batchnorm": True},
}


def main():
    name, epochs, threads, seed, l2, folder = sys.argv[1:7]
    order = sys.argv[7] if len(sys.argv) > 7 else "tanh-pool"
    torch.set_num_threads(int(threads))
    torch.manual_seed(int(seed))
    parts = [planes_and_birds(f"{folder}/data_batch_{i}.bin") for i in range(1, 6)]
    images, labels = (torch.cat(part) for part in zip(*parts))
    model = Net(**MODELS[name], pool_first=order == "pool-tanh")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    loss_fn = nn.CrossEntropyLoss()
    batches = len(images) // 64
    for epoch in range(1, int(epochs) + 1):
        start, total = time.perf_counter(), 0.0
        shuffled = torch.randperm(len(images))
        for batch in range(batches):
            index = shuffled[batch * 64:batch * 64 + 64]
            loss = loss_fn(model(images[index]), labels[index])
            if float(l2):
                loss = loss + float(l2) * sum(p.pow(2).sum() for p in model.parameters())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(epoch, total / batches, time.perf_counter() - start, flush=True)


main()
