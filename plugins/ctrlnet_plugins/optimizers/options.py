"""What an option may be: a number in a range, a truth value, one of a few."""

from __future__ import annotations

from math import inf, nan
from numbers import Real

from torch import Tensor

from ctrlnet import UsageError


def require_rate(lr: object) -> None:
    """Refuse a learning rate that is no number, below zero or not finite."""
    if not 0 <= _number(lr) < inf:
        raise UsageError(f"lr must be a number, finite and not negative, got {lr!r}.")


def require_positive(option: str, given: object) -> None:
    """Refuse what is not a finite number above zero."""
    if not 0 < _number(given) < inf:
        raise UsageError(f"{option} must be a number, finite and above zero, got {given!r}.")


def require_fraction(option: str, given: object) -> None:
    """Refuse what is not a number in [0, 1)."""
    if not 0 <= _number(given) < 1:
        raise UsageError(f"{option} must be a number, at least 0 and below 1, got {given!r}.")


def require_flag(option: str, given: object, allowed: str = "True, False") -> None:
    """Refuse what is not True or False (1 and 0 are)."""
    if not isinstance(given, int) or given not in (0, 1):
        raise UsageError(f"{option} is {given!r}; allowed: {allowed}.")


def require_among(option: str, given: object, allowed: tuple[object, ...]) -> None:
    """Refuse what is not one of a few allowed values."""
    if given not in allowed:
        raise UsageError(f"{option} is {given!r}; allowed: {', '.join(map(repr, allowed))}.")


def _number(given: object) -> float:
    """A real number, or a tensor of one, as a float; anything else, truth values among it, as NaN."""
    if isinstance(given, Tensor):
        return float(given) if given.numel() == 1 and given.is_floating_point() else nan
    return nan if isinstance(given, bool) or not isinstance(given, Real) else float(given)
