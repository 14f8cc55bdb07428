"""What the scripts that time tern beside PyTorch share."""
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def python_with_torch():
    for python in (os.environ.get("TERN_PYTHON"), "/usr/bin/python3", "python3"):
        if python and subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0:
            return python
    sys.exit("bench: no python3 that can import torch, expected Debian's python3-torch (scripts/setup bench)")


def torch_version(python):
    return subprocess.run([python, "-c", "import torch; print(torch.__version__)"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def environment(threads, keep_memory=False):
    """What a program is started with. keep_memory has malloc keep what is freed, as tern's pool does, where it would
    give large blocks back and get them again page by page. It changes PyTorch's speed, which allocates by malloc."""
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    if keep_memory:
        variables |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    return variables


def add_keep_memory(parser):
    parser.add_argument("--keep-memory", action="store_true", help="have PyTorch's malloc keep what is freed")


def spread(ratios):
    """The least, the median and the largest."""
    return f"{min(ratios):.2f}, {statistics.median(ratios):.2f}, {max(ratios):.2f}"
