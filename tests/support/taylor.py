"""An oracle for values and derivatives: graphs of the format evaluated on Taylor polynomials of ball arithmetic.

Along a line x + t q the function is g(t); its exact g(0), g'(0) and g''(0) come from polynomials in t cut after t^2,
whose coefficients are balls of 160 bits. At a kink one side is taken at random: every side is a generalised derivative.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import certificates as c
from flint import arb, arb_series, ctx

Series = arb_series
BITS = 160


def series(*coefficients: Any) -> Series:
    """A polynomial cut after t^2."""
    return arb_series([arb(v) for v in coefficients], prec=3)


def rational(value: Fraction) -> arb:
    return arb(value.numerator) / value.denominator


UNDEFINED = series(*["nan"] * 3)
"""No bound is wrong where a function is undefined."""


def quotient(a: Series, b: Series) -> Series:
    return a / b if b[0] > 0 or b[0] < 0 else UNDEFINED


def sqrt(a: Series) -> Series:
    """At zero it has a value and no derivatives."""
    return series(0, "nan", "nan") if a[0] == 0 else a.sqrt()


def tanh(a: Series) -> Series:
    if a[0] > 0:
        return -tanh(-a)
    e = (a * 2).exp()
    return quotient(e - 1, e + 1)


def softplus(a: Series) -> Series:
    return a + softplus(-a) if a[0] > 0 else (a.exp() + 1).log()


def norm(parts: Sequence[Series], draw: random.Random) -> Series:
    """At zero its generalised derivatives are u.a' for every u in the unit ball."""
    if all(a[0] == 0 for a in parts):
        i = draw.randrange(len(parts))
        return series(0, draw.choice((-1, 0.5, 1)) * parts[i][1])
    return sum((a * a for a in parts), series(0)).sqrt()


SMOOTH: dict[str, Callable[..., Series]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": quotient,
    "neg": lambda a: -a, "square": lambda a: a * a, "sin": Series.sin, "cos": Series.cos, "exp": Series.exp,
    "tanh": tanh, "log": Series.log, "sqrt": sqrt, "atan": Series.atan, "erf": Series.erf,
    "softplus": softplus,
}  # fmt: skip
KINKED: dict[str, tuple[Callable[..., Series], Callable[..., Series], Callable[..., Series]]] = {
    "relu": (lambda a: a, lambda a: a, lambda a: series(0)),
    "abs": (lambda a: a, lambda a: a, lambda a: -a),
    "maximum": (lambda a, b: a - b, lambda a, b: a, lambda a, b: b),
    "minimum": (lambda a, b: a - b, lambda a, b: b, lambda a, b: a),
    "select": (lambda switch, a, b: switch, lambda switch, a, b: a, lambda switch, a, b: b),
}
"""What decides, the function where that is positive, and where it is negative."""


def sided(operation: str, parts: Sequence[Series], draw: random.Random) -> Series:
    """One side of a function with a kink; at zero either one; undefined where 160 bits do not tell."""
    deciding, above, below = KINKED[operation]
    value = deciding(*parts)[0]
    if value > 0 or value < 0 or value == 0:
        return (above if value > 0 or (value == 0 and draw.random() < 0.5) else below)(*parts)
    return UNDEFINED


def floor(a: Series, draw: random.Random) -> Series:
    """At a whole number k one of k - 1 and k; undefined where 160 bits do not tell. Flat wherever it does not jump."""
    whole = a[0].floor()
    if not whole.is_exact():
        return UNDEFINED
    return series(whole - draw.randrange(2) if a[0] == whole else whole)


def constants(value: dict[str, Any]) -> list[Series]:
    ((kind, content),) = value.items()
    numbers = [Fraction(v) for v in content] if kind == "q" else list(map(Fraction, c.decoded(value).tolist()))
    return [series(rational(v)) for v in numbers]


def evaluate(graph: dict[str, Any], state: Sequence[Series], seed: int = 0) -> list[Series]:
    """The output of a graph of the format on polynomials."""
    draw, values = random.Random(seed), []
    for operation, ids, attribute in graph["nodes"]:
        values.append(_node(operation, [values[i] for i in ids], attribute, state, draw))
    return values[graph["output"]]


def _node(
    operation: str, a: list[list[Series]], attribute: Any, state: Sequence[Series], draw: random.Random
) -> list[Series]:
    match operation:
        case "input":
            return list(state)
        case "constant":
            return constants(attribute)
        case "take":
            return [a[0][i] for i in attribute]
        case "concatenate":
            return [v for part in a for v in part]
        case "power":
            return [v**attribute for v in a[0]]
        case "linear":
            weight, m = constants(attribute["weight"]), len(a[0])
            rows = [weight[i * m : i * m + m] for i in range(attribute["rows"])]
            return [sum((w * v for w, v in zip(row, a[0], strict=True)), series(0)) for row in rows]
        case "sum" | "norm":
            m = len(a[0]) // attribute
            groups = [a[0][j * m : j * m + m] for j in range(attribute)]
            return [sum(g, series(0)) if operation == "sum" else norm(g, draw) for g in groups]
    if operation == "floor":
        return [floor(entry, draw) for entry in a[0]]
    if operation in SMOOTH:
        return [SMOOTH[operation](*parts) for parts in zip(*a, strict=True)]
    return [sided(operation, parts, draw) for parts in zip(*a, strict=True)]


def line(point: Sequence[float], direction: Sequence[float]) -> list[Series]:
    """x + t q."""
    return [series(x, q) for x, q in zip(point, direction, strict=True)]


def derivatives(g: Series) -> tuple[arb, arb, arb]:
    """g(0), g'(0), g''(0)."""
    return g[0], g[1], 2 * g[2]


def precise() -> Any:
    """The context in which all this is to be computed."""
    return ctx.workprec(BITS)
