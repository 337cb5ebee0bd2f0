"""Exponential stability."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import final

from ctrlnet.conditions.clauses import Clause
from ctrlnet.conditions.derivative import value_and_rate
from ctrlnet.conditions.motion import field_of
from ctrlnet.conditions.parameters import check_number
from ctrlnet.sets import Number
from ctrlnet.systems import AnySystem
from ctrlnet.types import Margin, State, Value


@final
@dataclass(frozen=True, eq=False)
class ExponentialStability:
    """V(x(t)) <= exp(-rate t) V(x(0)) along every solution that starts in a level set of V, which it never leaves.

    Of a `Disturbed` field it is meant for every d(t), which needs F(x*, d) = 0 for every d.

    Its clauses, both for x other than the equilibrium, where each margin is zero:
        decrease    -(∇V(x)·F(x) + rate V(x)) > 0
        positivity  V(x) > 0

    Args:
        V: candidate, maps (..., n) to (...), zero at the equilibrium.
        rate: decay rate of V [1/s], positive; a state decays at least with rate/2 where V is like |x|².
        at: equilibrium x*; None is the origin.

    Raises:
        UsageError: the rate is not positive and finite.

    Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.10.
    """

    V: Margin
    rate: Number
    at: tuple[Number, ...] | None = None

    def __post_init__(self) -> None:
        check_number("rate", self.rate, "positive and finite [1/s]", lambda rate: rate > 0)

    def clauses(self, system: AnySystem) -> list[Clause]:
        """Decrease along the field (..., n) to (..., n), a disturbed one included, relative to V, and positivity."""
        field = field_of(system, "ExponentialStability")
        decrease = partial(decrease_margin, self.V, field, rate=self.rate)
        return [Clause("decrease", decrease, scale=self.V), Clause("positivity", self.V)]


def decrease_margin(V: Margin, field: AnySystem, x: State, rate: Number) -> Value:
    """Margin of exponential decrease,  -(V̇(x) + rate V(x)),  positive where V falls fast enough.

    Args:
        V: candidate, maps (..., n) to (...).
        field: closed loop, maps (..., n) to (..., n), in state units per second.
        x: states, (..., n).
        rate: [1/s], positive.

    Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.10.
    """
    value, derivative = value_and_rate(V, field, x)
    return -(derivative + float(rate) * value)
