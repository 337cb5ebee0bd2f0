"""Second-order bounds of a graph: the table of rules, one a primitive, the walk over the nodes, and when they pay.

A primitive without a rule of second order takes that of `slope` for the form truncated to first order: kinks, norms and
the rarer functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover import quadratic
from ctrlnet.prover.affine import Slope
from ctrlnet.prover.backward import Factor, Sign, Step, backward_remainder, forward_remainder
from ctrlnet.prover.bands import BANDS
from ctrlnet.prover.convex import least
from ctrlnet.prover.cubic import inner
from ctrlnet.prover.expansions import EXPANSIONS, banded, divide, expanded, power
from ctrlnet.prover.interval import RULES as INTERVAL_RULES
from ctrlnet.prover.interval import Interval, enclosed
from ctrlnet.prover.quadratic import Quadratic, closed, filled, truncated
from ctrlnet.prover.rounding import below, gamma, raised
from ctrlnet.prover.slope import FORMS, slope_bounds
from ctrlnet.prover.threads import spread

CHUNK = 1 << 15  # entries of the widest node over a chunk of boxes
DIMENSIONS = range(3, 9)  # below, first order is quicker; 8 have 45 rows a node
KINKED = {"relu", "abs", "maximum", "minimum", "select", "floor", "step", "jump"}

Rule = Callable[[Sequence[Quadratic], Any], Step]


def _first_order(operation: str) -> Rule:
    """The rule of `slope`, which counts the errors of the arguments itself."""

    def rule(a: Sequence[Quadratic], attribute: Any) -> Step:
        form = FORMS[operation]([truncated(part) for part in a], attribute)
        return Step(form.terms, form.remainder, (None,) * len(a))

    return rule


def _extremum(operation: str) -> Rule:
    """max(a, b) = b + relu(a - b), min(a, b) = b - relu(b - a); where one argument decides, that argument."""
    sign = 1.0 if operation == "maximum" else -1.0

    def rule(a: Sequence[Quadratic], _: Any) -> Step:
        terms, local, factors = _ramp(a[0], a[1], sign)
        above = a[0].range.lower >= a[1].range.upper
        below = (a[0].range.upper <= a[1].range.lower) & ~above
        decided, influences = above | below, []
        for part, factor, decides in zip(a, factors, (above, below)[:: int(sign)], strict=True):
            rows = max(terms.shape[1], part.terms.shape[1])
            terms = torch.where(decides[:, None], filled(part.terms, rows), filled(terms, rows))
            influences.append(Factor(torch.where(decided, decides.to(terms), factor)))
        return Step(terms, torch.where(decided, 0.0, local), influences)

    return rule


def _ramp(a: Quadratic, b: Quadratic, sign: float) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Rows and own error of b ± relu(±(a - b)), and s and 1 - s, the shares of a and b, of the slope s of the band."""
    difference = quadratic.add(a, b, -1.0)
    remainder = forward_remainder(difference, [a.remainder, b.remainder])
    bounds = INTERVAL_RULES["sub"]([a.range, b.range] if sign > 0 else [b.range, a.range], None)
    side = closed(sign * difference.terms, remainder, bounds, a.dimension)
    ramp = banded(side, BANDS["relu"])
    (slope,) = ramp.influences
    assert isinstance(slope, Factor)
    share = slope.values
    own = ramp.local + share * difference.local + gamma(4) * (b.magnitude + side.magnitude)
    return quadratic.plus(b.terms, sign * ramp.terms), raised(own), (share, 1 - share)


def _curved(operation: str) -> Rule:
    return lambda a, _: expanded(a[0], *EXPANSIONS[operation])


RULES: dict[str, Rule] = {
    "take": lambda a, index: quadratic.take(a[0], index),
    "concatenate": lambda a, _: quadratic.concatenate(a),
    "linear": lambda a, weight: quadratic.linear(a[0], torch.as_tensor(weight, device=a[0].terms.device)),
    "sum": lambda a, groups: quadratic.grouped_sum(a[0], groups),
    "add": lambda a, _: quadratic.add(a[0], a[1]),
    "sub": lambda a, _: quadratic.add(a[0], a[1], -1.0),
    "mul": lambda a, _: quadratic.multiply(a[0], a[1]),
    "div": lambda a, _: divide(a[0], a[1]),
    "neg": lambda a, _: Step(-a[0].terms, torch.zeros_like(a[0].remainder), (Sign(-1.0),)),
    "square": lambda a, _: quadratic.square(a[0]),
    "power": lambda a, exponent: power(a[0], exponent),
    "maximum": _extremum("maximum"),
    "minimum": _extremum("minimum"),
    "relu": lambda a, _: banded(a[0], BANDS["relu"]),
    "abs": lambda a, _: banded(a[0], BANDS["abs"]),
    **{name: _curved(name) for name in EXPANSIONS if name != "reciprocal"},
}


def bounds(
    graph: Graph,
    outputs: Sequence[int],
    lower: Tensor,
    upper: Tensor,
    asked: Mapping[int, Sequence[float]] | None = None,
) -> list[Slope]:
    """Slope forms of scalar outputs over the boxes, as `slope_bounds`, with the sharpest lower bound known.

    Of second order where that pays: in three to eight dimensions, and where most of the graph's nonlinear entries are
    smooth. Kinks have no second order, and rows for it would be carried in vain.

    `asked` says which numbers an output may have to exceed: where its range settles that of all of them, its lower
    bound is not sharpened.
    """
    if not worthwhile(graph, outputs):
        return slope_bounds(graph, outputs, lower, upper)
    forms = quadratic_bounds(graph, outputs, lower, upper)
    wanted = [(asked or {}).get(output) for output in outputs]
    return [sharpened(form, value) for form, value in zip(forms, wanted, strict=True)]


def worthwhile(graph: Graph, outputs: Sequence[int]) -> bool:
    """Whether second-order forms are expected to save more boxes than they cost."""
    if graph.dimension not in DIMENSIONS or any(graph.size(output) != 1 for output in outputs):
        return False
    nodes = [graph.nodes[number] for number in graph.reachable(outputs)]
    smooth = sum(node.size for node in nodes if node.operation in EXPANSIONS or node.operation in ("mul", "square"))
    return smooth > sum(node.size for node in nodes if node.operation in KINKED)


def sharpened(a: Quadratic, asked: Sequence[float] | None = None) -> Slope:
    """The slope form of a scalar, its lower bound improved by the convex one of the form; NaN stays NaN.

    With `asked` only where the range does not say already which of these numbers the scalar exceeds.
    """
    n, form = a.dimension, truncated(a)
    lower, upper = form.range
    settled = [(lower > one) | (upper <= one) for one in asked or ()]
    open_ = slice(None) if asked is None else ~torch.stack(settled).all(0)[:, 0]
    rows = a.terms[open_, :, 0]
    low = least(rows[:, 0], rows[:, 1 : 1 + n], rows[:, 1 + n :])
    low = below(low - raised(a.remainder[open_, 0]))[:, None]
    lower = lower.clone()
    lower[open_] = torch.maximum(lower[open_], torch.where(low.isnan(), -math.inf, low))
    return form._replace(range=Interval(lower, upper))


def quadratic_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Quadratic]:
    """Second-order forms of the outputs over the boxes [lower, upper], each of shape (B, n) float64."""
    chunk = max(256, CHUNK // max(graph.size(number) for number in graph.reachable(outputs)))
    corners = list(zip(lower.split(chunk), upper.split(chunk), strict=True))
    parts = spread(lambda c: _chunk_bounds(graph, outputs, *c), corners, lower.device.type == "cpu")
    return parts[0] if len(parts) == 1 else [quadratic.parted(forms) for forms in zip(*parts, strict=True)]


def _chunk_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Quadratic]:
    values: dict[int, Quadratic] = {}
    steps: dict[int, Step] = {}
    for number in graph.reachable(outputs):
        node = graph.nodes[number]
        if node.operation == "input":
            values[number] = quadratic.of_state(lower, upper)
            continue
        arguments = [values[a] for a in node.arguments]
        if node.operation == "constant":
            known = enclosed(node.attribute, lower)
            steps[number] = _constant(known, node.attribute.floats is not None)
        else:
            known = INTERVAL_RULES[node.operation]([a.range for a in arguments], node.attribute)
            rule = RULES.get(node.operation) or _first_order(node.operation)
            factors = _factors(graph, number, values)
            steps[number] = _inner(graph, values, steps, factors) if factors else rule(arguments, node.attribute)
            arguments = [values[a] for a in factors] or arguments
        remainder = forward_remainder(steps[number], [a.remainder for a in arguments])
        values[number] = closed(steps[number].terms, remainder, known, graph.dimension)
    return [_finished(graph, output, values[output], steps, len(lower)) for output in outputs]


def _factors(graph: Graph, number: int, values: Mapping[int, Quadratic]) -> Sequence[int]:
    """The factors of an inner product Σᵢ aᵢ bᵢ: a sum, to one number, of products of what depends on the state."""
    node = graph.nodes[number]
    terms = graph.nodes[node.arguments[0]] if node.operation == "sum" else node
    if terms.operation != "mul" or node.size != 1 or any(values[a].constant for a in terms.arguments):
        return ()
    return terms.arguments


def _inner(graph: Graph, values: Mapping[int, Quadratic], steps: Mapping[int, Step], factors: Sequence[int]) -> Step:
    """Of third order nothing is bounded before it is gathered, and remainders of vectors are refined backward."""
    a, b = (
        values[one]._replace(remainder=backward_remainder(graph, one, steps, values[one].remainder))
        if one in steps and graph.size(one) > 1
        else values[one]
        for one in factors
    )
    return inner(a, b)._replace(arguments=factors)


def _constant(held: Interval, exact: bool) -> Step:
    width = torch.zeros_like(held.lower) if exact else raised(held.upper - held.lower)
    return Step(held.lower[:, None], width, ())


def _finished(graph: Graph, output: int, a: Quadratic, steps: Mapping[int, Step], batch: int) -> Quadratic:
    """An output with every row for every box, its remainder and range refined backward."""
    n = a.dimension
    remainder = backward_remainder(graph, output, steps, a.remainder) if output in steps else a.remainder
    a = closed(filled(a.terms, 1 + n + n * (n + 1) // 2), remainder, a.range, n)
    terms, remainder, first, second, lower, upper = (
        part.expand(batch, *part.shape[1:]) for part in (a.terms, a.remainder, a.first, a.second, *a.range)
    )
    return Quadratic(terms, remainder, Interval(lower, upper), first, second, n)
