#!/usr/bin/env python3
"""Makes seeds and dictionaries for the fuzz targets.

usage: seeds.py FOLDER PROGRAM

FOLDER/TARGET/ gets files that are right and files that are wrong in one way, FOLDER/TARGET.dict the words of its format.
PROGRAM is birds_vs_planes, which makes a checkpoint. The same each time.
"""
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import zlib

tree = pathlib.Path(__file__).resolve().parents[2]
folder, program = pathlib.Path(sys.argv[1]), sys.argv[2]

# The run of fuzz_checkpoint.cpp.
RUN = ("train --recipe strong --model net --data synthetic:8 --epochs 2 --holdout 2 --batch-size 4 --threads 1 "
       "--num-workers 0").split()


def put(target, name, data):
    place = folder / target
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(data)


def words(target, all_words):
    escaped = ("".join(chr(b) if 32 <= b < 127 and chr(b) not in '\\"' else f"\\x{b:02x}" for b in word)
               for word in all_words)
    (folder / f"{target}.dict").write_text("".join(f'"{word}"\n' for word in escaped))


# Pictures: those of the tests that are small.
for path in sorted((tree / "tests/data/pictures").rglob("*")):
    if path.suffix in (".png", ".jpg", ".bmp") and path.stat().st_size <= 5000:
        for target in ("picture", "picture_stb"):
            put(target, "_".join(path.relative_to(tree / "tests/data/pictures").parts), path.read_bytes())
for target in ("picture", "picture_stb"):
    words(target, [b"\x89PNG\r\n\x1a\n", b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"eXIf", b"gAMA", b"BM",
                   b"Exif\0\0", b"II*\0", b"MM\0*", b"JFIF\0", b"Adobe\0"] +
          [bytes((0xff, marker)) for marker in (*range(0xc0, 0xcc), *range(0xd0, 0xe2), 0xee, 0xfe)])

# safetensors: each dtype, shapes with and without elements, metadata; and what the format forbids.
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
         "U8": 1, "BOOL": 1}


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, first, last):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


for dtype, size in SIZES.items():
    put("safetensors", dtype, safetensors({"x": entry(dtype, [2, 3], 0, 6 * size)}, bytes(range(1, 6 * size + 1))))
all_of_them, at = {"__metadata__": {"format": "pt", "a": "\u00e9\n"}}, 0
for dtype, size in SIZES.items():
    all_of_them["t." + dtype] = entry(dtype, [size], at, at + size * size)
    at += size * size
put("safetensors", "all", safetensors(all_of_them, bytes(at)))
put("safetensors", "nothing", safetensors({}))
put("safetensors", "no_elements", safetensors({"a": entry("F32", [0, 5], 0, 0), "b": entry("I64", [], 0, 8)}, bytes(8)))
put("safetensors", "field", safetensors({"a": {**entry("U8", [1], 0, 1), "more": [{"x": [None, True, -1, 1.5]}]}}, b"x"))
one = json.dumps(entry("U8", [1], 0, 1)).encode()
wrong = {
    "twice": b'{"a":' + one + b',"a":' + one + b"}",
    "field_twice": b'{"a":' + one[:-1] + b',"dtype":"U8"}}',
    "metadata_twice": b'{"__metadata__":{"a":"1","a":"2"},"x":' + one + b"}",
    "all_metadata_twice": b'{"__metadata__":{},"__metadata__":{},"x":' + one + b"}",
    "space_before": b' {"a":' + one + b"}",
    "nul_behind": b'{"a":' + one + b"}\0\0",
    "spaces_behind": b'{"a":' + one + b"}   ",
    "nested": b'{"a":' + one[:-1] + b',"more":' + b"[" * 101 + b"]" * 101 + b"}}",
    "arrays": b'{"a":' + one[:-1] + b',"more":[' + b"[]," * 500 + b"0]}}",
    "long_name": b'{"' + b"n" * 3000 + b'":' + one + b"}",
    "negative": b'{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}',
    "fraction": b'{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}',
    "huge": b'{"a":{"dtype":"F64","shape":[4611686018427387904,4],"data_offsets":[0,1]}}',
    "nine": b'{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}',
    "three_offsets": b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}',
    "no_dtype": b'{"a":{"shape":[1],"data_offsets":[0,1]}}',
    "other_dtype": b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}',
    "hole": b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
    "no_object": b'{"a":1}',
    "metadata_number": b'{"__metadata__":{"a":1}}',
    "no_json": b'{"a":tru}',
    "control": b'{"\\u001b[31m":' + one[:-1] + b',"dtype":1}}',
}
for name, header in wrong.items():
    put("safetensors", name, safetensors(header, b"xy" if name == "hole" else b"x"))
put("safetensors", "u64", safetensors({"x": entry("U64", [1], 0, 8)}, b"\xff" * 8))
put("safetensors", "short", b"\x08\0\0")
put("safetensors", "zeros", bytes(64))
put("safetensors", "length", struct.pack("<Q", 1 << 63) + b"{}")
JSON = [b'"dtype":"' + dtype.encode() + b'"' for dtype in SIZES] + [
    b'"shape":[', b'"data_offsets":[', b'"__metadata__":{', b'{"', b'":{', b'"},"', b"]}", b"[0,0]", b"null", b"true",
    b"-1", b"1e9", b"18446744073709551615", b"9223372036854775808", b"\\u0000", b"\\ud800"]
words("safetensors", JSON)

# Files of torch.save's: pickles, and archives; fuzz_torch.cpp says how.
def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def tensor(size, stride, offset=0, storage="FloatStorage", elements=6):
    numbers = lambda values: b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\nq\1((" + text("storage") + b"ctorch\n" + storage.encode() + b"\n" +
            text("0") + text("cpu") + b"K" + bytes([elements]) + b"tQK" + bytes([offset]) + numbers(size) +
            numbers(stride) + b"\x89ccollections\nOrderedDict\n)RtR")


def pickled(items):
    return b"\x80\x02}q\0(" + items + b"u."


def archive(entries):
    data, directory = b"", b""
    for name, content in entries:
        sums = struct.pack("<III", zlib.crc32(content), len(content), len(content))
        directory += (b"PK\1\2" + struct.pack("<HHHHI", 20, 20, 0, 0, 0) + sums +
                      struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, len(data)) + name)
        data += b"PK\3\4" + struct.pack("<HHHI", 20, 0, 0, 0) + sums + struct.pack("<HH", len(name), 0) + name + content
    return data + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory),
                                                     len(data), 0)


pickles = {
    "tensor": pickled(text("x") + tensor([2, 3], [3, 1])),
    "views": pickled(text("a") + tensor([3, 2], [1, 3]) + text("b") + tensor([2], [0], 1) + text("c") + tensor([], [])),
    "beyond": pickled(text("x") + tensor([7], [1])),
    "checkpoint": pickled(text("model") + b"}(" + text("w") + tensor([6], [1]) + b"u" + text("epoch") + b"K\3" +
                          text("lr") + b"G\x3f\xd0\0\0\0\0\0\0" + text("l") + b"](K\1M\1\1NeK\2a" + text("n") +
                          b"\x8a\2\xff\x80\x88\x86"),
    "parameter": pickled(text("x") + b"ctorch._utils\n_rebuild_parameter\n(" + tensor([6], [1]) +
                         b"\x88ccollections\nOrderedDict\n)RtR"),
    "ordered": b"\x80\x02ccollections\nOrderedDict\n)Rq\1" + text("_metadata") + b"Ns}" + text("v") + b"}sb.",
    "size": b"\x80\x02ctorch\nSize\n(K\1K\2t\x85R.",
    "system": b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R.",
    "itself": b"\x80\x02]q\1h\1a.",
    "laughs": b"\x80\x02]q\0" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
                                        for i in range(30)) + b".",
}
for storage in ("Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"):
    pickles[storage] = pickled(text("x") + tensor([1], [1], storage=storage + "Storage", elements=3))
for name, data in pickles.items():
    put("torch", name, b"\1" + data)
    put("torch", "archive_" + name, b"\0" + archive([(b"x/data.pkl", data), (b"x/data/0", bytes(24)), (b"x/version", b"3")]))
put("torch", "legacy", b"\0\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")
words("torch", [b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"data.pkl", b"x/data/0", b"\xff\xff\xff\xff",
                b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n", b"ctorch\nSize\n",
                b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", b"ctorch\nBoolStorage\n", b"\x80\x02", b"q\1",
                b"h\1", b"\x8a\x08", tensor([6], [1])])

# CIFAR-10: files that are right, a label that is not, other lengths, other classes; fuzz_cifar10.cpp says how.
for name, data in {"train": b"\0\0\0\0", "birds": b"\x08\0\0\0\x05\0\0\0\2\x06\0\0\0\1", "test": b"\1\0\0\0\x10\x27\0\0\2",
                   "packed": b"\2\0\0\0\1\0\0\0\2", "packed_test": b"\3\0\0\0\xf8\x2a\0\0\2", "label": b"\1\0\0\0\7\0\0\0\x0a",
                   "longer": b"\1\1\0\0", "shorter": b"\3\xff\xff\xff", "sums": b"\5\0\0\0", "packed_sums": b"\7\0\0\0",
                   "twice": b"\x21\0\0\0", "ten": b"\x29\0\0\0", "minus": b"\x31\0\0\0", "packed_nine": b"\x1b\0\0\0"}.items():
    put("cifar10", name, data)

# A checkpoint, whole and with one thing changed, and a log and weights of the same run.
with tempfile.TemporaryDirectory() as scratch:
    place = pathlib.Path(scratch)
    subprocess.run([program, *RUN, "--save", place / "net", "--log", place / "log.csv", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)
    log, header = (place / "log.csv").read_bytes(), {}
    for name in ("net", "net.checkpoint"):
        data = (place / name).read_bytes()
        header[name] = data[8:8 + struct.unpack("<Q", data[:8])[0]].strip()
checkpoint = header["net.checkpoint"]
for fill in (0, 0x3f, 0xff):
    put("checkpoint", f"whole_{fill:02x}", bytes([fill]) + checkpoint)
parsed = json.loads(checkpoint)
for key, value in parsed["__metadata__"].items():
    for change in ("", "-1", "99999999999999999999", "nan", value + "0"):
        changed = {**parsed, "__metadata__": {**parsed["__metadata__"], key: change}}
        put("checkpoint", f"{key}_{change}"[:100].replace("\n", ""), b"\0" + json.dumps(changed, separators=(",", ":")).encode())
for key in parsed:
    put("checkpoint", "without_" + key, b"\0" + json.dumps({k: v for k, v in parsed.items() if k != key}).encode())
weights = json.loads(header["net"])
room = max(e["data_offsets"][1] for k, e in parsed.items() if k != "__metadata__")
taken = max(e["data_offsets"][1] for k, e in weights.items() if k != "__metadata__")
weights["zz"] = entry("U8", [room - taken], taken, room)  # which the model does not know
put("checkpoint", "weights", b"\x3f" + json.dumps(weights, separators=(",", ":")).encode())
words("checkpoint", JSON + [f'"{key}":"'.encode() for key in parsed["__metadata__"]])

# Logs.
title = log.split(b"\n")[0] + b"\n"
for name, data in {"run": log, "title": title, "nothing": b"", "all": title + b"1,0.5,1e3,-0.1,0.25,1\n2,1,1,1,,\n",
                   "no_epoch": title + b"0,1,1,1,,\n", "nan": title + b"1,nan,1,1,,\n", "inf": title + b"1,1e999,1,1,,\n",
                   "five": title + b"1,1,1,1,\n", "half": title + b"1.5,1,1,1,,\n", "hex": title + b"0x1,0x1p-3,1,1,,\n",
                   "no_end": title + b"1,1,1,1,,", "huge": title + b"2147483647,1e308,1e-320,1,0,0\n",
                   "again": title + b"1,1,1,1,,\n1,2,2,2,,\n"}.items():
    put("log", name, data)
words("log", [title.strip(), b",,\n", b"1e308", b"-0", b"nan", b"inf", b"0x1p-1", b"2147483647"])

# Command lines, a word a line: the examples that the program gives, and each option with what it may and may not take.
source = (tree / "examples/birds_vs_planes/command_line.cpp").read_text()
examples = [line.split()[1:] for line in re.findall(r'"  (birds_vs_planes [^"]*?)(?:\\n)?"', source)]
options = sorted(set(re.findall(r'"(?:-\w,)?(--[a-z0-9-]+)"', source)))
commands = sorted(set(example[0] for example in examples)) + ["info", "compare"]
for i, example in enumerate(examples):
    put("command_line", f"example_{i}", "\n".join(example).encode())
values = ["0", "1", "2", "10", "32", "-1", "1e-3", "nan", "inf", "-inf", "1e400", "18446744073709551616", "4294967296", "",
          "net", "resstrong", "strong", "article", "cpu", "cuda:0", "cuda:99999999999", "auto", "train", "true", "synthetic:9"]
for option in options:
    for value in values:
        put("command_line", f"option_{option}_{value}",
            "\n".join(["train", "--save", "a", "--checkpoint", "b", option, value]).encode())
for command in commands:
    for rest in ("--help", "--nonsense", "-q\n--json", "--load\na\n--output\nb\nc", "1", "--\n-1"):
        put("command_line", f"{command}_{len(rest)}_{rest[2]if len(rest) > 2 else rest}", f"{command}\n{rest}".encode())
for name, text in {"nothing": "", "help": "--help", "word": "nonsense", "two": "info\nshow\n1", "config": "--config\n/dev/null"}.items():
    put("command_line", name, text.encode())
words("command_line", [option.encode() for option in options] + [c.encode() for c in commands] +
      [value.encode() for value in values if value] + [b"\n", b"=", b"--", b"-q"])

# Programs of ops: their bytes have no form; all ops stand in some of them.
draw = random.Random(0)
for i in range(200):
    put("programs", str(i), draw.randbytes(2 + 5 * draw.randint(1, 12)))
