"""What tracing does not import: the first proof of a program should not wait for it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, torch
from ctrlnet import Box, ExponentialStability, certify

def V(x):
    return x[..., 0] ** 2 + x[..., 1] ** 2

verdict = certify(ExponentialStability(V, rate=1), lambda x: -x * (1 + torch.sin(x).abs()), Box([-1, -1], [1, 1]))
assert verdict.status == "certified", verdict
print(*(name for name in ("torch._dynamo", "sympy", "torch._inductor") if name in sys.modules))
"""


def test_a_proof_imports_neither_a_compiler_nor_an_algebra_system() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
