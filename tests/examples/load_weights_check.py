"""Checks docs/load_weights.py and leaves files for safetensors' own reader: load_weights_check.py FOLDER.

FOLDER/stored has a tensor of every dtype that PyTorch has, empty ones and one of no dimensions among them, as save()
writes it; FOLDER/converted the same as tern is to have them. Both are read back first.
"""
import json
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
from load_weights import DTYPES, load, save  # noqa: E402

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(0)


def same(a, b):
    assert a.keys() == b.keys(), (a.keys(), b.keys())
    for name, x in a.items():
        assert x.dtype == b[name].dtype and x.shape == b[name].shape and torch.equal(x, b[name]), name


def tern_dtype(dtype):
    if dtype.is_floating_point or dtype == torch.uint8:
        return dtype
    return torch.uint8 if dtype == torch.bool else torch.int64


state = {}
for name, dtype in DTYPES.items():
    state[f"{name}.matrix"] = (torch.randn(3, 5) * 50).abs().to(dtype).t()  # not contiguous
    state[f"{name}.number"] = torch.tensor(1).to(dtype)
    state[f"{name}.empty"] = torch.empty(2, 0, 3, dtype=dtype)
    if dtype.is_signed:
        state[f"{name}.negative"] = torch.tensor([-1, -100]).to(dtype)
save(state, folder / "stored")
same(load(folder / "stored"), state)
converted = {name: x.to(tern_dtype(x.dtype)) for name, x in state.items()}
save(converted, folder / "converted")
same(load(folder / "converted"), converted)
save({}, folder / "nothing")
same(load(folder / "nothing"), {})

length = int.from_bytes((folder / "stored").read_bytes()[:8], "little")
offsets = [x["data_offsets"] for n, x in json.loads((folder / "stored").read_bytes()[8:8 + length]).items() if n[0] != "_"]
assert length % 8 == 0 and offsets == sorted(offsets), "order"


def refused(content, message):
    """That load() says this, and what else it says of every file it cannot read."""
    (folder / "bad").write_bytes(content)
    try:
        load(folder / "bad")
    except ValueError as error:
        assert message in str(error) and str(error).startswith(f"load {folder / 'bad'}: "), error
        return
    raise AssertionError(f"{content!r} was read")


def file(header, data=b""):
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype="F32", shape="[2]", offsets="[0,8]"):
    return f'{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}'.encode()


good = file(entry(), bytes(8))
(folder / "good").write_bytes(good)
same(load(folder / "good"), {"x": torch.zeros(2)})
for n in range(len(good)):
    refused(good[:n], "expected a safetensors file")
refused(good + b"\0", "9 bytes of elements, expected 8")
refused(file(entry(dtype="F8_E4M3"), bytes(8)), "'x' has the dtype F8_E4M3, expected one of I64 F64")
refused(file(entry(shape="[3]"), bytes(8)), "'x' is bytes 0 to 8, expected [3] of F32 from 0 on")
refused(file(entry(shape="[-2]", offsets="[0,-8]"), bytes(8)), "'x' is bytes 0 to -8")
refused(file(entry(shape='["2"]'), bytes(8)), "")
refused(file(entry(offsets="[4,12]"), bytes(12)), "'x' is bytes 4 to 12")
refused(file(b'{"x":{"dtype":"F32","shape":[2]}}', bytes(8)), "no 'data_offsets'")
refused(file(b'{"x":3}'), "")
refused(file(b" " + entry(), bytes(8)), "no whole header")
refused(file(entry() + b"\0", bytes(8)), "Extra data")
refused(file(b"[]"), "no whole header")
refused(file(b"[" * 100_000), "no whole header")
refused(file(b'{"x":' * 100_000), "")
refused(file(entry()[:-1] + b"," + entry()[1:], bytes(8)), "a name is there twice")
try:
    save({"x": torch.zeros(2, dtype=torch.complex64)}, folder / "complex")
except ValueError as error:
    assert "'x': torch.complex64, expected one of torch.int64" in str(error), error
else:
    raise AssertionError("complex numbers were saved")
assert not (folder / "complex").exists()
