"""Forward invariance by a barrier function whose first derivative the control does not reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor

from ctrlnet.conditions.barrier import barrier_margin
from ctrlnet.conditions.clauses import Clause
from ctrlnet.conditions.motion import disturbance_of, field_of
from ctrlnet.conditions.parameters import check_number
from ctrlnet.errors import UsageError
from ctrlnet.sets import Number
from ctrlnet.systems import AnySystem
from ctrlnet.types import Field, Margin


@final
@dataclass(frozen=True, eq=False)
class HighOrderInvariance:
    """{h >= 0, ψ₁ >= 0, ..., ψ_{r-1} >= 0} is forward invariant, with the chain of derivatives along x' = F(x)

        ψ₀ = h,   ψᵢ = ψ̇ᵢ₋₁ + aᵢ ψᵢ₋₁,   i = 1, ..., r.

    Its clause:
        barrier  ψ_r(x) > 0   where ψ₀(x) >= 0, ..., ψ_{r-1}(x) >= 0

    For a position h that only the acceleration reaches, r = 2. With r = 1 it is `BarrierInvariance`. h needs r
    derivatives; training takes any r, `certify` r = 1 and 2.

    Of a field with a disturbance it is meant for every d(t), which needs ψ₁, ..., ψ_{r-1} that do not depend on d: the
    disturbance reaches h, like the control, through its r-th derivative alone.

    Args:
        h: maps (..., n) to (...), not negative where it is safe.
        rates: a₁, ..., a_r [1/s], not negative.

    Raises:
        UsageError: there is no rate, or one is negative or not finite.

    Source: Xiao and Belta, High-order control barrier functions, IEEE TAC 67 (2022), 3655, with linear class K
    functions.
    """

    h: Margin
    rates: Sequence[Number]

    def __post_init__(self) -> None:
        if not isinstance(self.rates, (tuple, list)) or not self.rates:
            raise UsageError(f"rates is {self.rates!r}; give a tuple of at least one number [1/s], as in (2, 3).")
        for index, rate in enumerate(self.rates):
            check_number(f"rates[{index}]", rate, "finite and not negative [1/s]", lambda rate: rate >= 0)

    def clauses(self, system: AnySystem) -> list[Clause]:
        """The last of the chain, where all before it are not negative; evaluated on a disturbed field, it raises
        UsageError where one before it depends on the disturbance."""
        *others, last = chain(self.h, field_of(system, "HighOrderInvariance"), self.rates)
        margin = last if disturbance_of(system) is None else partial(_undisturbed, others, last)
        return [Clause("barrier", margin, tuple(map(_negative, others)))]


def chain(h: Margin, field: Field, rates: Sequence[Number]) -> list[Margin]:
    """ψ₀ = h, ..., ψ_r, each a function (..., n) to (...); each differentiates the one before."""
    functions = [h]
    for rate in rates:
        functions.append(_next(functions[-1], field, float(rate)))
    return functions


def _next(psi: Margin, field: Field, rate: float) -> Margin:
    return lambda x: barrier_margin(psi, field, x, rate)


def _undisturbed(others: Sequence[Margin], last: Margin, x: Tensor) -> Tensor:
    """The last of the chain, if those before it have the same values for two draws of the disturbance."""
    for index, psi in enumerate(others[1:], 1):
        with torch.no_grad():
            one, other = psi(x), psi(x)
        rounding = torch.finfo(x.dtype).eps ** 0.5
        if not torch.allclose(one, other, rtol=rounding, atol=rounding):
            raise UsageError(
                f"ψ{index} of HighOrderInvariance depends on the disturbance, and d(t) need have no derivative. Let d "
                f"enter the last of the {len(others)} derivatives of h alone, or take BarrierInvariance or "
                "NagumoInvariance."
            )
    return last(x)


def _negative(psi: Margin) -> Margin:
    return lambda x: -psi(x)
