"""First-order forms over many boxes: c + sum_i A_i w_i with -1 <= w_i <= 1 for every variable of the box.

A form is an interval of shape (1 + N, B, size): row 0 the constant, which holds the remainders too, the others the
coefficients. At every point of a box the value is c + sum_i A_i w_i for one choice within these intervals, so linear
primitives act on the rows alike, and products with an interval that holds a factor of the value are sound.

Source: Stolfi, de Figueiredo, Self-validated numerical methods and applications (1997), ch. 3 (affine arithmetic).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctrlnet.checker.graph import Node
from ctrlnet.checker.interval import Interval, Mask, Matrix, choose, linear, stack

LINEAR = frozenset(("take", "concatenate", "sum", "linear", "neg", "add", "sub"))


def reach(form: Interval) -> Interval:
    """Range (B, size) of a form without its constant."""
    size = np.maximum(np.abs(form.lo[1:]), np.abs(form.hi[1:]))
    return Interval(-size, size).sum(0)


def span(form: Interval) -> Interval:
    """Range (B, size) of a form."""
    return form[0] + reach(form)


def where(mask: Mask, a: Interval, b: Interval) -> Interval:
    """a where the mask holds, b elsewhere."""
    return choose(mask, a, ~mask, b, b)


def settled(constant: Interval, like: Interval) -> Interval:
    """The form of a constant (B or 1, size), with as many rows and boxes as `like`."""
    rows, boxes = like.shape[:2]
    lo, hi = (np.zeros((rows, boxes, constant.shape[-1])) for _ in range(2))
    lo[0], hi[0] = constant.lo, constant.hi
    return Interval(lo, hi)


def nothing(like: Interval) -> Interval:
    """Zeros of the same shape."""
    return Interval(np.zeros(like.shape), np.zeros(like.shape))


def shifted(form: Interval, constant: Interval) -> Interval:
    """form + constant."""
    return stack([(form[0] + constant)[None], form[1:]])


def product(a: Interval, b: Interval) -> Interval:
    """(a0 + A)(b0 + B) = a0 b0 + a0 B + b0 A + A B."""
    constant = a[0] * b[0] + reach(a) * reach(b)
    return stack([constant[None], a[0] * b[1:] + b[0] * a[1:]])


def moved(node: Node, parts: Sequence[Interval]) -> Interval:
    """A linear primitive on forms."""
    match node.operation:
        case "take":
            return parts[0][:, :, node.attribute]
        case "concatenate":
            return stack(parts, axis=2)
        case "sum":
            return split(parts[0], node.size).sum()
        case "linear":
            shape = (node.attribute.rows, node.attribute.columns)
            weights = node.attribute.values
            return linear(parts[0], Matrix.of(weights.low.reshape(shape), weights.high.reshape(shape)))
        case "neg":
            return -parts[0]
    return parts[0] + parts[1] if node.operation == "add" else parts[0] - parts[1]


def split(a: Interval, groups: int) -> Interval:
    """Consecutive equal parts along a further axis."""
    shape = (*a.shape[:-1], groups, -1)
    return Interval(a.lo.reshape(shape), a.hi.reshape(shape))


def larger(a: Interval, b: Interval) -> Interval:
    """max(a, b)."""
    return Interval(np.maximum(a.lo, b.lo), np.maximum(a.hi, b.hi))


def length(a: Interval) -> Interval:
    """Euclidean norm over the last axis."""
    return a.square().sum().clip(0.0, np.inf).sqrt()


def chord(p: Interval) -> tuple[Interval, Interval]:
    """A slope s and [0, gap] with relu(p) - s p in [0, gap]: it is convex and 0 at 0, so its maximum is at an end."""
    crosses = (p.lo < 0) & (p.hi > 0)
    s = np.clip(p.hi / np.where(crosses, p.hi - p.lo, 1.0), 0.0, 1.0)
    low, high, factor = Interval(p.lo, p.lo), Interval(p.hi, p.hi), Interval(s, s)
    gap = np.maximum((-(low * factor)).hi, (high - high * factor).hi)
    return factor, Interval(np.zeros(gap.shape), np.maximum(gap, 0.0))


def negative(a: Interval) -> Interval:
    """-a."""
    return -a
