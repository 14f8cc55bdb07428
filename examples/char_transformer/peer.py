#!/usr/bin/env python3
"""examples/char_transformer in PyTorch: peer.py [--text FILE] [--steps N] [--seed N]"""
import argparse

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

LENGTH, WIDTH = 64, 64

parser = argparse.ArgumentParser()
parser.add_argument("--text", default="/usr/share/common-licenses/GPL-3")
parser.add_argument("--steps", type=int, default=600)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


class Pieces(Dataset):
    def __init__(self, text):
        self.text = text

    def __len__(self):
        return len(self.text) - LENGTH

    def __getitem__(self, i):
        return self.text[i:i + LENGTH], self.text[i + 1:i + LENGTH + 1]


class Transformer(nn.Module):
    def __init__(self, characters):
        super().__init__()
        self.embedding = nn.Embedding(characters, WIDTH)
        self.position = nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH))
        self.head = nn.Linear(WIDTH, characters)

    def forward(self, x):
        n = x.size(1)
        later = torch.ones(n, n, dtype=torch.bool).triu(1)
        return self.head(self.encoder(self.embedding(x) + self.position(torch.arange(n)), later))


def loss_of(logits, following):
    return F.cross_entropy(logits.flatten(0, 1), following.flatten())


torch.set_num_threads(1)
torch.manual_seed(args.seed)
raw = np.fromfile(args.text, dtype=np.uint8)
characters, text = torch.unique(torch.from_numpy(raw), return_inverse=True)
train, test = text[:len(text) * 9 // 10], text[len(text) * 9 // 10:]
cut = (len(test) - 1) // LENGTH

model = Transformer(len(characters))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
loader = DataLoader(Pieces(train), batch_size=32, shuffle=True, drop_last=True)
step, total = 0, 0
while step < args.steps:
    for x, y in loader:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        total += loss.item()
        step += 1
        if step % 100 == 0 or step == args.steps:
            model.eval()
            with torch.no_grad():
                test_loss = loss_of(model(test[:cut * LENGTH].reshape(cut, LENGTH)),
                                    test[1:cut * LENGTH + 1].reshape(cut, LENGTH))
            model.train()
            print(f"step {step}, loss {total / ((step - 1) % 100 + 1):.4f}, test loss {test_loss:.4f}", flush=True)
            total = 0
        if step == args.steps:
            break
