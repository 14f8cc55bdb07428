"""Writes with torch.save what the tests read: write_pt.py FOLDER SEED.

For each case CASE.pt, and CASE.safetensors of the same tensors by docs/load_weights.py, widened as load_safetensors does.
"""
import collections
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs"))
from load_weights import save

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(int(sys.argv[2]))


def case(name, value, tensors, **options):
    torch.save(value, folder / f"{name}.pt", **options)
    save({key: x.detach().contiguous().clone() for key, x in tensors.items()}, folder / f"{name}.safetensors")


net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(5, 2))
state = net.state_dict()
case("state_dict", state, state)
case("parameters", dict(net.named_parameters()), dict(net.named_parameters()))
case("checkpoint", {"model": state, "epoch": 3, "best": 0.25, "name": "größe", "done": True, "none": None,
                    "sizes": [1, (2, 3)], "shape": torch.Size([4, 5])},
     {"model." + key: x for key, x in state.items()})
optimizer = torch.optim.AdamW(net.parameters())
net[0](torch.randn(1, 3, 5, 5)).sum().backward()
optimizer.step()
case("optimizer", optimizer.state_dict(),
     {f"state.{i}.{key}": x for i, own in optimizer.state_dict()["state"].items() for key, x in own.items()})

dtypes = {str(d): torch.randint(-100, 100, (3, 4)).to(d)
          for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16,
                    torch.int8, torch.uint8, torch.bool)}
case("dtypes", dtypes, dtypes)

whole = torch.randn(4, 6)
views = {"whole": whole, "t": whole.t(), "part": whole[1:3, 2:5], "row": whole[2], "steps": whole[::2, 1::3],
         "one": whole[3, 5], "stretched": whole[:, :1].expand(4, 3), "image": torch.randn(2, 3, 4, 5).to(
             memory_format=torch.channels_last)}
case("views", views, views)
case("empty", {"a": torch.empty(0, 3), "b": torch.tensor(2.5), "c": torch.empty(2, 0)},
     {"a": torch.empty(0, 3), "b": torch.tensor(2.5), "c": torch.empty(2, 0)})
case("large", {"x": torch.randn(70000)}, {})
case("nothing", collections.OrderedDict(), {})
torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)
torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "script.bin"))
torch.save(net, folder / "module.bin")
torch.save({"x": torch.randn(2), "f": print}, folder / "function.bin")
torch.save(state, folder / "protocol4.bin", pickle_protocol=4)
