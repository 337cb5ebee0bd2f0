"""Adjoints of every primitive against autograd at smooth points, twice; folding and simplification of the new ones."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from ctrlnet.graph import Graph, evaluate, gradient, trace

STATES = torch.randn(16, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))

Builder = Callable[[Graph], int]
UNARY = ("sin", "cos", "exp", "tanh", "relu", "abs", "square", "neg", "atan", "softplus", "erf")
BUILDERS: dict[str, tuple[Builder, Callable[[Tensor], Tensor]]] = {
    **{
        name: (lambda g, name=name: g.unary(name, g.input), lambda x, f=f: f(x))
        for name, f in [(name, getattr(torch, name, None) or getattr(torch.nn.functional, name)) for name in UNARY]
    },
    "sqrt": (lambda g: g.unary("sqrt", g.unary("exp", g.input)), lambda x: x.exp().sqrt()),
    "log": (lambda g: g.unary("log", g.unary("softplus", g.input)), lambda x: torch.nn.functional.softplus(x).log()),
    "power": (lambda g: g.power(g.input, 5), lambda x: x**5),
    "norm": (lambda g: g.norm(g.input, 2), lambda x: x.unflatten(-1, (2, 2)).norm(dim=-1)),
    "select": (
        lambda g: g.select(g.unary("sin", g.input), g.unary("exp", g.input), g.unary("square", g.input)),
        lambda x: torch.where(x.sin() > 0, x.exp(), x.square()),
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_first_and_second_derivatives_are_those_of_autograd(name: str) -> None:
    build, function = BUILDERS[name]
    graph = Graph(4)
    weights = torch.arange(1.0, 5.0, dtype=torch.float64)
    node = build(graph)
    weighted = graph.binary("mul", node, graph.constant(weights[: graph.size(node)].numpy()))
    slope = gradient(graph, graph.sum(weighted, 1))
    curvature = gradient(graph, graph.sum(graph.binary("mul", slope, graph.constant(weights.numpy())), 1))
    found = evaluate(graph, [slope, curvature], STATES)

    def value(x: Tensor) -> Tensor:
        result = function(x)
        return (result * weights[: result.shape[-1]]).sum()

    first = torch.func.grad(value)
    second = torch.func.grad(lambda x: (first(x) * weights).sum())
    for derivative, values in ((first, found[0]), (second, found[1])):
        assert torch.allclose(values, torch.stack([derivative(x) for x in STATES]), rtol=1e-9, atol=1e-9)


def _where(function: Callable[[Tensor], Tensor]) -> Graph:
    graph, output = trace(function, 4, STATES, (4,))
    kept = Graph(4)
    graph.copy_into(kept, [output], kept.input)
    return kept


def test_a_continuous_choice_becomes_a_relu() -> None:
    for function in (
        lambda x: torch.where(x > 0, x, 0.1 * x),
        lambda x: torch.where(x > 1, torch.ones_like(x), x),
        lambda x: torch.where(x < 0, -x, x),
    ):
        assert "select" not in {node.operation for node in _where(function).nodes}
    jumping = _where(lambda x: torch.where(x > 0, x + 1, x))
    assert "select" in {node.operation for node in jumping.nodes}


def test_a_choice_with_an_undefined_branch_is_left_alone() -> None:
    graph = Graph(1)
    root = graph.unary("sqrt", graph.input)
    chosen = graph.select(graph.input, graph.binary("add", root, graph.input), root)
    assert graph.nodes[chosen].operation == "select"
    assert graph.select(root, graph.input, graph.input) != graph.input


def test_what_may_be_undefined_does_not_cancel() -> None:
    graph = Graph(1)
    for operation in ("sqrt", "log"):
        a = graph.unary(operation, graph.input)
        assert graph.held(graph.binary("sub", a, a)) is None
        b = graph.unary(operation, graph.unary("exp", graph.input) if operation == "sqrt" else graph.constant([2]))
        assert graph.held(graph.binary("sub", b, b)).all_equal(0)


def test_exact_values_of_constants() -> None:
    graph = Graph(1)
    assert graph.held(graph.unary("sqrt", graph.constant([Fraction(9, 4)]))).fractions == (Fraction(3, 2),)
    assert graph.held(graph.unary("sqrt", graph.constant([2]))) is None
    assert graph.held(graph.unary("log", graph.constant([1]))).all_equal(0)
    assert graph.held(graph.norm(graph.constant([3, 4, 0, 0]), 2)).fractions == (5, 0)
    assert graph.held(graph.power(graph.constant([Fraction(1, 2)]), 3)).fractions == (Fraction(1, 8),)
    for a, b in (("bell", 0), ("softplus", 0), ("erf", 1)):
        assert graph.held(graph.unary(a, graph.constant([b]))) is None
