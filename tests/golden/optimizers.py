#!/usr/bin/env python3
"""Writes optimizers.json beside it: what torch.optim makes of parameters and gradients, in double.

Run with PyTorch 1.13 or later: python3 optimizers.py. Tensors are flat lists in row-major order.
"""

import json
import pathlib

import torch

torch.set_default_dtype(torch.float64)
torch.manual_seed(20260101)

SHAPES = [(3, 2), (4,), (2, 1, 2)]
STEPS = 6


def rand(*shape):
    """Normal numbers of three digits: the file stays small and the inputs are exact."""
    return torch.round(torch.randn(*shape) * 100) / 100


def run(kind, options):
    """One group for each dict of options. The last parameter of all lacks a gradient in every second step."""
    groups = [dict(params=[rand(*s).requires_grad_() for s in SHAPES], **o) for o in options]
    params = [p for g in groups for p in g["params"]]
    case = dict(kind=kind, options=options, shapes=SHAPES, start=[p.flatten().tolist() for p in params], steps=[])
    optimizer = getattr(torch.optim, kind)(groups, lr=0.1)
    for step in range(STEPS):
        for p in params:
            p.grad = rand(*p.shape)
        if step % 2 == 0:
            params[-1].grad = None
        optimizer.step()
        case["steps"].append(dict(
            grads=[None if p.grad is None else p.grad.flatten().tolist() for p in params],
            params=[p.flatten().tolist() for p in params]))
    return case


def schedule(kind, bases, **arguments):
    groups = [dict(params=[torch.zeros(1)], lr=lr) for lr in bases]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = getattr(torch.optim.lr_scheduler, kind)(optimizer, **arguments)
    rates = []
    for _ in range(25):
        rates.append([g["lr"] for g in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return dict(kind=kind, arguments=arguments, rates=rates)


sgd = [
    [dict(lr=0.1)],
    [dict(lr=0.1, weight_decay=0.05)],
    [dict(lr=0.1, momentum=0.9)],
    [dict(lr=0.1, momentum=0.9, dampening=0.3)],
    [dict(lr=0.1, momentum=0.9, nesterov=True)],
    [dict(lr=0.02, momentum=0.8, dampening=0.1, weight_decay=0.01)],
    [dict(lr=0.02, momentum=0.8, weight_decay=0.01, nesterov=True)],
    [dict(lr=0.1, momentum=0.9), dict(lr=0.01, weight_decay=0.1), dict(lr=0.0)],
]
adamw = [
    [dict(lr=0.001)],
    [dict(lr=0.1, weight_decay=0.0)],
    [dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)],
    [dict(lr=0.01), dict(lr=0.1, betas=(0.5, 0.6)), dict(lr=0.0)],
]
schedules = [
    schedule("StepLR", [0.1, 0.02], step_size=3),
    schedule("StepLR", [0.5], step_size=1, gamma=0.9),
    schedule("CosineAnnealingLR", [0.1, 0.02], T_max=10),
    schedule("CosineAnnealingLR", [0.1], T_max=24, eta_min=0.001),
]
cases = [run("SGD", o) for o in sgd] + [run("AdamW", o) for o in adamw]
lines = ['{"optimizers": [', ",\n".join(map(json.dumps, cases)), '], "schedules": [',
         ",\n".join(map(json.dumps, schedules)), "]}"]
pathlib.Path(__file__).with_suffix(".json").write_text("\n".join(lines) + "\n")
