"""Torch functions of the state as numpy functions, evaluated without gradients in their own precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from ctrlnet.errors import ShapeError
from ctrlnet.mechanisms.twin import Array
from ctrlnet.types import Field, Margin

ArrayFunction: TypeAlias = Callable[[Array], Array]


def numpy_function(function: Field | Margin, tail: tuple[int, ...], name: str) -> ArrayFunction:
    """`function` on arrays of states, (batch, n) to (batch, *tail).

    A module is called in the precision of its weights and on their device, anything else in float64.

    Raises (at each call):
        ShapeError: the values do not have the shape (batch, *tail).
    """
    weight = next(function.parameters(), None) if isinstance(function, nn.Module) else None
    like = torch.empty(0, dtype=torch.float64) if weight is None else weight

    @torch.inference_mode()
    def on_arrays(x: Array) -> Array:
        values: Tensor = function(torch.from_numpy(x).to(like))
        if values.shape != (len(x), *tail):
            raise ShapeError(f"{name} maps {x.shape} to {tuple(values.shape)}; it must give {(len(x), *tail)}.")
        return values.to("cpu", torch.float64).numpy()

    return on_arrays


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch on one thread meanwhile, so that the cores are MuJoCo's.

    Torch's idle threads spin between calls: alternating with MuJoCo's on two busy cores they cost a factor of 20.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def as_states(x: Tensor | Array) -> Array:
    """States as a contiguous float64 array, (batch, n)."""
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    if array.ndim != 2:
        raise ShapeError(f"The states have shape {array.shape}; give one state a row, (batch, n).")
    return np.ascontiguousarray(array, dtype=np.float64)
