"""Slope-form bounds of a graph: the table of rules, one a primitive, and the walk over the nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover import affine, pieces
from ctrlnet.prover.affine import Form, Slope, banded, closed, filled
from ctrlnet.prover.bands import BANDS, Band
from ctrlnet.prover.curves import power_band
from ctrlnet.prover.interval import RULES as INTERVAL_RULES
from ctrlnet.prover.interval import Interval, enclosed
from ctrlnet.prover.rounding import above, raised
from ctrlnet.prover.threads import spread

__all__ = ["FORMS", "Slope", "slope_bounds"]

CHUNK = 1 << 17  # entries of the widest node over a chunk of boxes


def _elementwise(band: Band) -> Callable[[Sequence[Slope], Any], Form]:
    return lambda a, _: banded(a[0], band)


FORMS: dict[str, Callable[[Sequence[Slope], Any], Form]] = {
    "take": lambda a, index: affine.take(a[0], index),
    "concatenate": lambda a, _: affine.concatenate(a),
    "linear": lambda a, weight: affine.linear(a[0], torch.as_tensor(weight, device=a[0].terms.device)),
    "sum": lambda a, groups: affine.grouped_sum(a[0], groups),
    "add": lambda a, _: affine.add(a[0], a[1]),
    "sub": lambda a, _: affine.add(a[0], a[1], -1.0),
    "mul": lambda a, _: affine.multiply(a[0], a[1]),
    "div": lambda a, _: affine.multiply(a[0], pieces.reciprocal(a[1])),
    "maximum": lambda a, _: pieces.extremum(a[0], a[1], 1.0),
    "minimum": lambda a, _: pieces.extremum(a[0], a[1], -1.0),
    "select": lambda a, _: pieces.select(*a),
    "norm": lambda a, groups: pieces.norm(a[0], groups),
    "unit": lambda a, groups: pieces.unit(a[0], groups),
    "neg": lambda a, _: (-a[0].terms, a[0].remainder),
    "power": lambda a, exponent: banded(a[0], power_band(exponent)),
    **{name: _elementwise(band) for name, band in BANDS.items()},
}


def slope_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Slope]:
    """Slope forms of the outputs over the boxes [lower, upper], each of shape (B, n) float64.

    Boxes are taken in chunks: memory stays small, and mostly within a processor's cache.
    """
    chunk = max(512, CHUNK // max(graph.size(number) for number in graph.reachable(outputs)))
    corners = list(zip(lower.split(chunk), upper.split(chunk), strict=True))
    parts = spread(lambda pair: _chunk_bounds(graph, outputs, *pair), corners, lower.device.type == "cpu")
    return parts[0] if len(parts) == 1 else [_joined(forms) for forms in zip(*parts, strict=True)]


def _joined(forms: Sequence[Slope]) -> Slope:
    lower, upper = (torch.cat([form.range[side] for form in forms]) for side in (0, 1))
    terms, remainder, radius = (
        torch.cat([getattr(form, part) for form in forms]) for part in ("terms", "remainder", "radius")
    )
    return Slope(terms, remainder, Interval(lower, upper), radius)


def _chunk_bounds(graph: Graph, outputs: Sequence[int], lower: Tensor, upper: Tensor) -> list[Slope]:
    values: dict[int, Slope] = {}
    for number in graph.reachable(outputs):
        node = graph.nodes[number]
        if node.operation == "input":
            values[number] = _state(lower, upper)
        elif node.operation == "constant":
            bounds = enclosed(node.attribute, lower)
            width = (
                raised(bounds.upper - bounds.lower) if node.attribute.floats is None else torch.zeros_like(bounds.lower)
            )
            values[number] = Slope(bounds.lower[:, None], width, bounds, width)
        else:
            arguments = [values[a] for a in node.arguments]
            bounds = INTERVAL_RULES[node.operation]([a.range for a in arguments], node.attribute)
            values[number] = closed(FORMS[node.operation](arguments, node.attribute), bounds)
    return [_spread(values[output], lower) for output in outputs]


def _spread(a: Slope, lower: Tensor) -> Slope:
    """A form with a row for every box and every slope, where the node does not depend on the state too."""
    batch, n = lower.shape
    remainder, lower_bound, upper_bound, radius = (part.expand(batch, -1) for part in (a.remainder, *a.range, a.radius))
    terms = filled(a.terms, 1 + n).expand(batch, -1, -1)
    return Slope(terms, remainder, Interval(lower_bound, upper_bound), radius)


def _state(lower: Tensor, upper: Tensor) -> Slope:
    """x = m + h∘e; h is rounded up, so the form covers the box."""
    middle = 0.5 * lower + 0.5 * upper
    half = torch.maximum(upper - middle, middle - lower)
    half = torch.where(half > 0, above(half), half)
    terms = torch.cat((middle[:, None], torch.diag_embed(half)), 1)
    return Slope(terms, torch.zeros_like(middle), Interval(lower, upper), half)
