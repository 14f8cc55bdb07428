#!/usr/bin/env python3
"""examples/resnet18 in PyTorch: peer.py FOLDER [--epochs N] [--width N] [--images N] [--seed N]"""
import argparse

import numpy as np
import torch
from model import ResNet18
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--width", type=int, default=64)
parser.add_argument("--images", type=int, default=50000)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


def load(*names):
    records = np.concatenate([np.fromfile(f"{args.folder}/{name}.bin", dtype=np.uint8) for name in names])
    records = torch.from_numpy(records.reshape(-1, 3073))
    return records[:, 1:].reshape(-1, 3, 32, 32) / 255, records[:, 0].long()


def random_flip_and_shift(x, shift):
    n, size = len(x), x.size(-1)
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.5, x.flip(3), x)
    padded = F.pad(x, (shift,) * 4, mode="reflect")
    rows, columns = (torch.randint(0, 2 * shift + 1, (n, 1)) + torch.arange(size) for _ in range(2))
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


torch.set_num_threads(1)
torch.manual_seed(args.seed)
images, labels = load(*(f"data_batch_{i}" for i in range(1, 6)))
images, labels = images[:args.images], labels[:args.images]
test_images, test_labels = load("test_batch")

model = ResNet18(args.width, images.mean((0, 2, 3)), images.std((0, 2, 3), unbiased=False))
loader = DataLoader(TensorDataset(images, labels), batch_size=128, shuffle=True, drop_last=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=args.epochs * len(loader))
for epoch in range(1, args.epochs + 1):
    total = 0
    model.train()
    for x, y in loader:
        loss = F.cross_entropy(model(random_flip_and_shift(x, 4)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in zip(test_images.split(500), test_labels.split(500)):
            right += (model(x).argmax(1) == y).sum().item()
    print(f"epoch {epoch}, loss {total / len(loader):.4f}, test accuracy {right / len(test_images):.4f}", flush=True)
