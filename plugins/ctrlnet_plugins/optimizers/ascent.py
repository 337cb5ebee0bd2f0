"""Steepest ascent, and a walk against it: with Python's numbers on a CPU, with tensors elsewhere."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ctrlnet_plugins.optimizers.blocks import wide
from ctrlnet_plugins.optimizers.part import Part


class Ascent(NamedTuple):
    """Directions D_k = direction / divisor of unit norm, in the order of a part's weights.

    A number here is a float where `part.on_host` holds, and a tensor that was never read where it does not.

    Attributes:
        directions: tensors like the weights.
        divisors: numbers, or tensors broadcastable against the weights; infinity where nothing is to move.
        sizes: numbers, the dual norms of the gradients, summed over the matrices of a tensor.
    """

    directions: list[Tensor]
    divisors: list[Any]
    sizes: list[Any]


def frobenius(part: Part, squares: list[Tensor]) -> Ascent:
    """g / ‖g‖_F, given the squared norms of the matrices of every gradient; a gradient of zero has no direction."""
    norms = [square.sqrt() for square in squares]
    return Ascent(part.gradients, [torch.where(norm > 0, norm, inf) for norm in norms], numbers(part, norms))


def numbers(part: Part, tensors: list[Tensor]) -> list[Any]:
    """The sums of tensors, read on the host."""
    sums = [tensor if tensor.ndim == 0 else tensor.sum() for tensor in tensors]
    return [value.item() for value in sums] if part.on_host else list(sums)


def walk(part: Part, up: Ascent, lengths: list[Any]) -> None:
    """W ← W + length · D."""
    steps = [far / divisor for far, divisor in zip(lengths, up.divisors, strict=True)]
    if part.foreach:
        factors = [torch.as_tensor(step).to(weight) for step, weight in zip(steps, part.weights, strict=True)]
        torch._foreach_addcmul_(part.weights, up.directions, factors)
        return
    for weight, direction, step in zip(part.weights, up.directions, steps, strict=True):
        # the step may overflow half precision, the product does not
        weight.add_((direction.to(wide(direction)) * step).to(weight.dtype))


def total(terms: list[Any]) -> Any:
    """The sum: a float where all terms are, else a tensor on the device of the first."""
    if set(map(type, terms)) == {float}:
        return sum(terms)
    device = next(term.device for term in terms if isinstance(term, Tensor))
    return torch.stack([torch.as_tensor(term, device=device, dtype=torch.float64).sum() for term in terms]).sum()


def length(weight: Tensor, lengths: Any) -> float:
    """The sum of the lengths over the matrices of a tensor."""
    return float(torch.as_tensor(lengths).expand(1, 1, *weight.shape[2:]).sum())
