#!/usr/bin/env python3
"""examples/autoencoder in PyTorch: peer.py DATA [--epochs N] [--seed N]"""
import argparse

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(1)
torch.manual_seed(args.seed)
table = torch.tensor([[float(cell) for cell in line.split(",")] for line in open(args.data)])
images = table[:, :64].reshape(-1, 1, 8, 8) / 16
train, test = TensorDataset(images[:-360]), images[-360:]

encoder = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
    nn.Flatten(), nn.Linear(32 * 2 * 2, 8))
decoder = nn.Sequential(
    nn.Linear(8, 32 * 2 * 2), nn.ReLU(), nn.Unflatten(1, (32, 2, 2)),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1), nn.ReLU(),
    nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1), nn.Sigmoid())
net = nn.Sequential(encoder, decoder)
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
loader = DataLoader(train, batch_size=32, shuffle=True)
for epoch in range(1, args.epochs + 1):
    total = 0
    for x, in loader:
        loss = F.mse_loss(net(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    with torch.no_grad():
        error = F.mse_loss(net(test), test)
    print(f"epoch {epoch}, loss {total / len(loader):.5f}, test error {error:.5f}", flush=True)
