"""Operations on the tensors of a step, with as few passes over memory as torch allows."""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import torch
from torch import Tensor


def squares(tensors: list[Tensor]) -> list[Tensor]:
    """The squared Euclidean norm of each tensor; on a CPU by dot products, which take two thirds of a norm's time."""
    if tensors[0].is_cuda:
        found = torch._foreach_norm(tensors)
        return list(torch._foreach_mul(found, found))
    return [square(tensor) for tensor in tensors]


@cache
def least_root(dtype: torch.dtype) -> float:
    """The root of the smallest normal number, 1e-19 in float32: smaller numbers have a square of few digits or zero.

    As the ε of g/(√v + ε) it keeps that below about one where v underflows.
    """
    return sqrt(torch.finfo(dtype).tiny)


def count_steps(states: list[dict[str, Any]]) -> None:
    """Add one to the number of steps of each weight; a tensor 1, since torch makes one of a number for each of them."""
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, torch.ones((), device=steps[0].device), alpha=1)


def square(tensor: Tensor) -> Tensor:
    """The squared Euclidean norm, in at least single precision."""
    if tensor.dtype.itemsize < 4:  # half precision, whose largest number has no square
        wide: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float32)
        return wide.square_()
    flat = tensor.ravel()  # a view, where there is one
    return flat.dot(flat)
