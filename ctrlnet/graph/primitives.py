"""The table of primitives: how each is evaluated and how it is differentiated, one row a primitive.

`evaluate(values, attribute)` acts on torch tensors of shape (..., size). `adjoint(graph, node, number, bar)` returns
for every argument the node of its adjoint, given the adjoint `bar` of the result (reverse mode):
    ā = (∂f/∂a)ᵀ f̄.
At a kink the derivative of relu is `step`, whose value is the Clarke hull [0, 1] where the argument can be zero;
`jump`, the derivative of `step` and of `jump`, is zero away from zero and unbounded there. The gradient of the norm
is `unit`, in the unit ball where the norm can be zero. `select` has a jump in the direction of its condition, and is
differentiated forwards alone; `floor` jumps at every whole number k, where its value is the set {k - 1, k}.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctrlnet.graph.expression import Graph, Node

Adjoint = Callable[[Graph, Node, int, int], tuple[int, ...]]


@dataclass(frozen=True)
class Primitive:
    evaluate: Callable[[list[Tensor], Any], Tensor]
    adjoint: Adjoint
    certificate: bool = True  # may stand in a certificate; the others arise by differentiation


def _linear_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    return (graph.linear(bar, np.ascontiguousarray(node.attribute.T)),)


def _take_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    """Scatter-add: the transpose of the 0/1 matrix of the selection."""
    weight = np.zeros((graph.size(node.arguments[0]), node.size))
    weight[np.asarray(node.attribute), np.arange(node.size)] = 1.0
    return (graph.linear(bar, weight),)


def _concatenate_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    parts, start = [], 0
    for argument in node.arguments:
        parts.append(graph.take(bar, range(start, start + graph.size(argument))))
        start += graph.size(argument)
    return tuple(parts)


def _sum_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    return (_spread(graph, bar, graph.size(node.arguments[0]) // node.size),)


def _mul_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    a, b = node.arguments
    return graph.binary("mul", bar, b), graph.binary("mul", bar, a)


def _div_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    quotient = graph.binary("div", bar, node.arguments[1])
    return quotient, graph.unary("neg", graph.binary("mul", quotient, number))


def _extremum_adjoint(larger: int, smaller: int) -> Adjoint:
    """max(a, b): ā = step(a - b) f̄, b̄ = (1 - step(a - b)) f̄;  min(a, b): ā = step(b - a) f̄ and so on."""

    def adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
        chosen = graph.unary("step", graph.binary("sub", node.arguments[larger], node.arguments[smaller]))
        other = graph.binary("sub", _ones(graph, chosen), chosen)
        return graph.binary("mul", chosen, bar), graph.binary("mul", other, bar)

    return adjoint


def _norm_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    a, groups = node.arguments[0], node.attribute
    return (graph.binary("mul", graph.unit(a, groups), _spread(graph, bar, graph.size(a) // groups)),)


def _unit_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    """u = a / ‖a‖: ā = (f̄ - u (u·f̄)) / ‖a‖ in every group."""
    a, groups = node.arguments[0], node.attribute
    m = node.size // groups
    along = _spread(graph, graph.sum(graph.binary("mul", number, bar), groups), m)
    across = graph.binary("sub", bar, graph.binary("mul", number, along))
    return (graph.binary("div", across, _spread(graph, graph.norm(a, groups), m)),)


def _forwards_alone(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    """A choice is not differentiated in reverse mode: `differentiate.jacobian` says why."""
    raise NotImplementedError(f"reverse mode through {node.operation}")


def _floor_slope(graph: Graph, a: int, floor: int) -> int:
    """jump(a - ⌊a⌋): zero between whole numbers; at one of them, k, ⌊a⌋ may be k and the argument zero."""
    return graph.unary("jump", graph.binary("sub", a, floor))


def _power_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    p = graph.constant([node.attribute] * node.size)
    slope = graph.binary("mul", p, graph.power(node.arguments[0], node.attribute - 1))
    return (graph.binary("mul", slope, bar),)


def _spread(graph: Graph, a: int, m: int) -> int:
    """Every entry m times."""
    return graph.take(a, [j for j in range(graph.size(a)) for _ in range(m)])


def _derivative(factor: Callable[[Graph, int, int], int]) -> Adjoint:
    """Adjoint of an elementwise function: ā = f'(a) f̄, with f'(a) built from the argument a and the result f."""

    def adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
        return (graph.binary("mul", factor(graph, node.arguments[0], number), bar),)

    return adjoint


def _ones(graph: Graph, like: int) -> int:
    return graph.constant([1] * graph.size(like))


def _twice(graph: Graph, a: int) -> int:
    return graph.binary("mul", graph.constant([2] * graph.size(a)), a)


def _logistic(graph: Graph, a: int) -> int:
    """1 / (1 + e^(-a)) = 1/2 + tanh(a/2)/2."""
    half = graph.constant([Fraction(1, 2)] * graph.size(a))
    return graph.binary("add", half, graph.binary("mul", half, graph.unary("tanh", graph.binary("mul", half, a))))


def _inverse(graph: Graph, a: int) -> int:
    return graph.binary("div", _ones(graph, a), a)


def _no_adjoint(graph: Graph, node: Node, number: int, bar: int) -> tuple[int, ...]:
    return ()


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[[list[Tensor], Any], Tensor]:
    return lambda values, attribute: function(values[0])


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[list[Tensor], Any], Tensor]:
    return lambda values, attribute: function(values[0], values[1])


def _evaluate_norm(values: list[Tensor], groups: Any) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(values[0].unflatten(-1, (groups, -1)), dim=-1)
    return lengths


def _evaluate_unit(values: list[Tensor], groups: Any) -> Tensor:
    """Zero, a point of the unit ball, where the norm is zero."""
    parts = values[0].unflatten(-1, (groups, -1))
    scaled: Tensor = torch.nn.functional.normalize(parts, dim=-1, eps=torch.finfo(parts.dtype).tiny)
    return scaled.flatten(-2)


def _evaluate_linear(values: list[Tensor], weight: Any) -> Tensor:
    return values[0] @ torch.as_tensor(weight, dtype=values[0].dtype, device=values[0].device).T


PRIMITIVES: dict[str, Primitive] = {
    "input": Primitive(lambda values, attribute: values[0], _no_adjoint),
    "constant": Primitive(lambda values, held: torch.as_tensor(held.nearest), _no_adjoint),
    "take": Primitive(lambda values, index: values[0][..., list(index)], _take_adjoint),
    "concatenate": Primitive(lambda values, attribute: torch.cat(values, -1), _concatenate_adjoint),
    "linear": Primitive(_evaluate_linear, _linear_adjoint),
    "sum": Primitive(lambda values, groups: values[0].unflatten(-1, (groups, -1)).sum(-1), _sum_adjoint),
    "add": Primitive(_binary(torch.add), lambda graph, node, number, bar: (bar, bar)),
    "sub": Primitive(_binary(torch.sub), lambda graph, node, number, bar: (bar, graph.unary("neg", bar))),
    "mul": Primitive(_binary(torch.mul), _mul_adjoint),
    "div": Primitive(_binary(torch.div), _div_adjoint),
    "maximum": Primitive(_binary(torch.maximum), _extremum_adjoint(0, 1)),
    "minimum": Primitive(_binary(torch.minimum), _extremum_adjoint(1, 0)),
    "neg": Primitive(_unary(torch.neg), lambda graph, node, number, bar: (graph.unary("neg", bar),)),
    "square": Primitive(_unary(torch.square), _derivative(lambda graph, a, f: _twice(graph, a))),
    "sin": Primitive(_unary(torch.sin), _derivative(lambda graph, a, f: graph.unary("cos", a))),
    "cos": Primitive(_unary(torch.cos), _derivative(lambda graph, a, f: graph.unary("neg", graph.unary("sin", a)))),
    "exp": Primitive(_unary(torch.exp), _derivative(lambda graph, a, f: f)),
    "tanh": Primitive(
        _unary(torch.tanh),
        _derivative(lambda graph, a, f: graph.binary("sub", _ones(graph, f), graph.unary("square", f))),
    ),
    "relu": Primitive(_unary(torch.relu), _derivative(lambda graph, a, f: graph.unary("step", a))),
    "abs": Primitive(
        _unary(torch.abs),
        _derivative(lambda graph, a, f: graph.binary("sub", _twice(graph, graph.unary("step", a)), _ones(graph, a))),
    ),
    "floor": Primitive(_unary(torch.floor), _derivative(_floor_slope)),
    "power": Primitive(lambda values, p: values[0] ** p, _power_adjoint),
    "sqrt": Primitive(_unary(torch.sqrt), _derivative(lambda graph, a, f: _inverse(graph, _twice(graph, f)))),
    "log": Primitive(_unary(torch.log), _derivative(lambda graph, a, f: _inverse(graph, a))),
    "atan": Primitive(
        _unary(torch.atan),
        _derivative(
            lambda graph, a, f: _inverse(graph, graph.binary("add", _ones(graph, a), graph.unary("square", a)))
        ),
    ),
    "softplus": Primitive(
        _unary(lambda a: torch.logaddexp(a, torch.zeros_like(a))), _derivative(lambda graph, a, f: _logistic(graph, a))
    ),
    "erf": Primitive(_unary(torch.erf), _derivative(lambda graph, a, f: graph.unary("bell", a))),
    "norm": Primitive(_evaluate_norm, _norm_adjoint),
    "select": Primitive(lambda values, attribute: torch.where(values[0] > 0, values[1], values[2]), _forwards_alone),
    "step": Primitive(
        _unary(lambda a: torch.heaviside(a, torch.full_like(a, 0.5))),
        _derivative(lambda graph, a, f: graph.unary("jump", a)),
        certificate=False,
    ),
    "jump": Primitive(
        _unary(torch.zeros_like), _derivative(lambda graph, a, f: graph.unary("jump", a)), certificate=False
    ),
    "bell": Primitive(
        _unary(lambda a: 2 / math.sqrt(math.pi) * torch.exp(-a.square())),
        _derivative(lambda graph, a, f: graph.unary("neg", graph.binary("mul", _twice(graph, a), f))),
        certificate=False,
    ),
    "unit": Primitive(_evaluate_unit, _unit_adjoint, certificate=False),
}


def evaluate(graph: Graph, outputs: list[int], x: Tensor) -> list[Tensor]:
    """Plain floating-point values of the outputs at states of shape (..., n): evidence, not proof.

    What does not depend on the state is computed once, not for every state.
    """
    values: dict[int, Tensor] = {}
    for number in graph.reachable(outputs):
        node = graph.nodes[number]
        arguments = [x] if node.operation == "input" else [values[argument] for argument in node.arguments]
        batch = max((argument.shape[:-1] for argument in arguments), key=len, default=())
        arguments = [argument.expand(*batch, -1) for argument in arguments]
        values[number] = PRIMITIVES[node.operation].evaluate(arguments, node.attribute).to(x)
    return [values[output].expand(*x.shape[:-1], -1) for output in outputs]
