"""Operations on the tensors of a step, with as few passes over memory as torch allows."""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor


def squares(tensors: list[Tensor]) -> list[Tensor]:
    """The squared Euclidean norm of each tensor, a tensor; nobody waits for the device."""
    if tensors[0].is_cuda:
        found = torch._foreach_norm(tensors)
        return list(torch._foreach_mul(found, found))
    return [square(tensor) for tensor in tensors]


def squared_norm(tensor: Tensor) -> float:
    """The squared Euclidean norm as a number; on a CPU NumPy's dot product, which takes half the time of torch's."""
    if tensor.is_cpu and tensor.dtype.itemsize >= 4:
        entries = tensor.numpy(force=True).ravel("K")  # a view, where there is one
        return float(np.vdot(entries, entries))
    return float(square(tensor))


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


def total_of(measures: list[Any]) -> Any:
    """The sum over all measures: a float, or where one is on a CUDA device a tensor there, not read."""
    device = next((m.device for m in measures if isinstance(m, Tensor) and m.is_cuda), None)
    if device is None:
        return sum(m if type(m) is float else float(m.sum()) for m in measures)
    tensors = (m if isinstance(m, Tensor) else torch.tensor(m, dtype=torch.float64) for m in measures)
    return torch.cat([tensor.reshape(-1).to(device) for tensor in tensors]).sum()
