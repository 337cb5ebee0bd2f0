"""Declared exact numbers: decimals that a proof reads as written, not as the nearest binary fraction."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from ctrlnet.errors import NonFinite, UsageError


class Exact(Fraction):
    """A rational number that stays exact in a proof and is rounded to float64 only in a computation.

    Sums, products and quotients with `Exact`, `int`, `Fraction` and `float` (its binary value) are `Exact` again;
    with a tensor the result is a tensor, and a traced graph keeps the rational itself.
    """

    def __add__(self, other: Any) -> Any:
        return _closed(Fraction.__add__, self, other)

    def __radd__(self, other: Any) -> Any:
        return _closed(Fraction.__radd__, self, other)

    def __sub__(self, other: Any) -> Any:
        return _closed(Fraction.__sub__, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _closed(Fraction.__rsub__, self, other)

    def __mul__(self, other: Any) -> Any:
        return _closed(Fraction.__mul__, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _closed(Fraction.__rmul__, self, other)

    def __truediv__(self, other: Any) -> Any:
        return _closed(Fraction.__truediv__, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _closed(Fraction.__rtruediv__, self, other)

    def __pow__(self, other: Any, modulo: None = None) -> Any:
        return _closed(Fraction.__pow__, self, other) if isinstance(other, int) else NotImplemented

    def __neg__(self) -> Exact:
        return Exact(Fraction.__neg__(self))

    def __pos__(self) -> Exact:
        return self

    def __abs__(self) -> Exact:
        return Exact(Fraction.__abs__(self))

    def tensor(self) -> Any:
        """The float64 scalar nearest to the number, which remembers the number for a trace."""
        import torch

        try:
            scalar = torch.tensor(float(self), dtype=torch.float64)
        except OverflowError as error:
            raise NonFinite("An exact number is beyond the range of float64, 1.8e308.") from error
        scalar.ctrlnet_exact = self  # type: ignore[attr-defined]
        return scalar

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*map(_tensor, args), **{key: _tensor(value) for key, value in (kwargs or {}).items()})


def exact(value: str | int | Fraction) -> Exact:
    """Declare an exact number: `exact("9.81")` is 981/100, `exact("1/3")` a third.

    A float is refused: 9.81 already is the nearest binary fraction, and the proof would be about that one.
    """
    if isinstance(value, float):
        raise UsageError(f"exact({value!r}) came too late: a float is already rounded. Write exact({str(value)!r}).")
    try:
        return Exact(value)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise UsageError(
            f"exact({value!r}) is not a number. Give a decimal or a fraction, as in exact('9.81')."
        ) from error


def _closed(operation: Any, left: Fraction, right: Any) -> Any:
    result = operation(left, Fraction(right) if isinstance(right, float) else right)
    return Exact(result) if isinstance(result, Fraction) else result


def _tensor(value: Any) -> Any:
    if isinstance(value, Exact):
        return value.tensor()
    return type(value)(map(_tensor, value)) if isinstance(value, (list, tuple)) else value
