#!/usr/bin/env python3
"""examples/digits in PyTorch: peer.py DATA [--epochs N] [--seed N]"""
import argparse

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(args.seed)
table = torch.tensor([[float(cell) for cell in line.split(",")] for line in open(args.data)])
images, labels = table[:, :64].reshape(-1, 1, 8, 8) / 16, table[:, 64].long()
train, test = TensorDataset(images[:-360], labels[:-360]), TensorDataset(images[-360:], labels[-360:])

net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(32 * 2 * 2, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
loader = DataLoader(train, batch_size=32, shuffle=True)
for epoch in range(1, args.epochs + 1):
    total = 0
    net.train()
    for x, y in loader:
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    net.eval()
    with torch.no_grad():
        accuracy = (net(test.tensors[0]).argmax(1) == test.tensors[1]).float().mean()
    print(f"epoch {epoch}, loss {total / len(loader):.4f}, test accuracy {accuracy:.4f}", flush=True)
