"""Numbers of a dataclass that cannot be meant."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from ctrlnet.errors import UsageError


def require_numbers(holder: Any, owner: str, least: float, *names: str, most: float = math.inf) -> None:
    """Refuse attributes that are no finite numbers of [least, most]; where the default is an integer, so must they be.

    Args:
        holder: a dataclass with defaults.
        owner: what it is called in the error.
        least: the smallest number above 0, math.ulp(0.0), is called so.
        most: no bound where it is infinite.

    Raises:
        UsageError: naming the first such attribute.
    """
    allowed = f"from {least} to {most}" if most < math.inf else "above 0" if 0 < least < 1 else f"at least {least}"
    for name in names:
        value: Any = getattr(holder, name)
        whole = isinstance(getattr(type(holder), name), int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (float, int, Fraction)):
            kind = "an integer" if whole else "a number"
            raise UsageError(f"{name} of the {owner} is {value!r}; give {kind}, {allowed}.")
        if not (math.isfinite(value) and least <= value <= most):
            raise UsageError(f"{name} of the {owner} is {value!r}; it must be finite and {allowed}.")
