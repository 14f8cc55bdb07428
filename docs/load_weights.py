#!/usr/bin/env python3
"""tern's weights in PyTorch and back: load_weights.py IN.safetensors OUT.safetensors copies one through a state_dict."""
import json
import math
import sys

import torch

# The dtypes of the format that PyTorch 1.13 has, in the order of the format's own writer: widest first.
DTYPES = {"I64": torch.int64, "F64": torch.float64, "F32": torch.float32, "I32": torch.int32, "BF16": torch.bfloat16,
          "F16": torch.float16, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}


def unique(pairs):
    """A JSON object as a dict, where no name may be there twice."""
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name is there twice")
    return names


def tensors_of(header, data):
    """The tensors that the header describes, each its part of the data."""
    tensors, end = {}, 0
    for name, x in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        shape, (first, last) = x["shape"], x["data_offsets"]
        if x["dtype"] not in DTYPES:
            raise ValueError(f"{name!r} has the dtype {x['dtype']}, expected one of {' '.join(DTYPES)}")
        empty = torch.empty(0, dtype=DTYPES[x["dtype"]])
        if min(shape, default=0) < 0 or first != end or last - first != math.prod(shape) * empty.element_size():
            raise ValueError(f"{name!r} is bytes {first} to {last}, expected {shape} of {x['dtype']} from {end} on")
        if last > len(data):
            raise ValueError(f"{name!r} ends at byte {last} of {len(data)}")
        flat = torch.frombuffer(data, dtype=empty.dtype, count=math.prod(shape), offset=first) if last > first else empty
        tensors[name], end = flat.reshape(shape), last
    if end != len(data):
        raise ValueError(f"{len(data)} bytes of elements, expected {end}")
    return tensors


def load(path):
    """The file's tensors by name: model.load_state_dict(load(path)). A ValueError says what it cannot read."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= 100_000_000 else b""
        data = bytearray(file.read())
    try:
        if len(text) != length or not text.startswith(b"{"):
            raise ValueError("no whole header")
        header = json.loads(text.rstrip(b" "), object_pairs_hook=unique)
        header.pop("__metadata__", None)
        return tensors_of(header, data)
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"load {path}: {reason}, expected a safetensors file") from None


def save(state, path):
    """Writes a state_dict so that tern's --load and load_safetensors read it."""
    names, header, parts, end = {v: k for k, v in DTYPES.items()}, {"__metadata__": {"format": "pt"}}, [], 0
    for name, x in state.items():
        if x.dtype not in names:
            raise ValueError(f"save {path}: {name!r}: {x.dtype}, expected one of {' '.join(map(str, names))}")
    order = list(names)
    for name, x in sorted(state.items(), key=lambda item: (order.index(item[1].dtype), item[0])):
        flat = x.detach().cpu().clone(memory_format=torch.contiguous_format).reshape(-1)
        parts.append(flat.view(torch.uint8).numpy() if flat.numel() else b"")
        last = end + flat.numel() * flat.element_size()
        header[name] = {"dtype": names[x.dtype], "shape": list(x.shape), "data_offsets": [end, last]}
        end = last
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the elements are aligned
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for part in parts:
            file.write(part)


if __name__ == "__main__":
    save(load(sys.argv[1]), sys.argv[2])
