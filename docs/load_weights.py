#!/usr/bin/env python3
"""tern's weights in PyTorch and back: load_weights.py IN.safetensors OUT.safetensors copies one through a state_dict."""
import json
import sys

import torch

DTYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "U8": torch.uint8}


def load(path):
    """The file's tensors by name: model.load_state_dict(load(path))."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(data[slice(*x["data_offsets"])], dtype=DTYPES[x["dtype"]]).reshape(x["shape"])
            for name, x in header.items()}


def save(state, path):
    """Writes a state_dict so that tern's --load and load_safetensors read it."""
    names, header, data = {v: k for k, v in DTYPES.items()}, {"__metadata__": {"format": "pt"}}, b""
    for name, x in state.items():
        part = x.detach().cpu().contiguous().numpy().tobytes()
        header[name] = {"dtype": names[x.dtype], "shape": list(x.shape), "data_offsets": [len(data), len(data + part)]}
        data += part
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)


if __name__ == "__main__":
    save(load(sys.argv[1]), sys.argv[2])
