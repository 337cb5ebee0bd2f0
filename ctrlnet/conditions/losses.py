"""Conditions as losses: the violation over sampled states and along trajectories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ctrlnet.conditions.clauses import Clause, Condition
from ctrlnet.conditions.motion import disturbance_of
from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.integrators import Integrator, solve
from ctrlnet.sets import Box, Number
from ctrlnet.systems import AnySystem, draw

_TINY = 1e-12  # keeps a relative margin finite at the equilibrium, where margin and scale vanish

Conjunction: TypeAlias = Condition | Sequence[Any]  # a condition, or a tuple of them, nested or not
Mean: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]  # numbers (k,), and 1 or 0 for each or None, to a scalar


def mean_inside(numbers: Tensor, inside: Tensor | None = None) -> Tensor:
    """Σ inside·numbers / Σ inside, a scalar; all numbers count where `inside` is None. No number at all gives 0."""
    if inside is None:
        return numbers.sum() / max(numbers.numel(), 1)  # zero, not NaN, where there is no state
    return (numbers * inside).sum() / inside.sum().clamp(min=1)


def violation(
    condition: Conjunction,
    system: AnySystem,
    x: Tensor,
    *,
    relative: bool = False,
    slack: Number = 0.0,
    mean: Mean = mean_inside,
) -> Tensor:
    """Mean hinge of every clause,  Σ_clauses mean_x max(0, slack - margin(x)),  a scalar to be minimised.

    The mean is over the states in the clause's set. Zero at every sampled state is evidence, never a proof.

    Args:
        condition: a condition, or a tuple of them, meant as a conjunction.
        system: closed loop, maps (..., n) to (..., n); or a Disturbed field or a DiscreteMap. Each evaluation of a
            margin draws one disturbance for each state, half of them corners of the box, by torch's global generator.
        x: sampled states, (..., n).
        relative: divide each margin by its clause's scale (V for a decrease), held constant for the gradient, so that
            states near the equilibrium count as much as those far away.
        slack: how far inside a margin has to be before it counts as met; a trained policy needs some to be provable.
        mean: makes one number of the hinges of a clause; another one joins the parts of a batch that is divided.

    Raises:
        ShapeError: x is no float tensor, or V or the field gives another shape.
        UsageError: the condition has no clauses.

    Source: Rodriguez, Ames and Yue, LyaNet: A Lyapunov framework for training neural ODEs, 2022.
    """
    if not isinstance(x, Tensor) or x.ndim == 0 or not x.is_floating_point():
        raise ShapeError(f"x is {x!r}; give sampled states as a floating-point tensor of shape (..., n).")
    hinges = [_hinge(clause, x, relative, slack, mean) for clause in clauses_of(condition, system)]
    return torch.stack(hinges).sum()


def trajectory_violation(
    condition: Conjunction,
    system: AnySystem,
    x0: Tensor,
    times: Tensor,
    *,
    method: str | Integrator = "rk4",
    step: Number | None = None,
    relative: bool = False,
    slack: Number = 0.0,
    within: Box | None = None,
    mean: Mean = mean_inside,
) -> Tensor:
    """The violation at the states that trajectories visit, a scalar.

    The trajectories decide where to look and carry no gradient; the loss at the visited states does. One that diverges
    counts up to the last instant at which it is finite; `within` keeps the loss finite too.

    Args:
        x0: initial states, (..., n).
        times: instants [s], (t,), increasing.
        method, step: as for `solve`.
        condition, relative, slack, mean: as for `violation`.
        system: as for `violation`, but no DiscreteMap. The trajectories of a disturbed field have one disturbance each,
            drawn at the start and held.
        within: the visited states outside this box do not count; None counts all.

    Source: Rodriguez, Ames and Yue, LyaNet, 2022: path-integral Lyapunov learning.
    """
    with torch.no_grad():
        visited = solve(_followed(system, x0), x0, times, method=method, step=step).x
    counted = visited.isfinite().all(-1) if within is None else within.contains(visited)
    visited = visited if bool(counted.all()) else visited[counted]
    return violation(condition, system, visited, relative=relative, slack=slack, mean=mean)


def clauses_of(condition: Conjunction, system: AnySystem) -> list[Clause]:
    """Every clause of a condition or of a nested tuple of conditions.

    Raises:
        UsageError: there is none, or an entry is no condition.
    """
    if isinstance(condition, (tuple, list)):
        found = [clause for part in condition for clause in clauses_of(part, system)]
    elif hasattr(condition, "clauses"):
        found = condition.clauses(system)
    else:
        raise UsageError(f"{condition!r} is no condition; give one such as ExponentialStability(V, rate), or a tuple.")
    if not found:
        raise UsageError("The condition has no clauses; give at least one, such as ExponentialStability(V, rate).")
    return found


def lack(clause: Clause, x: Tensor, *, relative: bool, slack: Number = 0.0) -> Tensor:
    """slack - margin at each state, (..., n) to (...); `relative` divides the margin by the clause's scale, held."""
    margin = clause.margin(x)
    if relative and clause.scale is not None:
        with torch.no_grad():
            scale = clause.scale(x).abs() + _TINY
        margin = margin / scale
    return float(slack) - margin


def asked(clause: Clause, x: Tensor) -> Tensor | None:
    """At which states the clause asks for something, (..., n) to (...); None: at all."""
    with torch.no_grad():
        return torch.stack([w(x) <= 0 for w in clause.where]).all(0) if clause.where else None


def _followed(system: Any, x0: Tensor) -> Any:
    if (box := disturbance_of(system)) is None:
        return system
    d = draw(box, x0)
    return lambda x: system(x, d)


def _hinge(clause: Clause, x: Tensor, relative: bool, slack: Number, mean: Mean) -> Tensor:
    hinge, where = torch.relu(lack(clause, x, relative=relative, slack=slack)), asked(clause, x)
    return mean(hinge, None if where is None else where.to(hinge.dtype))
