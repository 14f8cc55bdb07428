"""PyTorch's side of torch_parity_test.cpp.

usage: torch_parity.py [MODEL IN.safetensors OUT.safetensors] ...

IN holds the model's state_dict under "model." and a batch as "input" and "target". OUT gets the logits, the loss and
every parameter's gradient of that batch, and the state_dict after three steps of SGD on it.
"""
import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
from load_weights import load, save  # noqa: E402

CHANNELS = {"net": (16, 8), "width": (32, 16), "dropout": (32, 16), "batchnorm": (32, 16)}


class Net(nn.Module):
    """The article's models under the article's names. Dropout is left out: both sides compare in its absence."""

    def __init__(self, kind):
        super().__init__()
        first, second = CHANNELS[kind]
        self.conv1 = nn.Conv2d(3, first, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(first, second, kernel_size=3, padding=1)
        if kind == "batchnorm":
            self.conv1_batchnorm = nn.BatchNorm2d(first)
            self.conv2_batchnorm = nn.BatchNorm2d(second)
        else:
            self.conv1_batchnorm = self.conv2_batchnorm = None
        self.fc1 = nn.Linear(second * 8 * 8, 32)
        self.fc2 = nn.Linear(32, 2)

    def forward(self, x):
        for conv, norm in ((self.conv1, self.conv1_batchnorm), (self.conv2, self.conv2_batchnorm)):
            x = conv(x)
            x = norm(x) if norm else x
            x = F.max_pool2d(torch.tanh(x), 2)
        return self.fc2(torch.tanh(self.fc1(x.flatten(1))))


class ConvNorm(nn.Module):
    def __init__(self, before, after):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(after)

    def forward(self, x):
        return self.batch_norm(self.conv(x))


class ResBlock(ConvNorm):
    def forward(self, x):
        return torch.relu(super().forward(x)) + x


class DoubleResBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = ConvNorm(channels, channels), ConvNorm(channels, channels)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


class Deep(nn.Module):
    """NetDepth, and NetRes where there is a skip connection."""

    def __init__(self, skip):
        super().__init__()
        self.skip = skip
        self.conv1, self.conv2, self.conv3 = ConvNorm(3, 32), ConvNorm(32, 16), ConvNorm(16, 16)
        self.fc1, self.fc2 = nn.Linear(256, 32), nn.Linear(32, 2)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        out = torch.relu(self.conv3(x))
        x = F.max_pool2d(out + x if self.skip else out, 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class ResDeep(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, padding=1)
        self.resblocks = nn.Sequential(*(ResBlock(32, 32) for _ in range(10)))
        self.fc1, self.fc2 = nn.Linear(2048, 32), nn.Linear(32, 2)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(self.resblocks(x), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class ResStrong(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.fc = ConvNorm(3, 16), nn.Linear(128, 10)
        self.widen1, self.widen2, self.widen3 = ConvNorm(16, 32), ConvNorm(32, 64), ConvNorm(64, 128)
        self.block1, self.block2, self.block3 = DoubleResBlock(32), DoubleResBlock(64), DoubleResBlock(128)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for widen, block in ((self.widen1, self.block1), (self.widen2, self.block2), (self.widen3, self.block3)):
            x = block(F.max_pool2d(torch.relu(widen(x)), 2))
        x = self.fc(x.mean((2, 3)))
        return x if self.training else x[:, :2]


def make(kind):
    deep = {"depth": lambda: Deep(False), "res": lambda: Deep(True), "resdeep": ResDeep, "resstrong": ResStrong}
    return deep[kind]() if kind in deep else Net(kind)


def compare(kind, source, target):
    given = load(source)
    x, y = given.pop("input"), given.pop("target")
    model = make(kind).to(x.dtype)
    model.load_state_dict({name.removeprefix("model."): t for name, t in given.items()}, strict=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    result = {}
    for step in range(3):
        logits = model(x)
        loss = nn.CrossEntropyLoss()(logits, y)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            result.update(logits=logits, loss=loss)
            result.update({f"grad.{name}": p.grad.clone() for name, p in model.named_parameters()})
        optimizer.step()
    result.update({f"model.{name}": t for name, t in model.state_dict().items()})
    save(result, target)


for at in range(1, len(sys.argv), 3):
    compare(*sys.argv[at:at + 3])
