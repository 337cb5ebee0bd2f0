"""Ultimate boundedness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ctrlnet.conditions.clauses import Clause
from ctrlnet.conditions.derivative import value_and_rate
from ctrlnet.conditions.discrete import fall, value_after
from ctrlnet.conditions.motion import field_of, step_of
from ctrlnet.conditions.parameters import check_number
from ctrlnet.sets import Number
from ctrlnet.systems import AnySystem, DiscreteMap
from ctrlnet.types import Margin


@final
@dataclass(frozen=True, eq=False)
class UltimateBound:
    """Every solution that starts in {V <= outer} stays there, reaches {V <= inner} in finite time, and stays there.

    Its clauses, for x' = F(x), a disturbed one included:
        decrease     -∇V(x)·F(x) > 0        where inner <= V(x) <= outer
    and for a DiscreteMap x⁺ = f(x):
        decrease     V(x) - V(x⁺) > 0       where inner <= V(x) <= outer
        containment  inner - V(x⁺) > 0      where V(x) <= inner

    What a disturbance allows where it does not vanish at the equilibrium. Of V nothing is asked but these inequalities
    on a compact {V <= outer}: neither sign nor equilibrium.

    Args:
        V: maps (..., n) to (...).
        inner: level of the set that is reached, in units of V.
        outer: level of the set of starts, above inner; None for the largest that `certify` finds, in training for
            every sampled state.

    Raises:
        UsageError: a level is not finite, or outer is not above inner.

    Source: Khalil, Nonlinear Systems, 3rd ed., Thm 4.18; in discrete time Jiang and Wang, Automatica 37 (2001), 857.
    """

    V: Margin
    inner: Number
    outer: Number | None = None

    def __post_init__(self) -> None:
        check_number("inner", self.inner, "finite, in units of V", lambda inner: True)
        if self.outer is not None:
            check_number("outer", self.outer, f"finite and above inner, {self.inner}", lambda outer: outer > self.inner)

    def clauses(self, system: AnySystem) -> list[Clause]:
        """The decrease between the levels and, for a map, the containment; relative to V and inner where inner > 0."""
        V, inner, where = self.V, float(self.inner), self._between()
        scale, size = (V, lambda x: x.new_full(x.shape[:-1], inner)) if inner > 0 else (None, None)
        if isinstance(system, DiscreteMap):
            step = step_of(system, "UltimateBound")
            return [
                Clause("decrease", lambda x: fall(V, step, x), where, scale),
                Clause("containment", lambda x: inner - value_after(V, step, x), (lambda x: V(x) - inner,), size),
            ]
        field = field_of(system, "UltimateBound")
        return [Clause("decrease", lambda x: -value_and_rate(V, field, x)[1], where, scale)]

    def _between(self) -> tuple[Margin, ...]:
        V, inner = self.V, float(self.inner)
        if self.outer is None:
            return (lambda x: inner - V(x),)
        outer = float(self.outer)
        return (lambda x: inner - V(x), lambda x: V(x) - outer)
