"""Forward invariance of {h >= 0}: by a barrier function, and on the boundary alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from ctrlnet.conditions.clauses import Clause
from ctrlnet.conditions.derivative import value_and_rate
from ctrlnet.conditions.motion import field_of
from ctrlnet.conditions.parameters import check_number
from ctrlnet.sets import Number
from ctrlnet.systems import AnySystem
from ctrlnet.types import Field, Margin


@final
@dataclass(frozen=True, eq=False)
class BarrierInvariance:
    """{h >= 0} is forward invariant: a solution that starts in it never leaves it.

    Its clause:
        barrier  ∇h(x)·F(x) + rate h(x) > 0   where h(x) >= 0

    Inside, h may fall, but no faster than rate h: the nearer the boundary the slower.

    Args:
        h: barrier function, maps (..., n) to (...), not negative where it is safe.
        rate: [1/s], not negative; the larger, the less is asked.

    Raises:
        UsageError: the rate is negative or not finite.

    Source: Ames, Xu, Grizzle and Tabuada, Control barrier function based quadratic programs for safety critical
    systems, IEEE TAC 62 (2017), 3861, with a linear class K function.
    """

    h: Margin
    rate: Number

    def __post_init__(self) -> None:
        check_number("rate", self.rate, "finite and not negative [1/s]", lambda rate: rate >= 0)

    def clauses(self, system: AnySystem) -> list[Clause]:
        """The barrier inequality on {h >= 0}."""
        h, rate, field = self.h, float(self.rate), field_of(system, "BarrierInvariance")
        return [Clause("barrier", lambda x: barrier_margin(h, field, x, rate), (lambda x: -h(x),))]


@final
@dataclass(frozen=True, eq=False)
class NagumoInvariance:
    """{h >= 0} is forward invariant: a solution that starts in it never leaves it.

    Its clause, on the boundary only:
        boundary  ∇h(x)·F(x) > 0   where h(x) = 0

    Nothing is asked inside, so that less is asked than by any `BarrierInvariance`.

    Args:
        h: maps (..., n) to (...), not negative where it is safe.
        band: in units of h, positive; for training only, where sampled states do not meet h = 0: the clause is asked
            where |h(x)| <= band. The proof is on h = 0 and does not read it.

    Raises:
        UsageError: the band is not positive and finite.

    Source: Nagumo, 1942; Blanchini, Set invariance in control, Automatica 35 (1999), 1747, sec. 3.
    """

    h: Margin
    band: Number = 0.1

    def __post_init__(self) -> None:
        check_number("band", self.band, "positive and finite, in units of h", lambda band: band > 0)

    def clauses(self, system: AnySystem) -> list[Clause]:
        """The inward motion on the band about {h = 0}."""
        h, band, field = self.h, float(self.band), field_of(system, "NagumoInvariance")
        return [Clause("boundary", lambda x: barrier_margin(h, field, x), (lambda x: h(x).abs() - band,))]


def barrier_margin(h: Margin, field: Field, x: Tensor, rate: float = 0.0) -> Tensor:
    """∇h(x)·F(x) + rate h(x), positive where h falls less than the rate allows."""
    value, derivative = value_and_rate(h, field, x, "h")
    return derivative + rate * value
