"""Refusals: errors that name an operation, what is wrong with it, the user's line, and what to write instead."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import torch

from ctrlnet.errors import UnsupportedOperation

OWN_FILES, TORCH_FILES = str(Path(__file__).parent), str(Path(torch.__file__).parent)

IN_PLACE = (
    "an operation in place, on the state or on what the function did not make, or with out=; build the result with "
    "torch.stack or torch.cat; of a module that writes its own buffers, such as spectral_norm, call .eval()"
)
CONSTANT = "of constants alone: compute it before, outside of the function, and use its numbers"
RANDOM = (
    "a random operation, such as dropout in training mode, or weights that a new module draws; call .eval(), build "
    "modules outside of the function, and draw nothing inside it"
)
FLOATS = "write floating-point numbers, as in torch.trunc(x) or torch.where(c, 1.0, 0.0)"
INTEGER = f"an integer made of the state; {FLOATS}"
TRUTHS = "arithmetic on truth values; write torch.where(c, 1.0, 0.0)"
COMPLEX = "complex numbers; write real and imaginary parts"
ALIAS = "a tensor made of the state's memory behind torch's back"
UNKNOWN = "a tensor that was never filled, or a place, a count or a code taken from the state"
PLACE = "an index taken from the state, or by sort or topk; max and sort give values, torch.where compares and chooses"
MASK = (
    "a mask made of the state picks a varying number of entries; write torch.where(mask, a, b), or y[mask] = v with "
    "one number v"
)
LEAVES = (
    "the state's number leaves torch: control flow, numpy or a Python number; write branch-free torch code of x, "
    "such as torch.where"
)
INSTEAD = {  # of operations that are asked for, and have no rule
    **dict.fromkeys(("argmax", "argmin", "searchsorted", "bucketize", "nonzero", "mode"), PLACE),
    **dict.fromkeys(("masked_select", "masked_scatter"), MASK),
    "_local_scalar_dense": LEAVES,
    "sinc": "a quotient without a value at zero; write a polynomial there, by torch.where",
    "_scaled_dot_product_flash_attention_for_cpu": "write softmax(Q @ K.mT / d ** 0.5, -1) @ V",
}
UNUSED = "a matrix is inverted, and the result not used: where it is singular an error decides"

ADVICE = (
    "Rewrite it with arithmetic, powers, sin, cos, atan2, exp, log and their kin, activations, abs, min, max, clamp, "
    "floor and remainder, torch.where and comparisons, sums, norms, sorted values, matrix products, small linear "
    "solves, stack, cat and indexing."
)


def refusal(func: Any, detail: str = "") -> UnsupportedOperation:
    """The error for one operation of the user's function."""
    overload = isinstance(func, torch._ops.OpOverload)
    name = str(func) if overload else f"Tensor.{func.__name__}"
    if overload and detail != CONSTANT:
        detail = INSTEAD.get(func.overloadpacket.__name__, detail)
    why = f" ({detail})" if detail else ""
    return UnsupportedOperation(f"No proof rule for the operation {name}{why}, used at {_users_line()}. {ADVICE}")


def _users_line() -> str:
    """The innermost line outside torch and this room."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith((OWN_FILES, TORCH_FILES)):
            return f"{frame.filename}:{frame.lineno} ({frame.line})"
    return "an unknown line"
