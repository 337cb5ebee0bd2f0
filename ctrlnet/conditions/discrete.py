"""Decrease from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from ctrlnet.conditions.clauses import Clause
from ctrlnet.conditions.derivative import check_value
from ctrlnet.conditions.motion import step_of
from ctrlnet.conditions.parameters import check_number
from ctrlnet.sets import Number
from ctrlnet.systems import AnySystem
from ctrlnet.types import Field, Margin


@final
@dataclass(frozen=True, eq=False)
class DiscreteDecrease:
    """V(x_k) <= (1 - kappa)^k V(x_0) along every sequence x⁺ = f(x) that starts in a level set of V, never left.

    Its clauses, both for x other than the equilibrium, where each margin is zero:
        decrease    (1 - kappa) V(x) - V(x⁺) > 0
        positivity  V(x) > 0

    Args:
        V: candidate, maps (..., n) to (...), zero at the equilibrium.
        kappa: share of V lost in a step, in (0, 1].
        at: equilibrium x* = f(x*); None is the origin.

    Raises:
        UsageError: kappa is not in (0, 1].

    Source: Kellett and Teel, Systems & Control Letters 52 (2004), 395, for the converse too.
    """

    V: Margin
    kappa: Number
    at: tuple[Number, ...] | None = None

    def __post_init__(self) -> None:
        check_number("kappa", self.kappa, "above 0 and at most 1", lambda kappa: 0 < kappa <= 1)

    def clauses(self, system: AnySystem) -> list[Clause]:
        """Decrease along the DiscreteMap, relative to V, and positivity."""
        V, kappa, step = self.V, float(self.kappa), step_of(system, "DiscreteDecrease")
        return [Clause("decrease", lambda x: fall(V, step, x, kappa), scale=V), Clause("positivity", V)]


def fall(V: Margin, step: Field, x: Tensor, kappa: float = 0.0) -> Tensor:
    """(1 - kappa) V(x) - V(x⁺), positive where V loses more than the share kappa in a step."""
    value = V(x)
    check_value(value, x)
    return (1 - kappa) * value - value_after(V, step, x)


def value_after(V: Margin, step: Field, x: Tensor) -> Tensor:
    """V(x⁺), (...)."""
    value = V(step(x))
    check_value(value, x)
    return value
