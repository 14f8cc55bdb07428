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


def environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


def spread(ratios):
    """The least, the median and the largest."""
    return f"{min(ratios):.2f}, {statistics.median(ratios):.2f}, {max(ratios):.2f}"
