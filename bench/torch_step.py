#!/usr/bin/env python3
"""Times one configuration of a small convolutional net's training step: bench/scaling_step.cpp in PyTorch.

usage: torch_step.py BATCH WIDTH IMAGE_SIZE THREADS

Prints the median seconds of a step.
"""
import statistics
import sys
import time

import torch
from torch import nn


class SmallNet(nn.Module):
    """Two 3 x 3 convolutions, each with pooling and tanh, the mean over the image, and a linear layer."""

    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        half = torch.tanh(self.pool(self.conv1(x)))
        quarter = torch.tanh(self.pool(self.conv2(half)))
        return self.fc(quarter.mean((2, 3)))


def main():
    batch, width, size, threads = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    net = SmallNet(width)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    images = torch.rand(batch, 3, size, size)
    labels = torch.zeros(batch, dtype=torch.int64)
    seconds, start = [], time.perf_counter()
    while len(seconds) < 5 or (time.perf_counter() - start < 1 and len(seconds) < 1000):  # the first two warm up
        step_start = time.perf_counter()
        loss = nn.functional.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - step_start)
    print(statistics.median(seconds[2:]))


main()
