"""A traced graph held against its function: equal up to rounding, at states it was not traced at.

What rounding may do to an entry is judged by its *scale*, the size of what is added up to make it: |a| + |b| for a
sum, |W||a| for a linear map, the product of the scales for a product. So a difference shows in every entry, however
small its units and whatever is large beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ctrlnet.errors import LyingTrace, NonFinite, UsageError
from ctrlnet.graph.expression import Graph
from ctrlnet.graph.primitives import PRIMITIVES

AGREEMENT = {torch.float64: 1e-10, torch.float32: 1e-4}  # of the scale

Scale = Callable[[list[Tensor], list[Tensor], Tensor, Any], Tensor]  # arguments, their scales, value, attribute


def _sum_of_scales(values: list[Tensor], scales: list[Tensor], value: Tensor, attribute: Any) -> Tensor:
    return scales[0] + scales[1]


def _moved(operation: str) -> Scale:
    """Operations that are linear with weights 0 and 1 act on scales as on values."""
    return lambda values, scales, value, attribute: PRIMITIVES[operation].evaluate(scales, attribute)


def _bounded_slope(values: list[Tensor], scales: list[Tensor], value: Tensor, attribute: Any) -> Tensor:
    """Functions whose slope is at most 1."""
    return scales[0] + value.abs()


def _either_branch(values: list[Tensor], scales: list[Tensor], value: Tensor, attribute: Any) -> Tensor:
    """Where rounding may turn the condition, both branches are right: their distance is allowed."""
    agreement = AGREEMENT[value.dtype]
    undecided = values[0].abs() <= agreement * scales[0]
    distance = (values[1] - values[2]).abs() / agreement
    chosen = torch.where(values[0] > 0, scales[1], scales[2])
    return torch.where(undecided, scales[1] + scales[2] + distance, chosen)


def _either_side(values: list[Tensor], scales: list[Tensor], value: Tensor, attribute: Any) -> Tensor:
    """Where rounding may carry the argument past a whole number, the next one is right too."""
    agreement = AGREEMENT[value.dtype]
    undecided = (values[0] - values[0].round()).abs() <= agreement * scales[0]
    return value.abs() + undecided / agreement


SCALES: dict[str, Scale] = {
    "take": _moved("take"),
    "concatenate": _moved("concatenate"),
    "sum": _moved("sum"),
    "linear": lambda values, scales, value, weight: PRIMITIVES["linear"].evaluate(scales, abs(weight)),
    "add": _sum_of_scales,
    "sub": _sum_of_scales,
    "maximum": _sum_of_scales,
    "minimum": _sum_of_scales,
    "mul": lambda values, scales, value, _: scales[0] * scales[1],
    "div": lambda values, scales, value, _: scales[0] * scales[1] / values[1].square(),
    "square": lambda values, scales, value, _: scales[0].square(),
    "exp": lambda values, scales, value, _: value * (1 + scales[0]),
    "neg": lambda values, scales, value, _: scales[0],
    "power": lambda values, scales, value, p: scales[0] ** p,
    "sqrt": lambda values, scales, value, _: value + scales[0] / value.clamp(min=torch.finfo(value.dtype).tiny),
    "log": lambda values, scales, value, _: value.abs() + scales[0] / values[0].abs(),
    "norm": _moved("norm"),
    "select": _either_branch,
    "floor": _either_side,
    **dict.fromkeys(("sin", "cos", "tanh", "relu", "abs", "atan", "softplus"), _bounded_slope),
    "erf": lambda values, scales, value, _: 2 * scales[0],
}


def values_and_scale(graph: Graph, output: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """Floating-point values of a node at states (count, n), and what rounding is measured by, both (count, size)."""
    values: dict[int, Tensor] = {}
    scales: dict[int, Tensor] = {}
    for number in graph.reachable([output]):
        node = graph.nodes[number]
        arguments = [x] if node.operation == "input" else [values[argument] for argument in node.arguments]
        value = PRIMITIVES[node.operation].evaluate(arguments, node.attribute).to(x).expand(len(x), node.size)
        known = [scales[argument] for argument in node.arguments]
        scales[number] = SCALES[node.operation](arguments, known, value, node.attribute) if known else value.abs()
        values[number] = value
    return values[output], scales[output]


def compare(
    function: Callable[[Tensor], Tensor], graph: Graph, output: int, states: Tensor, name: str, precision: torch.dtype
) -> None:
    """Raise unless graph and function agree at states (count, n), one state at a time and in a batch.

    precision: the least that the function computes in, at most that of the states.
    """
    given = states.clone()
    with torch.no_grad():
        expected = torch.stack([function(state).reshape(-1) for state in given])
        batch = function(given)
    if not torch.equal(given, states):
        raise LyingTrace(f"{name} changes the state it is given. Work on new tensors.")
    if not expected.isfinite().all():
        raise NonFinite(f"{name} is NaN or infinite at {states[~expected.isfinite().all(-1)][0].tolist()}.")
    found, scale = values_and_scale(graph, output, states)
    allowed = max(AGREEMENT[states.dtype], AGREEMENT[precision]) * scale
    differs = ~((found - expected).abs() <= allowed)
    if differs.any():
        state = states[differs.any(-1)][0].tolist()
        raise LyingTrace(
            f"The trace of {name} differs from it at x = {state}. Part of the function is hidden from torch (numpy, "
            ".item(), .tolist(), a random or remembered value): write it in torch operations of x."
        )
    if batch.numel() != expected.numel() or not ((batch.reshape(expected.shape) - expected).abs() <= allowed).all():
        raise UsageError(
            f"{name} mixes the rows of a batch, or is random: {name}(X)[i] differs from {name}(X[i]). "
            "Index the state as x[..., i], reduce with dim=-1, and put modules in eval()."
        )
