"""Functions of constants, in rationals: a value is given only where it is the exact one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

Rational = Callable[[Fraction], Fraction | None]


def whole_part(a: Fraction) -> Fraction | None:
    """⌊a⌋ where it does not jump: at a whole number it takes both sides."""
    return Fraction(math.floor(a)) if a.denominator > 1 else None


def square_root(a: Fraction) -> Fraction | None:
    """√a where a is the square of a rational."""
    if a < 0:
        return None
    top, bottom = math.isqrt(a.numerator), math.isqrt(a.denominator)
    return Fraction(top, bottom) if top * top == a.numerator and bottom * bottom == a.denominator else None


def _only(argument: int, value: int) -> Rational:
    """Transcendental functions are rational at one rational argument."""
    return lambda a: Fraction(value) if a == argument else None


UNARY: dict[str, Rational] = {
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "relu": lambda a: max(a, Fraction(0)),
    "abs": abs,
    "floor": whole_part,
    "step": lambda a: Fraction(a > 0) if a else None,
    "jump": lambda a: Fraction(0) if a else None,
    "sqrt": square_root,
    "sin": _only(0, 0),
    "cos": _only(0, 1),
    "exp": _only(0, 1),
    "tanh": _only(0, 0),
    "atan": _only(0, 0),
    "erf": _only(0, 0),
    "log": _only(1, 0),
}
BINARY: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "maximum": max,
    "minimum": min,
}


def folded(operation: str, values: Sequence[Fraction]) -> list[Fraction] | None:
    """The function of every entry, or None where one of them is not known to be rational."""
    if operation not in UNARY:
        return None
    results = [UNARY[operation](value) for value in values]
    return [value for value in results if value is not None] if None not in results else None


def norms(values: Sequence[Fraction], groups: int) -> list[Fraction] | None:
    """The Euclidean norms of consecutive equal parts, or None where one of them is not rational."""
    m = len(values) // groups
    totals = [sum((v * v for v in values[j * m : j * m + m]), Fraction(0)) for j in range(groups)]
    return folded("sqrt", totals)
