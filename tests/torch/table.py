#!/usr/bin/env python3
"""Writes docs/from-pytorch.md from the rows in tests/torch/*_rows.cpp and tests/unary_cases.hpp, and from ABSENT below;
table.py --check says whether it is as it would be written."""
import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent
DOCS = TESTS.parents[1] / "docs" / "from-pytorch.md"

# What PyTorch has and tern has not, a name a line, and after a colon what to use instead. A name that has a row goes.
ABSENT = """
torch.float16, torch.bfloat16, torch.complex64, torch.bool: uint8 is what a comparison gives
torch.compile, torch.jit
torch.sparse
torch.linalg
torch.fft
nn.Conv1d, nn.Conv3d: Conv2d with a height of 1
nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_packed_sequence
nn.Transformer, nn.TransformerEncoderLayer: MultiheadAttention
nn.DataParallel, nn.parallel.DistributedDataParallel
torch.save, torch.load: save_safetensors, load_safetensors
"""

# The functions in tests/unary_cases.hpp whose PyTorch name the row's Python does not begin with.
PYTHON = {"-x": "torch.neg", "x**": "torch.pow"}

HEAD = """# From PyTorch to tern

What PyTorch calls so, and how tern says it of tensors `a`, `b`, ...: {same} names are the same in value, gradient, dtype
and shape, {differ} differ as said, {absent} are listed as absent. Each line but the absent ones is a row of
`tests/torch` or of `tests/unary_cases.hpp`, which python3-torch and tern evaluate on the same random inputs, on every
device, in float64 and float32. `tests/torch/table.py` makes this page from the rows.

Everywhere: there is no bool, a mask is uint8 of 0 and 1. Several sizes or dimensions are `{{2, 3}}`. What PyTorch takes by
keyword are fields: `{{.stride = 2}}`. All is in the namespace `tern`, that of `torch.nn` and `torch.nn.functional` too.
"""


def closing(text, at):
    """Where what opens at `at` closes."""
    depth = 0
    while True:
        raw = re.compile(r'R"(\w*)\(').match(text, at)
        if raw:
            at = text.index(f'){raw[1]}"', at) + len(raw[1]) + 2
        elif text.startswith("//", at):
            at = text.index("\n", at)
        elif text[at] in "\"'":
            quote = text[at]
            at += 1
            while text[at] != quote:
                at += 2 if text[at] == "\\" else 1
        elif text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
        if depth == 0:
            return at
        at += 1


def parts(text):
    """What stands between the commas of {...}."""
    result, begin, at = [], 1, 1
    while at < len(text) - 1:
        if text[at] == ",":
            result.append(text[begin:at])
            begin = at + 1
        elif text[at] in "([{\"'/R":
            at = closing(text, at)
        at += 1
    return [part.strip() for part in [*result, text[begin:-1]] if part.strip()]


def string(text):
    """The value of string literals side by side."""
    return "".join(eval(literal) for literal in re.findall(r'"(?:[^"\\]|\\.)*"', text))


def rows(path):
    """(family, name, tern's way, how it differs) of each row of a file."""
    text = path.read_text()
    for head in re.finditer(r"static const Rows (\w+)\{", text):
        begin = head.end() - 1
        for row in parts(text[begin:closing(text, begin) + 1]):
            fields = parts(row)
            options = dict(re.findall(r'\.(call|differs) = ((?:"(?:[^"\\]|\\.)*"\s*)+)', "".join(fields[4:])))
            body = re.fullmatch(r"\[\]\([^)]*\)\s*\{\s*return (.*);\s*\}", fields[2], re.S)
            call = string(options["call"]) if "call" in options else body and " ".join(body[1].split())
            name = string(fields[0])
            if not call or "; " in call:
                sys.exit(f"{path.name}: {name} is more than an expression, and says no .call")
            yield head[1].replace("_", " ").capitalize(), name, call, string(options.get("differs", ""))


def unary_rows():
    for ours, torchs in re.findall(r'UnaryOp::.*?\},\s+\[\]\(T x\) \{ return (.*?); \},\s+"([^"]+)"',
                                   (TESTS.parent / "unary_cases.hpp").read_text()):
        torch_name = next((v for k, v in PYTHON.items() if torchs.startswith(k)), torchs.split("(")[0])
        yield "Elementwise functions", torch_name, re.sub(r"\bx\b", "a", ours), ""


def page():
    families, verdicts = {}, {}
    found = [row for path in sorted(TESTS.glob("*_rows.cpp")) for row in rows(path)]
    for family, name, call, differs in [*unary_rows(), *found]:
        call = call.replace("|", "\\|")
        families.setdefault(family, []).append(f"| `{name}` | `{call}` | {differs or 'same'} |\n")
        verdicts.setdefault(name.split(",")[0], set()).add(bool(differs))
    lines, absent = "", 0
    for line in ABSENT.strip().split("\n"):
        names, _, instead = line.partition(":")
        for name in names.split(", "):
            if name in verdicts:
                sys.exit(f"{name} is listed as absent, and has a row")
        absent += len(names.split(", "))
        lines += f"- {', '.join(f'`{name}`' for name in names.split(', '))}{':' + instead if instead else ''}\n"
    same = sum(verdict == {False} for verdict in verdicts.values())
    text = HEAD.format(same=same, differ=len(verdicts) - same, absent=absent)
    for family, table in families.items():
        text += f"\n## {family}\n\n| PyTorch | tern | |\n| --- | --- | --- |\n" + "".join(table)
    return text + "\n## Absent\n\n" + lines


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if DOCS.read_text() == page() else "docs/from-pytorch.md: run tests/torch/table.py")
    DOCS.write_text(page())
