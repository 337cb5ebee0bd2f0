"""The solution as one operation for autograd, with a derivative of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ctrlnet.errors import UsageError
from ctrlnet.integrators.gradients.capture import apart, captured, standing
from ctrlnet.integrators.gradients.grid import Grid, grid_of
from ctrlnet.integrators.gradients.modes import Trip
from ctrlnet.integrators.graphs import transformed
from ctrlnet.integrators.marching import Journey, Marched


def followed(gradient: str, journey: Journey, x: Tensor, keep: bool) -> tuple[Tensor, Marched]:
    """The flat answers with derivatives found on the way back, and the rest of the march.

    Raises:
        UsageError: in a transform of torch.func or in forward mode.
    """
    _require_plain(gradient, x)
    grid = grid_of(journey, x)
    parameters = _parameters(journey, grid) if torch.is_grad_enabled() else []
    if not (torch.is_grad_enabled() and (x.requires_grad or parameters)):
        marched = journey.march(x, (lambda move: move) if keep else None)
        return marched.x, marched
    made = Trip(gradient, journey, grid, parameters)
    with torch.no_grad():
        marched = made.made(x.detach(), keep)
    answers: Tensor = _Followed.apply(made, [marched.x], x, *parameters)  # type: ignore[no-untyped-call]
    return answers, replace(marched, x=answers, moves=marched.moves if keep else [])


def _parameters(journey: Journey, grid: Grid) -> list[Tensor]:
    """The tensors with derivatives, seen by a look at the start."""
    span = (journey.instants[1] - journey.instants[0]).flatten()[0]
    return captured(grid.problem, grid.t, grid.start, 1e-3 * float(span))


class _Followed(torch.autograd.Function):
    """The answers of a trip as a function of the start and the parameters."""

    @staticmethod
    def forward(ctx: Any, made: Trip, answers: list[Tensor], x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.made = made  # it holds no output, which would hold this node: a circle that is never freed
        ctx.save_for_backward(x, *parameters)
        return answers.pop()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors  # complains where one was changed in place
        if torch.is_grad_enabled():
            found = _Derivatives.apply(ctx.made, cotangent, *inputs)  # type: ignore[no-untyped-call]
        else:
            found = _shaped(ctx.made, cotangent, inputs[0])
        return (None, None, *found)


class _Derivatives(torch.autograd.Function):
    """The derivatives of a trip as a function of those of the answers, the start and the parameters.

    Their own derivatives, of every order, are found by autograd through the same steps once more, with its memory.
    """

    @staticmethod
    def forward(ctx: Any, made: Trip, cotangent: Tensor, x: Tensor, *parameters: Tensor) -> tuple[Tensor | None, ...]:
        ctx.made = made
        ctx.save_for_backward(cotangent, x, *parameters)
        return _shaped(made, cotangent, x)

    @staticmethod
    def backward(ctx: Any, *wanted: Tensor | None) -> tuple[Tensor | None, ...]:
        cotangent, x, *_ = ctx.saved_tensors
        made, again = ctx.made, torch.is_grad_enabled()
        inputs, context = standing(made.parameters)
        cotangent, start = apart(cotangent), apart(x.reshape(made.grid.start.shape))
        with torch.enable_grad(), context:
            answers, of = made.grid.replayed(start), made.grid.wanted(cotangent)
            values, weights = [value for _, value in answers], [of(one) for one, _ in answers]
            first = torch.autograd.grad(values, [start, *inputs], weights, create_graph=True, allow_unused=True)
        pairs = [
            (one, want.reshape(one.shape))
            for one, want in zip(first, wanted, strict=True)
            if one is not None and want is not None and one.requires_grad
        ]
        targets = [cotangent, start, *inputs]
        second: tuple[Tensor | None, ...] = (None,) * len(targets)
        if pairs:
            ones, wants = zip(*pairs, strict=True)
            second = torch.autograd.grad(ones, targets, wants, allow_unused=True, create_graph=again)
        of_start = None if second[1] is None else second[1].reshape(x.shape)
        return (None, second[0], of_start, *second[2:])


def _shaped(made: Trip, cotangent: Tensor, x: Tensor) -> tuple[Tensor | None, ...]:
    start, parameters = made.derivatives(cotangent)
    return (start.reshape(x.shape), *parameters)


def _require_plain(gradient: str, x: Tensor) -> None:
    if transformed() or forward_ad.unpack_dual(x).tangent is not None:
        raise UsageError(
            f"gradient={gradient!r} is for loss.backward() and torch.autograd.grad. Under transforms of torch.func, "
            "in forward mode and inside torch.compile give gradient='backprop'."
        )
