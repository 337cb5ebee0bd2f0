"""Signs that can be read off a graph: where a denominator, a root or a logarithm is defined for every state."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from ctrlnet.graph.constants import Constant


class Sign(IntEnum):
    """What is known of every entry; the larger says more."""

    UNKNOWN = 0
    NONNEGATIVE = 1
    POSITIVE = 2


ALWAYS = {
    "exp": Sign.POSITIVE,
    "softplus": Sign.POSITIVE,
    "bell": Sign.POSITIVE,
    **dict.fromkeys(("square", "abs", "relu", "norm", "step"), Sign.NONNEGATIVE),
}
DEFINED = {"sqrt": Sign.NONNEGATIVE, "log": Sign.POSITIVE}  # where the function of one argument is defined


def sign(operation: str, arguments: list[Sign], attribute: Any) -> Sign:
    """The sign of a node from those of its arguments."""
    if isinstance(attribute, Constant):
        return _of_numbers(attribute)
    match operation:
        case _ if operation in ALWAYS:
            return ALWAYS[operation]
        case "add":  # a positive number and one that is not negative
            return max(arguments) if min(arguments) else Sign.UNKNOWN
        case "maximum":
            return max(arguments)
        case "select":
            return min(arguments[1:])
        case "power" if attribute % 2 == 0:
            return max(arguments[0], Sign.NONNEGATIVE)
        case "mul" | "div" | "minimum" | "concatenate" | "take" | "sum" | "sqrt" | "power" | "atan" | "tanh" | "erf":
            return min(arguments)
    return Sign.UNKNOWN


def _of_numbers(held: Constant) -> Sign:
    least = min(held.fractions if held.floats is None else held.floats, default=0)
    return Sign.POSITIVE if least > 0 else Sign.NONNEGATIVE if least == 0 else Sign.UNKNOWN


def partial(operation: str, arguments: list[Sign]) -> bool:
    """Whether the operation is undefined for some values that its arguments may take."""
    if operation == "div":
        return arguments[1] < Sign.POSITIVE
    return operation in DEFINED and arguments[0] < DEFINED[operation]
