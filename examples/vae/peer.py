#!/usr/bin/env python3
"""examples/vae in PyTorch: peer.py DATA [--epochs N] [--seed N]"""
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


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(64, 128)
        self.mean = nn.Linear(128, 8)
        self.log_variance = nn.Linear(128, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, x):
        h = F.relu(self.hidden(x.flatten(1)))
        m, v = self.mean(h), self.log_variance(h)
        return self.decoder(m + torch.exp(v / 2) * torch.randn_like(m)), m, v


def loss_of(y, x):
    logits, mean, log_variance = y
    pixels = F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="sum")
    code = -0.5 * torch.sum(1 + log_variance - mean.square() - log_variance.exp())
    return (pixels + code) / len(x)


torch.set_num_threads(1)
torch.manual_seed(args.seed)
table = torch.tensor([[float(cell) for cell in line.split(",")] for line in open(args.data)])
images = table[:, :64].reshape(-1, 1, 8, 8) / 16
train, test = TensorDataset(images[:-360]), images[-360:]

vae = Vae()
optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3)
loader = DataLoader(train, batch_size=32, shuffle=True)
for epoch in range(1, args.epochs + 1):
    total = 0
    for x, in loader:
        loss = loss_of(vae(x), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    with torch.no_grad():
        test_loss = loss_of(vae(test), test)
    print(f"epoch {epoch}, loss {total / len(loader):.3f}, test loss {test_loss:.3f}", flush=True)
