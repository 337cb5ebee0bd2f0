"""`layer_parallel`: the states of a deep network, and their gradients, many layers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.layers.mgrit import Alone, Chain, Neighbours, Plan, StepFunction, solved

_ALONE = Alone()


def layer_parallel(
    step: StepFunction,
    weights: Mapping[str, Tensor],
    x0: Tensor,
    *,
    h: float = 1.0,
    coarsening: int = 4,
    levels: int = 2,
    iterations: int | None = None,
    relaxation: str = "FCF",
    start: Tensor | None = None,
    neighbours: Neighbours = _ALONE,
) -> Tensor:
    """The states u_0 = x0, u_{j+1} = step(weights_j, u_j, h) of N layers by multigrid in the layers (MGRIT).

    Its gradient, with respect to x0 and all weights, is that of the same algorithm on the adjoint chain. After ⌈C/2⌉
    iterations, C = N/coarsening, or C with F-relaxation, states and gradients are those of the layers one after the
    other, to rounding. Training gets along with one to three, and states and gradients that are a little off. It
    converges where a layer contracts, and badly where it turns (Hamiltonian, antisymmetric). It does two to three
    times the work: docs/layer-parallel.md says when that pays.

    Args:
        step: Φ(weights (S, ...), states (S, ..., n), h) -> states (S, ..., n), S layers at once, each on its own
            states; h is `coarsening` times longer on each coarser level. `TimeVarying.slices` makes one.
        weights: of the N layers by name, (N, ...) each; shared weights expanded.
        x0: (..., n).
        h: step of a layer [s].
        coarsening: every how manyth layer is on the next level, m >= 2.
        levels: grids, 1 or more; N is a multiple of m^(levels - 1). 1 is one layer after the other.
        iterations: V-cycles; None: as many as make it exact.
        relaxation: "FCF" or "F"; "F" with two levels is parareal.
        start: states (N + 1, ..., n) to begin from, such as those of the last training step; None: what the coarsest
            level gives.
        neighbours: `Pieces()` where each process holds a contiguous piece of the layers.

    Returns:
        all states, (N + 1, ..., n); of a piece, the state before it and those of its layers. The residual is
        step(weights, u[:-1], h) - u[1:]. Second derivatives are refused.

    Raises:
        UsageError: an option that does not exist, a number of layers that does not divide.
        ShapeError: weights of different numbers of layers, a start or a result of step that does not fit.

    Source: Günther, Ruthotto, Schroder, Cyr and Gauger, Layer-parallel training of deep residual neural networks,
    2020; the count of iterations: Gander and Vandewalle, Analysis of the parareal time-parallel time-integration
    method, 2007.
    """
    layers = _layers(weights)
    _check_options(coarsening, levels, iterations, relaxation, layers)
    _check_states(step, weights, x0, h, start)
    fcf = relaxation == "FCF"
    if iterations is None:
        points = neighbours.total(layers // coarsening, x0)
        iterations = 0 if levels == 1 else -(-points // 2) if fcf else points
    problem = _Problem(step, tuple(weights), h, Plan(coarsening, levels, iterations, fcf), start, neighbours)
    states: Tensor = _LayerParallel.apply(problem, x0, *weights.values())  # type: ignore[no-untyped-call]
    return states


class _Problem(NamedTuple):
    step: StepFunction
    names: tuple[str, ...]
    h: float
    plan: Plan
    start: Tensor | None
    neighbours: Neighbours


class _LayerParallel(torch.autograd.Function):
    """The chain forwards, and its adjoint  λ_{j-1} = (∂Φ/∂u)ᵀ λ_j + ∂L/∂u_{j-1}  backwards."""

    @staticmethod
    def forward(ctx: Any, problem: _Problem, x0: Tensor, *weights: Tensor) -> Tensor:
        chain = Chain(problem.step, dict(zip(problem.names, weights, strict=True)), problem.h)
        start = x0.unsqueeze(0)
        if problem.start is not None:
            start = torch.cat([start if problem.neighbours.first else problem.start[:1], problem.start[1:]])
        u = solved(chain, start, problem.plan, problem.neighbours)
        ctx.problem = problem
        ctx.save_for_backward(u, *weights)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        problem: _Problem = ctx.problem
        u, *weights = (one.detach() for one in ctx.saved_tensors)
        named = dict(zip(problem.names, weights, strict=True))
        adjoint = _adjoint_states(problem, u, named, cotangents[0])
        first = adjoint[0] if problem.neighbours.first else torch.zeros_like(adjoint[0])
        return None, first, *_weight_gradients(problem, u, named, adjoint[1:], ctx.needs_input_grad[2:])


def _adjoint_states(problem: _Problem, u: Tensor, weights: Mapping[str, Tensor], cotangent: Tensor) -> Tensor:
    """λ (N + 1, ..., n): the gradient with respect to each state, the later states following from it."""
    source = cotangent.clone()
    # two pieces hold the state between them; the later one counts what both say of it
    source[0] += problem.neighbours.shifted(source[-1], torch.zeros_like(source[0]))
    source = source.flip(0)
    backwards = {f"weight.{name}": one.flip(0) for name, one in weights.items()} | {"state": u[:-1].flip(0)}
    offset = problem.plan.coarsening - 1  # the layer after a C-point of the forward chain, as there
    chain = Chain(_transposed(problem.step), backwards, problem.h, source[1:], offset)
    return solved(chain, source[:1], problem.plan, problem.neighbours.reversed()).flip(0)


def _transposed(step: StepFunction) -> StepFunction:
    """y -> (∂Φ/∂u)ᵀ y at the states that come with the weights."""

    def transposed(weights: Mapping[str, Tensor], y: Tensor, h: float) -> Tensor:
        named = {name.removeprefix("weight."): one for name, one in weights.items() if name != "state"}
        with torch.enable_grad():
            state = weights["state"].detach().requires_grad_()
            (result,) = torch.autograd.grad(step(named, state, h), state, y)
        return result

    return transposed


def _weight_gradients(
    problem: _Problem, u: Tensor, weights: Mapping[str, Tensor], adjoint: Tensor, needed: tuple[bool, ...]
) -> list[Tensor | None]:
    """(∂Φ/∂weights)ᵀ λ of all layers at once, for the weights that need it."""
    if not any(needed):
        return [None] * len(needed)
    with torch.enable_grad():
        held = {name: one.requires_grad_(need) for (name, one), need in zip(weights.items(), needed, strict=True)}
        asked = [one for one in held.values() if one.requires_grad]
        found = iter(torch.autograd.grad(problem.step(held, u[:-1], problem.h), asked, adjoint, allow_unused=True))
    return [next(found) if need else None for need in needed]


def _layers(weights: Mapping[str, Tensor]) -> int:
    sizes = {name: len(one) if one.ndim else 0 for name, one in weights.items()}
    if len(set(sizes.values())) != 1 or 0 in sizes.values():
        raise ShapeError(
            f"The weights are of {sizes or 'no'} layers; give each (N, ...), with one N, and expand shared ones."
        )
    return next(iter(sizes.values()))


def _check_options(coarsening: int, levels: int, iterations: int | None, relaxation: str, layers: int) -> None:
    if relaxation not in ("F", "FCF"):
        raise UsageError(f"relaxation is {relaxation!r}; give 'FCF' or 'F'.")
    if coarsening < 2 or levels < 1 or (iterations is not None and iterations < 0):
        raise UsageError(
            f"coarsening is {coarsening}, levels {levels}, iterations {iterations}; give 2 or more, 1 or more, and "
            "0 or more or None."
        )
    if layers % coarsening ** (levels - 1):
        raise UsageError(
            f"{layers} layers do not divide into {levels} levels with coarsening {coarsening}; give a multiple of "
            f"{coarsening ** (levels - 1)}, another coarsening or fewer levels."
        )


def _check_states(
    step: StepFunction, weights: Mapping[str, Tensor], x0: Tensor, h: float, start: Tensor | None
) -> None:
    wanted = (_layers(weights) + 1, *x0.shape)
    if start is not None and start.shape != wanted:
        raise ShapeError(f"start has shape {tuple(start.shape)}; give states of all layers, {wanted}.")
    with torch.no_grad():
        result = step({name: one[:1] for name, one in weights.items()}, x0.unsqueeze(0), h)
    if result.shape != (1, *x0.shape) or result.dtype != x0.dtype:
        raise ShapeError(
            f"step maps states {(1, *x0.shape)} of {x0.dtype} to {tuple(result.shape)} of {result.dtype}; it must keep "
            "shape and dtype, its first dimension being the layers."
        )
