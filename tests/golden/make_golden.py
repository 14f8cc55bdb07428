#!/usr/bin/env python3
"""Writes the JSON files beside it: inputs, and what PyTorch makes of them in double.

Run with PyTorch 1.13 or later: python3 make_golden.py. Tensors are flat lists in row-major order. What is elementwise
is in unary.py.
"""

import itertools
import json
import pathlib
import zlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def rand(*shape):
    """Normal numbers of three digits: the files stay small and the inputs are exact."""
    return torch.round(torch.randn(*shape) * 100) / 100


def flat(values):
    return {k: v.detach().flatten().tolist() if isinstance(v, torch.Tensor) else v for k, v in values.items()}


def write(name, cases):
    path = pathlib.Path(__file__).with_name(name + ".json")
    path.write_text("[\n" + ",\n".join(json.dumps(flat(c)) for c in cases) + "\n]\n")


def conv2d():
    for shape in [
        dict(N=2, C=3, H=5, W=4, K=2, R=3, S=3),
        dict(N=1, C=2, H=5, W=6, K=3, R=3, S=2, pad_h=1, pad_w=2),
        dict(N=2, C=2, H=7, W=6, K=2, R=3, S=3, stride_h=2, stride_w=3, pad_h=1, pad_w=1),
        dict(N=1, C=2, H=7, W=8, K=2, R=3, S=2, dilation_h=2, dilation_w=3, pad_h=2),
        dict(N=2, C=4, H=4, W=5, K=6, R=2, S=3, groups=2, pad_w=1, stride_h=2),
        dict(N=1, C=3, H=6, W=6, K=6, R=3, S=3, groups=3, pad_h=2, pad_w=2, stride_w=2, dilation_h=2),
    ]:
        s = dict(stride_h=1, stride_w=1, pad_h=0, pad_w=0, dilation_h=1, dilation_w=1, groups=1) | shape
        x = rand(s["N"], s["C"], s["H"], s["W"]).requires_grad_()
        w = rand(s["K"], s["C"] // s["groups"], s["R"], s["S"]).requires_grad_()
        bias = rand(s["K"]).requires_grad_()
        y = F.conv2d(x, w, bias, (s["stride_h"], s["stride_w"]), (s["pad_h"], s["pad_w"]),
                     (s["dilation_h"], s["dilation_w"]), s["groups"])
        dy = rand(*y.shape)
        y.backward(dy)
        yield dict(shape=s, x=x, w=w, bias=bias, dy=dy, y=y, dx=x.grad, dw=w.grad, dbias=bias.grad)


def pool2d():
    for shape in [
        dict(N=2, C=2, H=4, W=6, R=2, S=2, stride_h=2, stride_w=2),
        dict(N=1, C=2, H=6, W=5, R=3, S=3, stride_h=2, stride_w=1, pad_h=1, pad_w=1),
        dict(N=1, C=1, H=7, W=9, R=2, S=3, stride_h=3, stride_w=5, pad_h=1),
        dict(N=2, C=1, H=5, W=5, R=4, S=5, stride_h=1, stride_w=1, pad_h=2, pad_w=2),
    ]:
        s = dict(pad_h=0, pad_w=0) | shape
        window, stride, pad = (s["R"], s["S"]), (s["stride_h"], s["stride_w"]), (s["pad_h"], s["pad_w"])
        x = torch.round(rand(s["N"], s["C"], s["H"], s["W"]) * 2) / 2  # coarse, for the sake of ties
        x.requires_grad_()
        y_max, indices = F.max_pool2d(x, window, stride, pad, return_indices=True)
        dy = rand(*y_max.shape)
        (dx_max,) = torch.autograd.grad(y_max, x, dy)
        y_avg = F.avg_pool2d(x, window, stride, pad)
        (dx_avg,) = torch.autograd.grad(y_avg, x, dy)
        yield dict(shape=s, x=x, dy=dy, y_max=y_max, indices=indices, dx_max=dx_max, y_avg=y_avg, dx_avg=dx_avg)


def batch_norm2d():
    for (n, c, h, w), momentum, eps, affine in [
        ((3, 2, 2, 3), 0.1, 1e-5, True),
        ((2, 3, 2, 1), 0.3, 1e-3, True),
        ((1, 2, 3, 4), 0.1, 1e-5, False),
    ]:
        x, dy = (rand(n, c, h, w) * 3 + 1).requires_grad_(), rand(n, c, h, w)
        weight, bias = (rand(c).requires_grad_(), rand(c).requires_grad_()) if affine else (None, None)
        running_mean, running_var = rand(c), rand(c).abs() + 0.5
        inputs = [x] + ([weight, bias] if affine else [])
        case = dict(shape=dict(N=n, C=c, HW=h * w, eps=eps), momentum=momentum, x=x, dy=dy,
                    running_mean=running_mean.clone(), running_var=running_var.clone())
        if affine:
            case |= dict(weight=weight, bias=bias)
        for mode, training in [("eval", False), ("train", True)]:
            y = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
            grads = torch.autograd.grad(y, inputs, dy)
            case |= {mode: flat(dict(zip(["y", "dx", "dweight", "dbias"], [y, *grads])))}
        case |= dict(new_running_mean=running_mean, new_running_var=running_var)
        yield case


def cross_entropy():
    n, c = 5, 4
    logits, weight, dloss = rand(n, c) * 3, rand(c).abs() + 0.2, rand(n)
    for reduction, weighted, smoothing, ignore_index in itertools.product(
            ["none", "mean", "sum"], [False, True], [0.0, 0.1, 1.0], [-100, 2]):
        z = logits.clone().requires_grad_()
        target = torch.tensor([1, 2, ignore_index, 0, 3])
        loss = F.cross_entropy(z, target, weight if weighted else None, ignore_index=ignore_index,
                               reduction=reduction, label_smoothing=smoothing)
        seed = dloss if reduction == "none" else dloss[0]
        loss.backward(seed)
        case = dict(N=n, C=c, reduction=reduction, label_smoothing=smoothing, ignore_index=ignore_index,
                    logits=z, target=target, dloss=seed, loss=loss, dlogits=z.grad)
        yield case | (dict(weight=weight) if weighted else {})


def matmul():
    for batch, m, n, k in [(1, 3, 4, 5), (2, 4, 1, 3), (3, 1, 2, 2)]:
        a, b = rand(batch, m, k), rand(batch, k, n)
        yield dict(batch=batch, m=m, n=n, k=k, a=a, b=b, a_transposed=a.transpose(1, 2), b_transposed=b.transpose(1, 2),
                   y=a @ b)


def optimiser(kind, settings):
    """Five steps of two parameters: the gradients given, and the parameters after each step."""
    params = [rand(3).requires_grad_(), rand(2, 2).requires_grad_()]
    start, grads, after = [p.detach().flatten().tolist() for p in params], [], []
    optim = kind(params, **settings)
    for _ in range(5):
        for p in params:
            p.grad = rand(*p.shape)
        grads.append([p.grad.flatten().tolist() for p in params])
        optim.step()
        after.append([p.detach().flatten().tolist() for p in params])
    return settings | dict(start=start, grads=grads, after=after)


def sgd():
    for settings in [
        dict(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False),
        dict(lr=0.1, momentum=0.0, dampening=0.0, weight_decay=0.05, nesterov=False),
        dict(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov=False),
        dict(lr=0.03, momentum=0.8, dampening=0.4, weight_decay=0.01, nesterov=False),
        dict(lr=0.1, momentum=0.9, dampening=0.0, weight_decay=0.1, nesterov=True),
    ]:
        yield optimiser(torch.optim.SGD, settings)


def adamw():
    for settings in [
        dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
        dict(lr=0.1, betas=(0.5, 0.7), eps=1e-2, weight_decay=0.0),
        dict(lr=0.02, betas=(0.8, 0.99), eps=1e-8, weight_decay=0.5),
    ]:
        yield optimiser(torch.optim.AdamW, settings)


def philox4x32_10(counter, key):
    """Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def philox():
    # The known answers that Random123 publishes for philox4x32 of 10 rounds; two of them set all four counter words.
    ones = 0xFFFFFFFF
    assert philox4x32_10((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox4x32_10((ones,) * 4, (ones,) * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    assert philox4x32_10((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0)) == [
        0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
    for seed, counter in [(0, 0), (0, 1), (1, 0), (2**64 - 1, 2**64 - 1), (0x299F31D0A4093822, 0x85A308D3243F6A88),
                          (2**32, 2**32), (20260101, 2**32 - 1), (20260101, 2**32)]:
        words = philox4x32_10((counter % 2**32, counter >> 32, 0, 0), (seed % 2**32, seed >> 32))
        yield dict(seed=seed, counter=counter, words=words)


def conv2d_max_pool2d():
    for shape in [
        dict(N=2, C=3, H=8, W=6, K=2, R=3, S=3, pad_h=1, pad_w=1, window=(2, 2), activation="tanh"),
        dict(N=1, C=2, H=9, W=8, K=4, R=3, S=2, stride_h=1, stride_w=2, groups=2, window=(3, 2), activation="relu"),
        dict(N=2, C=2, H=7, W=8, K=3, R=2, S=3, pad_w=2, dilation_h=2, window=(1, 4), activation="none"),
        dict(N=1, C=3, H=5, W=5, K=2, R=3, S=3, window=(1, 1), activation="tanh"),
    ]:
        s = dict(stride_h=1, stride_w=1, pad_h=0, pad_w=0, dilation_h=1, dilation_w=1, groups=1) | shape
        x = rand(s["N"], s["C"], s["H"], s["W"]).requires_grad_()
        w = rand(s["K"], s["C"] // s["groups"], s["R"], s["S"]).requires_grad_()
        bias = rand(s["K"]).requires_grad_()
        z = F.conv2d(x, w, bias, (s["stride_h"], s["stride_w"]), (s["pad_h"], s["pad_w"]),
                     (s["dilation_h"], s["dilation_w"]), s["groups"])
        pooled, indices = F.max_pool2d(z, s["window"], return_indices=True)
        y = dict(tanh=torch.tanh, relu=torch.relu, none=lambda v: v)[s["activation"]](pooled)
        dy = rand(*y.shape)
        y.backward(dy)
        down, along = indices // z.shape[3] % s["window"][0], indices % z.shape[3] % s["window"][1]
        yield dict(shape=s, x=x, w=w, bias=bias, dy=dy, y=y, picked=down * s["window"][1] + along, dx=x.grad, dw=w.grad,
                   dbias=bias.grad)


if __name__ == "__main__":
    for family in [conv2d, pool2d, batch_norm2d, cross_entropy, matmul, sgd, adamw, philox, conv2d_max_pool2d]:
        torch.manual_seed(zlib.crc32(family.__name__.encode()))  # one family more changes no other
        write(family.__name__, family())
