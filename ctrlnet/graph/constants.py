"""Exact constants: every entry is a rational number, stored as float64 where that is the number itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ctrlnet.errors import NonFinite

Floats = NDArray[np.float64]


class Constant:
    """A flat vector of exact rationals; `floats` holds it as float64, or is None where a rounding would occur."""

    def __init__(self, values: Floats | Sequence[Fraction]):
        if isinstance(values, np.ndarray):
            self.floats: Floats | None = values.reshape(-1)
            if not np.isfinite(values).all():
                raise NonFinite("A constant of the function is NaN or infinite. Look at the weights and parameters.")
        else:
            self.fractions = tuple(values)
            self.floats = _as_floats(self.fractions)
        self.size = len(self.fractions if self.floats is None else self.floats)

    @cached_property
    def fractions(self) -> tuple[Fraction, ...]:
        assert self.floats is not None
        return tuple(Fraction(float(value)) for value in self.floats)

    @cached_property
    def key(self) -> tuple[str, object]:
        """Equal keys mean equal rationals."""
        if self.floats is None:
            return "rational", self.fractions
        return "binary", (self.floats + 0.0).tobytes()  # -0.0 and 0.0 are one number

    @cached_property
    def nearest(self) -> Floats:
        """The nearest float64 of every entry."""
        if self.floats is not None:
            return self.floats
        try:
            return np.array([float(value) for value in self.fractions])
        except OverflowError as error:
            raise NonFinite("A constant of the function is beyond the range of float64, 1.8e308.") from error

    def all_equal(self, number: int) -> bool:
        return bool((self.nearest == number).all()) and (self.floats is not None or set(self.fractions) == {number})

    def take(self, index: Sequence[int]) -> Constant:
        if self.floats is not None:
            return Constant(self.floats[np.asarray(index, dtype=np.int64)])
        return Constant([self.fractions[i] for i in index])


def _as_floats(values: Sequence[Fraction]) -> Floats | None:
    try:
        floats = [float(value) for value in values]
    except OverflowError:
        return None
    exact = all(Fraction(rounded) == value for rounded, value in zip(floats, values, strict=True))
    return np.array(floats, dtype=np.float64) if exact else None
