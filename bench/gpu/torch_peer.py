#!/usr/bin/env python3
"""The bird-vs-plane job in PyTorch, all of it on one device: what tern's is timed beside.

usage: torch_peer.py MODEL FILE [--device cuda|cpu] [--how eager|graph|compile ...] [--precision float32|tf32|bfloat16 ...]
                     [--epochs N] [--images N] [--seconds S] [--threads N] [--seed N]

MODEL is net, batchnorm or strong, as birds_vs_planes has them: the article's network; its batch normalisation with L2
0.001; the residual network of the strong recipe. FILE holds CIFAR-10's airplanes and birds (data/cifar10.hpp). For each
`how` and each precision (bfloat16 by autocast) the model is trained anew and one JSON object printed: seconds of each epoch, accuracies,
and seconds to get ready, in which graphs are recorded and code is compiled. Training ends after --epochs, or with the
epoch that passes --seconds. With --images no more than so many are read to train on, and to validate.

PyTorch is to be at its best: the images lie on the device as float32 and a batch is one gather; pooling comes before tanh,
which gives the same for a quarter of the work; SGD is fused where PyTorch has that; cuDNN tries its algorithms. With
`graph` a whole step, changes of the images and the optimiser included, is one CUDA graph, as with `compile`, which lets
torch.compile make the model's kernels.
"""
import argparse
import copy
import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional

BATCH, TRAIN, RECORD = 64, 10000, 3073


def read(path, most):
    """Images float32 [n, 3, 32, 32] in [0, 1] and labels, airplane 0 and bird 1: to train on, to validate."""
    with open(path, "rb") as file:
        records = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(-1, RECORD)
    parts = (part[:most] for part in (records[:TRAIN], records[TRAIN:]))
    return [(part[:, 1:].reshape(-1, 3, 32, 32).float() / 255, (part[:, 0] == 2).long()) for part in parts]


def article_net(channels, batchnorm):
    layers, before = [], 3
    for after in channels:
        layers.append(nn.Conv2d(before, after, kernel_size=3, padding=1))
        if batchnorm:
            layers.append(nn.BatchNorm2d(after))
        layers += [nn.MaxPool2d(2), nn.Tanh()]
        before = after
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * 64, 32), nn.Tanh(), nn.Linear(32, 2))


class ConvNorm(nn.Sequential):
    def __init__(self, before, after, scale=1.0):
        super().__init__(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))
        nn.init.normal_(self[0].weight, 0, math.sqrt(2 / (before * 9)))
        nn.init.constant_(self[1].weight, scale)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = ConvNorm(channels, channels), ConvNorm(channels, channels, 0)

    def forward(self, x):
        return torch.relu(self.second(torch.relu(self.first(x))) + x)


class Strong(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", mean.view(1, 3, 1, 1))
        self.register_buffer("std", std.view(1, 3, 1, 1))
        layers, before = [ConvNorm(3, 16), nn.ReLU()], 16
        for after in (32, 64, 128):
            layers += [ConvNorm(before, after), nn.MaxPool2d(2), nn.ReLU(), Residual(after)]
            before = after
        self.features, self.fc = nn.Sequential(*layers), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.features((x - self.mean) / self.std).mean((2, 3)))


def sgd(groups, **options):
    try:
        return torch.optim.SGD(groups, fused=True, **options)
    except (TypeError, RuntimeError):  # an older PyTorch, or a device that it does not fuse on
        return torch.optim.SGD(groups, **options)


class Job:
    """One training. `step` does one batch; with `on_device` all that differs between steps lies on the device."""

    def __init__(self, name, data, device, how, half, options):
        torch.manual_seed(options.seed)
        (self.images, self.labels), _ = data
        self.device, self.half, self.strong, self.on_device = device, half, name == "strong", how != "eager"
        self.batches = len(self.images) // BATCH
        if self.strong:
            model = Strong(self.images.mean((0, 2, 3)), self.images.std((0, 2, 3)))
        else:
            model = article_net((32, 16) if name == "batchnorm" else (16, 8), name == "batchnorm")
        self.model = model.to(device)
        self.forward = torch.compile(self.model) if how == "compile" else self.model
        self.loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1 if self.strong else 0)
        self.l2 = 0.001 if name == "batchnorm" else 0
        self.order = torch.zeros(len(self.images), dtype=torch.long, device=device)
        self.loss_sum = torch.zeros((), device=device)
        self.steps = 0
        self.count = torch.zeros(1, dtype=torch.long, device=device)  # the same on the device
        self.within = torch.arange(BATCH, device=device)
        if self.strong:
            self.prepare_strong(options.epochs * self.batches)
        else:
            self.optimizer = sgd(self.model.parameters(), lr=1e-2)

    def prepare_strong(self, steps):
        base, warmup = 0.05, int(0.1 * steps)
        cosine = [base * (1 + math.cos(math.pi * (i - warmup) / (steps - warmup))) / 2 for i in range(warmup, steps + 1)]
        self.lr = [base * (i + 1) / warmup for i in range(warmup)] + cosine
        self.keep = [min(0.998, (2 + i) / (11 + i)) for i in range(steps + 1)]
        lr = base
        if self.on_device:
            self.lr_table = torch.tensor(self.lr, device=self.device)
            self.change_table = 1 - torch.tensor(self.keep, device=self.device)
            lr = torch.tensor(base, device=self.device)
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        spared = [p for p in self.model.parameters() if p.dim() <= 1]
        self.optimizer = sgd([{"params": decayed, "weight_decay": 5e-4}, {"params": spared, "weight_decay": 0}], lr=lr,
                             momentum=0.9, nesterov=True)
        self.average = copy.deepcopy(self.model)
        self.current, self.averages = ([t.detach() for t in (*m.parameters(), *m.buffers()) if t.is_floating_point()]
                                       for m in (self.model, self.average))

    def batch(self):
        if self.on_device:
            index = self.order.index_select(0, self.count % self.batches * BATCH + self.within)
        else:
            first = self.steps % self.batches * BATCH
            index = self.order[first:first + BATCH]
        if not self.strong:
            return self.images.index_select(0, index), self.labels.index_select(0, index)
        place = torch.arange(32, device=self.device)
        moves = torch.randint(-4, 5, (2, BATCH, 1), device=self.device)
        rows, columns = 31 - (31 - (place - moves).abs()).abs()
        columns = torch.where(torch.rand(BATCH, 1, device=self.device) < 0.5, 31 - columns, columns)
        colours = torch.arange(3, device=self.device).view(1, 3, 1, 1)
        images = self.images[index.view(-1, 1, 1, 1), colours, rows.view(BATCH, 1, 32, 1), columns.view(BATCH, 1, 1, 32)]
        corner = torch.randint(-5, 27, (2, BATCH, 1), device=self.device)
        down, right = (place >= corner) & (place < corner + 10)
        grey = down.view(BATCH, 1, 32, 1) & right.view(BATCH, 1, 1, 32)
        return images.masked_fill(grey, 0.5), self.labels.index_select(0, index)

    def step(self):
        x, y = self.batch()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            loss = self.loss_fn(self.forward(x), y)
            if self.l2:
                loss = loss + self.l2 * sum(p.pow(2).sum() for p in self.model.parameters())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.strong:
            self.schedule()
        self.optimizer.step()
        if self.strong:
            self.update_average()
        self.loss_sum += loss.detach()
        self.steps += 1
        if self.on_device:
            self.count += 1

    def schedule(self):
        for group in self.optimizer.param_groups:
            if self.on_device:
                group["lr"].copy_(self.lr_table.index_select(0, self.count)[0])
            else:
                group["lr"] = self.lr[self.steps]

    def update_average(self):
        if self.on_device:
            change = torch._foreach_sub(self.current, self.averages)
            torch._foreach_mul_(change, self.change_table.index_select(0, self.count)[0])
            torch._foreach_add_(self.averages, change)
        else:
            keep = self.keep[self.steps]
            torch._foreach_mul_(self.averages, keep)
            torch._foreach_add_(self.averages, self.current, alpha=1 - keep)

    def changing(self):
        """All that a step changes but the momentum."""
        models = [self.model, self.average] if self.strong else [self.model]
        return [t.detach() for m in models for t in (*m.parameters(), *m.buffers())] + [self.count, self.loss_sum]

    def as_graph(self):
        """A replay of what `step` does, which has been undone."""
        before = [t.clone() for t in self.changing()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(4):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.step()
        for now, then in zip(self.changing(), before):
            now.copy_(then)
        for state in self.optimizer.state.values():
            if state.get("momentum_buffer") is not None:
                state["momentum_buffer"].zero_()
        torch.cuda.synchronize()
        return graph.replay

    def accuracy(self, images, labels):
        model = self.average if self.strong else self.model
        model.eval()
        right = 0
        with torch.no_grad():
            for i in range(0, len(images), 500):
                x = images[i:i + 500]
                p = functional.softmax(model(x)[:, :2], 1)
                if self.strong:
                    p = p + functional.softmax(model(x.flip(3))[:, :2], 1)
                right += int((p.argmax(1) == labels[i:i + 500]).sum())
        model.train()
        return right / len(images)


def train(name, data, device, how, half, options):
    start = time.perf_counter()
    job = Job(name, data, device, how, half, options)
    step = job.step if how == "eager" else job.as_graph()
    if device == "cuda":
        torch.cuda.synchronize()
    result = {"model": name, "how": how, "device": device, "ready_seconds": time.perf_counter() - start}
    seconds = []
    for _ in range(options.epochs):
        start = time.perf_counter()
        job.order.copy_(torch.randperm(len(job.images), device=device))
        job.loss_sum.zero_()
        for _ in range(job.batches):
            step()
        loss = job.loss_sum.item() / job.batches  # waits
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > options.seconds:
            break
    result.update(epochs=len(seconds), loss=loss, seconds=sum(seconds), epoch_seconds=seconds)
    result.update(train=job.accuracy(*data[0]), validation=job.accuracy(*data[1]))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=["net", "batchnorm", "strong"])
    parser.add_argument("file")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--how", nargs="+", choices=["eager", "graph", "compile"], default=["eager"])
    parser.add_argument("--precision", nargs="+", choices=["float32", "tf32", "bfloat16"], default=["float32"])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(f"skipped: PyTorch {torch.__version__} sees no CUDA device")
        return 77
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    data = [[t.to(options.device) for t in part] for part in read(options.file, options.images)]
    status = 0
    for how in options.how:
        for precision in options.precision:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
            try:
                result = train(options.model, data, options.device, how, precision == "bfloat16", options)
            except Exception as error:  # one way that fails leaves the others
                message = (str(error).strip() or repr(error)).splitlines()[0]
                result, status = {"model": options.model, "how": how, "device": options.device, "error": message}, 1
            print(json.dumps({**result, "precision": precision, "threads": options.threads, "torch": torch.__version__}), flush=True)
    return status


sys.exit(main())
