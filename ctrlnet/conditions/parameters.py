"""The check of a condition's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from ctrlnet.errors import UsageError


def check_number(name: str, value: Any, wanted: str, accepts: Callable[[Any], bool]) -> None:
    """Refuse anything but a finite real number that `accepts` accepts; `wanted` says in words which those are.

    Raises:
        UsageError: naming the parameter and what was given.
    """
    if not (isinstance(value, Real) and math.isfinite(value) and accepts(value)):
        raise UsageError(f"{name} is {value!r}; give a number: it must be {wanted}.")
