"""A weight tensor as matrices: which ones they are, how large they ought to be, and how to draw them."""

from __future__ import annotations

from functools import cache
from math import prod, sqrt

import torch
from torch import Tensor

from ctrlnet_plugins.optimizers.passes import square

PRECISE = (torch.float32, torch.float64)  # dtypes in which gradients can be squared and summed


@cache
def scale(shape: torch.Size) -> float:
    """s = √(d_out / d_in), the operator norm that keeps a signal's size per coordinate.

    A convolution (d_out, d_in, k_1, ...) has a matrix for each of its ∏ k_i places, each with
    s = √(d_out / d_in / ∏ k_i); a vector of length d is a matrix (d, 1).
    """
    outputs, inputs, *kernel = (*shape, 1, 1)[: max(len(shape), 2)]
    return sqrt(outputs / inputs / prod(kernel)) if prod(shape) else 0.0


@cache
def rank(shape: torch.Size) -> int:
    """The largest rank that a matrix of the tensor can have."""
    outputs, inputs = (*map(int, shape), 1, 1)[:2]
    return min(outputs, inputs)


def places(shape: torch.Size) -> int:
    """The number of matrices in a tensor: one, or one for each place of a convolution's kernel."""
    return prod(shape[2:])


def matrices(tensor: Tensor) -> Tensor:
    """The tensor as (..., d_out, d_in), a view: the places of a kernel come first, a vector is a column."""
    if tensor.ndim > 2:
        return tensor.movedim((0, 1), (-2, -1))
    return tensor if tensor.ndim == 2 else tensor.reshape(-1, 1)


def like(batch: Tensor, tensor: Tensor) -> Tensor:
    """The inverse of `matrices`, for a batch of matrices that belongs to `tensor`."""
    return batch.movedim((-2, -1), (0, 1)) if tensor.ndim > 2 else batch.reshape(tensor.shape)


def squares(tensor: Tensor) -> Tensor:
    """Squared Frobenius norms of the matrices of a tensor, broadcastable against it, in at least single precision."""
    if tensor.ndim <= 2:
        return square(tensor)
    found: Tensor = torch.linalg.vector_norm(tensor, dtype=wide(tensor), dim=(0, 1), keepdim=True)
    return found.square_()


def spectral_norm(weight: Tensor) -> float:
    """‖W‖_2, for a convolution summed over the places of its kernel."""
    return float(torch.linalg.matrix_norm(matrices(weight.detach()).to(wide(weight)), 2).sum())


def wide(tensor: Tensor) -> torch.dtype:
    """The dtype of a tensor, or single precision where it has less."""
    return torch.promote_types(tensor.dtype, torch.float32)


def orthogonal(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A tensor of that shape, dtype and device whose matrices are uniformly semi-orthogonal.

    Drawn on the CPU in double precision, so that a seed means the same everywhere. The factor Q of a normal matrix is
    uniform once the signs of R's diagonal are made positive.

    Source: Mezzadri, How to generate random matrices from the classical compact groups, Notices of the AMS 54, 2007.
    """
    outputs, inputs, *kernel = tensor.shape
    tall = (*kernel, max(outputs, inputs), min(outputs, inputs))
    q, r = torch.linalg.qr(torch.randn(tall, generator=generator, dtype=torch.float64))
    q = q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
    return like(q if outputs >= inputs else q.mT, tensor).to(tensor)
