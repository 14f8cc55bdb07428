#!/usr/bin/env python3
"""What PyTorch makes of the functions in tests/unary_cases.hpp: writes unary.json, and docs/from-pytorch.md anew.

Run with PyTorch 1.13 or later: python3 unary.py. A line of the file is one row's: values in double, where a function may
turn or overflow and at random places, and their gradient; and the same of integers, where PyTorch takes them. The random
numbers are keyed by the row's name, so that one row more changes no other's line.
"""

import json
import math
import pathlib
import re
import subprocess
import sys
import zlib

import torch
import torch.nn.functional as F

TESTS = pathlib.Path(__file__).resolve().parent.parent
NUMBER = r"(-?[\d.e-]+)"
ROW = re.compile(r'\{"([^"]+)",\s+\{UnaryOp::(\w+)[^}]*\},\s+\[\]\(T x\) \{ return (.*?); \},\s+"([^"]+)"'
                 rf"(?:,\s+{NUMBER},\s+{NUMBER})?")
EDGES = [math.nan, math.inf, -math.inf, 0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.5, -2.5, 20.0, -20.0, 50.0, -50.0,
         1e4, -1e4]
INTEGERS = {"int64": [-3, -2, -1, 0, 1, 2, 3, 100], "uint8": [0, 1, 2, 3, 200, 255]}


def plain(values):
    """JSON has no word for what is not finite."""
    return [v if math.isfinite(v) else str(v) for v in values.tolist()]


def case(name, expression, low, high):
    function = eval(f"lambda x: {expression}", {"torch": torch, "F": F})
    draws = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    rand = lambda low, high: (torch.rand(12, generator=draws) * (high - low) + low).mul(64).round().div(64).double()
    x = torch.cat([torch.tensor(EDGES, dtype=torch.float64), rand(low, high)]).requires_grad_()
    dy = torch.cat([rand(-2, 2), rand(-2, 2), rand(-2, 2)])[:len(x)]
    y = function(x)
    y.backward(dy)
    integers = {}
    for dtype, values in INTEGERS.items():
        try:
            result = function(torch.tensor(values, dtype=getattr(torch, dtype)))
            integers[dtype] = dict(x=values, dtype=str(result.dtype).removeprefix("torch."), y=plain(result))
        except RuntimeError:
            integers[dtype] = None
    return dict(name=name, x=plain(x), dy=plain(dy), y=plain(y), dx=plain(x.grad), integers=integers)


def main():
    rows = ROW.findall((TESTS / "unary_cases.hpp").read_text())
    lines = [json.dumps(case(name, torch_, float(low or -4), float(high or 4))) for name, _, _, torch_, low, high in rows]
    pathlib.Path(__file__).with_suffix(".json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    subprocess.run([sys.executable, TESTS / "torch" / "table.py"], check=True)


if __name__ == "__main__":
    main()
