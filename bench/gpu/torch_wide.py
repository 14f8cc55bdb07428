#!/usr/bin/env python3
"""What tensor cores are for, in PyTorch: wide convolutions, and training steps of a ResNet-18.

usage: torch_wide.py layers LAYER ... [--device cuda|cpu] [--small]
       torch_wide.py resnet18 [--device cuda|cpu] [--small]

A LAYER is as tern_cuda_bench names it: "128 of 64 -> 128, 32 x 32, filter 3, stride 2". Each is computed forward, by input
and by weight in TF32 and in bfloat16, as channels_last, by the algorithm that cuDNN finds fastest; calls on several sets of
tensors in turn are recorded as a CUDA graph, whose replays are timed by events. The ResNet-18's steps are those of
tern_cuda_resnet: batch 128, SGD, one graph, channels_last, in float32, TF32 and bfloat16 (autocast). One JSON object for
each. On the cpu, and with --small, little is done and the times say nothing.
"""
import argparse
import json
import pathlib
import re
import statistics
import sys
import time

import torch
from torch.nn import functional

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "source/examples/resnet18"), str(HERE.parent.parent / "examples/resnet18")]  # packed, or not
from model import ResNet18  # noqa: E402

PRECISIONS = {"float32": "highest", "tf32": "high", "bfloat16": "medium"}  # and what tern calls them of a convolution


def allow_tf32(allow):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allow


def recorded(function, device):
    """What runs the function again: as a CUDA graph, where there is one."""
    if device == "cpu":
        return function
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def milliseconds(run, device, times):
    """The median of a call's."""
    taken = []
    run()
    for _ in range(times):
        if device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            taken.append(start.elapsed_time(end))
        else:
            start = time.perf_counter()
            run()
            taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken)


def layer(text, precision, device, small):
    batch, before, after, size, _, filter_size, stride = map(int, re.findall(r"\d+", text))
    if small:
        batch = min(batch, 2)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    allow_tf32(precision != "float32")

    def drawn(*shape):
        return torch.randn(*shape, device=device).to(dtype).to(memory_format=torch.channels_last)

    def one_set():
        x, w = drawn(batch, before, size, size), drawn(after, before, filter_size, filter_size)
        dy = torch.randn_like(functional.conv2d(x, w, stride=stride, padding=filter_size // 2))
        return x, w, dy

    sets = [one_set()]
    if device == "cuda" and not small:
        bytes_of_set = sum(t.numel() * t.element_size() for t in sets[0])
        wanted = 3 * 50_000_000 // bytes_of_set  # H100's L2 cache three times
        sets += [one_set() for _ in range(min(wanted, 20))]
    rounds = 1 if device == "cpu" or small else max(1, 50 // len(sets))

    def backward(x, w, dy, mask):
        torch.ops.aten.convolution_backward(dy, x, w, None, [stride] * 2, [filter_size // 2] * 2, [1, 1], False, [0, 0], 1, mask)

    calls = {"conv2d": lambda x, w, dy: functional.conv2d(x, w, stride=stride, padding=filter_size // 2),
             "conv2d_backward_input": lambda x, w, dy: backward(x, w, dy, [True, False, False]),
             "conv2d_backward_weight": lambda x, w, dy: backward(x, w, dy, [False, True, False])}
    for name, call in calls.items():
        def all_sets(call=call):
            for _ in range(rounds):
                for tensors in sets:
                    call(*tensors)

        with torch.no_grad():
            ms = milliseconds(recorded(all_sets, device), device, 1 if small else 11) / (rounds * len(sets))
        print(json.dumps({"name": name, "shape": text, "by": "PyTorch", "precision": PRECISIONS[precision], "us": 1e3 * ms}),
              flush=True)


def resnet18(precision, device, small):
    batch, size, width, steps = (2, 16, 8, 1) if small else (128, 32, 64, 10)
    torch.manual_seed(7)
    allow_tf32(precision != "float32")
    model = ResNet18(width, torch.zeros(3), torch.ones(3)).to(device, memory_format=torch.channels_last)
    x = torch.randn(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    target = torch.randint(0, 10, (batch,), device=device)
    fused = {"fused": True} if device == "cuda" else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, **fused)
    loss_of_step = torch.zeros((), device=device)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
        loss_of_step.copy_(loss.detach())

    step()
    first = loss_of_step.item()
    run = recorded(step, device)

    def several():
        for _ in range(steps):
            run()

    ms = milliseconds(several, device, 1 if small else 9) / steps
    print(json.dumps({"name": "resnet18", "by": "PyTorch", "precision": precision, "batch": batch, "ms": ms,
                      "losses": [first, loss_of_step.item()]}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["layers", "resnet18"])
    parser.add_argument("layers", nargs="*", metavar="LAYER")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print(f"skipped: PyTorch {torch.__version__} sees no CUDA device")
        return 77
    torch.backends.cudnn.benchmark = True
    if options.what == "layers":
        jobs = [(layer, text, precision) for text in options.layers for precision in ("tf32", "bfloat16")]
    else:
        jobs = [(resnet18, precision) for precision in PRECISIONS]
    status = 0
    for job, *arguments in jobs:
        try:
            job(*arguments, options.device, options.small)
        except Exception as error:  # one that fails leaves the others
            print(json.dumps({"by": "PyTorch", "name": job.__name__, "arguments": arguments,
                              "error": (str(error).strip() or repr(error)).splitlines()[0]}), flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
