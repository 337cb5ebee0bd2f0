"""From the last step to the first, with the derivatives of a loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ctrlnet.integrators.gradients.capture import Standing, require_known
from ctrlnet.integrators.gradients.grid import Answers, Grid
from ctrlnet.integrators.moves import Move


class Pulled(NamedTuple):
    """Derivatives with respect to the state and the carry before a step, and to the parameters; None for zero."""

    x: Tensor
    before: Sequence[Tensor]
    parameters: Sequence[Tensor | None]


class Pull(Protocol):
    """The transposed derivative of one step.

    Args:
        move: the step.
        end, after: derivatives with respect to the state and the carry after it, of its own rows.
        asked: those with respect to the states asked for within it.
    """

    def __call__(self, move: Move, end: Tensor, after: Sequence[Tensor], asked: Answers) -> Pulled: ...


def walked(
    grid: Grid, moves: Iterable[Move], pull: Pull, known: Standing, cotangent: Tensor
) -> tuple[Tensor, list[Tensor | None]]:
    """Derivatives with respect to the start and the parameters, from those to the flat answers.

    Args:
        moves: those of the grid, last first.
    """
    wanted, total = grid.wanted(cotangent), Totals(len(known.inputs))
    x, carry, live = torch.zeros_like(grid.start), list[Tensor](), False
    for move in moves:
        asked = [(one, wanted(one)) for one in move.asked]
        live = live or any(bool(one.any()) for _, one in asked)
        if not live:  # nothing is wanted of this step, which may not even be finite
            continue
        rows = move.rows
        if rows is None:
            x, before, gradients = pull(move, x, carry, asked)
            carry = list(before)
        else:
            found, before, gradients = pull(move, x[rows], [one[rows] for one in carry], asked)
            x = x.index_copy(0, rows, found)
            carry = _joined(carry, rows, before, x)
        total.add(gradients)
    x = x + wanted(grid.first)
    if carry:
        with known.context:
            x = x + _through_start(grid, carry, known, total)
    return x, total.sums


def _joined(carry: list[Tensor], rows: Tensor, before: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """The derivatives with respect to the carries of all rows, those of some rows new: none where they have none."""
    zeros = torch.zeros_like(x)
    olds = [*carry, *(zeros for _ in before[len(carry) :])]
    news = [*before, *(zeros[rows] for _ in olds[len(before) :])]
    return [old.index_copy(0, rows, new) for old, new in zip(olds, news, strict=True)]


def _through_start(grid: Grid, carry: list[Tensor], known: Standing, total: Totals) -> Tensor:
    """Through the carry that was made at the start."""
    x = leaf(grid.start)
    with torch.enable_grad():
        made = grid.problem.begin(grid.t, x) or ()
    found, *gradients = differentiated(list(zip(made, carry, strict=False)), [x, *known.inputs], known)
    total.add(gradients)
    return torch.zeros_like(x) if found is None else found


class Totals:
    """Sums of derivatives with respect to parameters."""

    def __init__(self, count: int) -> None:
        self.sums: list[Tensor | None] = [None] * count

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Add those of one more part."""
        for number, gradient in enumerate(gradients):
            if gradient is not None:
                before = self.sums[number]
                self.sums[number] = gradient if before is None else before + gradient


def leaf(x: Tensor) -> Tensor:
    """The same numbers, where a graph begins."""
    return x.detach().requires_grad_()


def differentiated(
    outputs: Sequence[tuple[Tensor, Tensor]], inputs: Sequence[Tensor], known: Standing
) -> tuple[Tensor | None, ...]:
    """Derivatives of Σ <output, cotangent> with respect to the inputs.

    Raises:
        UsageError: the outputs depend on a tensor with gradients that is neither an input nor a known parameter.
    """
    usable = [(output, cotangent) for output, cotangent in outputs if output.requires_grad]
    if not usable:
        return (None,) * len(inputs)
    tensors, cotangents = zip(*usable, strict=True)
    require_known(tensors, [*inputs, *known.inputs])
    return torch.autograd.grad(tensors, inputs, cotangents, allow_unused=True)
