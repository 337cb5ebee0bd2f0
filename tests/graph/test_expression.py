"""Graphs simplify by identities of the real numbers, in rationals, and by nothing else."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from ctrlnet.graph import Graph, evaluate


@pytest.fixture
def graph() -> Graph:
    return Graph(3)


def test_equal_terms_are_one_node_and_cancel(graph: Graph) -> None:
    a = graph.unary("tanh", graph.linear(graph.input, np.array([[1.0, 2.0, 3.0]])))
    b = graph.unary("tanh", graph.linear(graph.input, np.array([[1.0, 2.0, 3.0]])))
    assert a == b
    assert graph.held(graph.binary("sub", a, b)).all_equal(0)


def test_nearly_equal_terms_do_not_cancel(graph: Graph) -> None:
    a = graph.linear(graph.input, np.array([[1.0, 2.0, 3.0]]))
    b = graph.linear(graph.input, np.array([[1.0, 2.0, np.nextafter(3.0, 4.0)]]))
    assert graph.held(graph.binary("sub", a, b)) is None


def test_constants_fold_in_rationals_not_in_floats(graph: Graph) -> None:
    tenth = graph.constant([Fraction(1, 10)])
    folded = graph.held(graph.binary("mul", tenth, graph.constant([3])))
    assert folded.fractions == (Fraction(3, 10),)
    assert folded.floats is None  # 3/10 is not a float64


def test_a_function_of_a_constant_stays_symbolic(graph: Graph) -> None:
    value = graph.unary("tanh", graph.constant([Fraction(1, 3)]))
    assert graph.held(value) is None
    assert graph.held(graph.unary("tanh", graph.constant([0]))).all_equal(0)


def test_substitution_at_the_equilibrium_cancels_a_networks_offset() -> None:
    """net(x) - net(x*) at x = x* is zero identically, biases and all, for a state that is not the origin."""
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=(8, 2)), generator.normal(size=(1, 8))]
    biases = [[Fraction(float(b)) for b in generator.normal(size=k)] for k in (8, 1)]
    at = [Fraction("0.1"), Fraction(-7, 3)]
    graph = Graph(2)

    def network(state: int) -> int:
        hidden = graph.binary("add", graph.linear(state, weights[0]), graph.constant(biases[0]))
        return graph.binary("add", graph.linear(graph.unary("tanh", hidden), weights[1]), graph.constant(biases[1]))

    difference = graph.binary("sub", network(graph.input), network(graph.constant(at)))
    for state, vanishes in ((at, True), ([Fraction("0.1"), Fraction(-7, 3) + Fraction(1, 10**9)], False)):
        there = Graph(2)
        (image,) = graph.copy_into(there, [difference], there.constant(state))
        assert (there.held(image) is not None and there.held(image).all_equal(0)) == vanishes


def test_taking_and_joining_compose(graph: Graph) -> None:
    joined = graph.concatenate([graph.take(graph.input, [2, 0]), graph.take(graph.input, [1])])
    assert graph.take(joined, [0, 1]) == graph.take(graph.input, [2, 0])
    assert graph.take(graph.input, [0, 1, 2]) == graph.input
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    assert evaluate(graph, [joined], x)[0].tolist() == [[3.0, 1.0, 2.0]]


def test_division_by_a_constant_is_multiplication_by_its_exact_reciprocal(graph: Graph) -> None:
    third = graph.binary("div", graph.input, graph.constant([3, 3, 3]))
    node = graph.nodes[third]
    assert node.operation == "mul"
    assert any(graph.held(a) and graph.held(a).fractions == (Fraction(1, 3),) * 3 for a in node.arguments)
