"""PyTorch's side of rows.cpp: evaluate.py JOBS.json IN.safetensors OUT.safetensors

A job is {"python", "inputs": [kind, ...], "gradient"}. IN has job 3's second input as "3.1"; OUT gets its first
output as "3.y0", the second input's gradient as "3.g1", as "3.requires_grad" a byte an output, or as "3.error" the
message of what it threw.
"""
import json
import math
import pathlib
import re
import sys
import warnings

import torch
import torch.utils.data
from torch import nn, optim
from torch.nn import functional as F, init, utils
from torch.optim import lr_scheduler

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
from load_weights import load, save  # noqa: E402


def with_state(module, **state):
    """The module with these tensors in place of its parameters and buffers: names with dots written as "__"."""
    for name, x in state.items():
        *path, last = name.split("__")
        owner = module
        for part in path:
            owner = getattr(owner, part)
        if last in owner._parameters:
            del owner._parameters[last]
            setattr(owner, last, x)
        else:
            owner._buffers[last] = x
    return module


def filled(module, like):
    """The module in like's dtype, in evaluation, with 0.5 sin(0.7 j + i) for element j of its i-th parameter."""
    module = module.to(like.dtype).eval()
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_((torch.arange(p.numel(), dtype=torch.float64) * 0.7 + i).sin().reshape(p.shape) * 0.5)
    return module


def parameter_gradients(module, call):
    """The gradients of the sum of what call(module) gives by the module's parameters."""
    return list(torch.autograd.grad(call(module).sum(), list(module.parameters())))


def stepped(make, factors, *parameters):
    """The parameters after a step by each factor: the gradient of the parameter p is factor * cos(p)."""
    parameters = [nn.Parameter(p.detach().clone()) for p in parameters]
    optimizer = make(parameters)
    for factor in factors:
        for p in parameters:
            p.grad = factor * p.detach().cos()
        optimizer.step()
    return parameters


class NAdam(optim.Optimizer):
    """torch.optim.NAdam as it is since PyTorch 2.0: before, the product of the momenta had the last one twice."""

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "momentum_decay": momentum_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                state = self.state[p]
                t = state["step"] = state.get("step", 0) + 1
                mu, mu_next = (beta1 * (1 - 0.96 ** (i * group["momentum_decay"]) / 2) for i in (t, t + 1))
                product = state["product"] = state.get("product", 1) * mu
                g = p.grad + group["weight_decay"] * p
                m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
                v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
                m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
                p -= group["lr"] * m_hat / ((v / (1 - beta2 ** t)).sqrt() + group["eps"])


def rates(make_schedule, steps, lr=0.5, make=lambda p, lr: optim.SGD(p, lr=lr)):
    """The learning rates of this many steps and what follows them."""
    optimizer = make([nn.Parameter(torch.zeros(1))], lr)
    schedule = make_schedule(optimizer)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return result + [optimizer.param_groups[0]["lr"]]


def small():
    return nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.BatchNorm2d(2), nn.Tanh()))


def listed(named):
    """The names and shapes of these, a line each."""
    return "".join(f"{name} {list(x.shape)}\n" for name, x in named)


def tensors_of(y):
    if isinstance(y, torch.Tensor):
        return [y.to(torch.uint8) if y.dtype == torch.bool else y]
    if isinstance(y, bool):
        return [torch.tensor(y, dtype=torch.uint8)]
    if isinstance(y, int):
        return [torch.tensor(y)]
    if isinstance(y, float):
        return [torch.tensor(y, dtype=torch.float64)]
    if isinstance(y, torch.dtype):
        y = str(y).removeprefix("torch.")
    if isinstance(y, str):
        return [torch.tensor(list(y.encode()), dtype=torch.uint8)]
    if isinstance(y, torch.Size) or (isinstance(y, list) and all(type(v) is int for v in y)):
        return [torch.tensor(list(y), dtype=torch.int64)]
    if isinstance(y, list) and all(type(v) is float for v in y):
        return [torch.tensor(y, dtype=torch.float64)]
    return [x for part in y for x in tensors_of(part)]


def slopes(y, output):
    """What output number `output` is multiplied with before the sum whose gradient is taken: rows.cpp has the same."""
    i = torch.arange(y.numel())
    return (((i + output) * 40503 + 9973) % 65536 / 32768 - 1).to(y.dtype).reshape(y.shape)


CODE = {}


def function(python):
    if python not in CODE:
        text = python if re.search(r"\breturn\b", python) else "return " + python
        lines = text.strip("\n").split("\n")
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        body = "\n".join("  " + line[indent:] for line in lines)
        names = dict(globals())
        exec(f"def row(a=None, b=None, c=None, d=None, e=None, f=None, g=None, h=None):\n{body}\n", names)
        CODE[python] = names["row"]
    return CODE[python]


def evaluate(job, inputs):
    gradient = job["gradient"]
    leaves = [x.requires_grad_(gradient and x.is_floating_point()) for x in inputs]
    y = tensors_of(function(job["python"])(*leaves))
    result = {f"y{k}": v.detach().clone() for k, v in enumerate(y)}
    result["requires_grad"] = torch.tensor([v.requires_grad for v in y], dtype=torch.uint8)
    total = [(v * slopes(v, k)).sum() for k, v in enumerate(y) if v.requires_grad]
    wanted = [i for i, x in enumerate(leaves) if x.requires_grad]
    if gradient and total and wanted:
        gradients = torch.autograd.grad(sum(total), [leaves[i] for i in wanted], allow_unused=True)
        result.update({f"g{i}": g for i, g in zip(wanted, gradients) if g is not None})
    return result


def main(jobs, source, target):
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    given, result = load(source), {}
    for number, job in enumerate(json.loads(pathlib.Path(jobs).read_text())):
        inputs = [given[f"{number}.{i}"].clone() for i in range(len(job["inputs"]))]
        inputs = [x.bool() if kind == "mask" else x for x, kind in zip(inputs, job["inputs"])]
        try:
            result.update({f"{number}.{name}": x for name, x in evaluate(job, inputs).items()})
        except Exception as error:  # whatever it is, it is for the row to show
            message = f"{type(error).__name__}: {error}"
            result[f"{number}.error"] = torch.tensor(list(message.encode()), dtype=torch.uint8)
    save(result, target)


main(*sys.argv[1:])
