"""The proof along rays: true claims are proved and confirmed, false ones never; quotients enclose what they should."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from kinked import FALSE, TRUE, Function, Kinked, absolute, numbers
from torch import Tensor

from ctrlnet import Box, DiscreteDecrease, DiscreteMap, ExponentialStability, certify
from ctrlnet.graph import PRIMITIVES, Graph, evaluate, gradient, inner_product
from ctrlnet.prover import Budget
from ctrlnet.prover.quotients import Quotients
from ctrlnet.prover.ray_refutation import ray_refutation
from ctrlnet.prover.ray_rules import Unsuited
from ctrlnet.prover.slope import slope_bounds


@pytest.mark.parametrize("name", TRUE)
def test_true_claims_are_proved_and_confirmed(name: str) -> None:
    case = TRUE[name]
    found = case.proved()
    assert found is not None
    lower, upper = case.corners
    assert (found.lower > lower).all() and (found.upper < upper).all()
    assert [len(pair) for pair in found.trees] == [2] * case.n
    effort = case.confirm(found.lower, found.upper, found.trees)
    assert effort.leaves == sum(tree.count("p") for pair in found.trees for tree in pair)


@pytest.mark.parametrize("name", FALSE)
def test_false_claims_are_never_proved(name: str) -> None:
    assert FALSE[name].proved(Budget(seconds=5.0, boxes=2000)) is None


def test_the_neighbourhood_is_large_where_nothing_limits_it() -> None:
    case = TRUE["1-norm, flow"]
    found = case.proved()
    assert found is not None and (found.upper > 0.45).all()  # half of what samples allow


def test_the_decisive_constant_is_exact() -> None:
    """The 1-norm of the map is 3/4: kappa just below 1/4 is proved."""
    case = Kinked(
        absolute, FALSE["kappa at its bound: no strict decrease"].F, (Fraction(0),) * 2, kappa=Fraction(2499, 10**4)
    )
    assert case.proved() is not None


# ---- refutations ---------------------------------------------------------------------------------------------------

BORDERLINE = {  # false without a ray along which they fail strictly, or in a sliver that a search does not meet
    "kappa at its bound: no strict decrease", "V zero along a ray", "V negative between two samples",
    "smooth V: the quotient vanishes", "no equilibrium",
}  # fmt: skip


@pytest.mark.parametrize("name", TRUE)
def test_true_claims_are_never_refuted(name: str) -> None:
    assert refuted(TRUE[name]) is None


@pytest.mark.parametrize("name", FALSE)
def test_false_claims_are_refuted_along_a_ray(name: str) -> None:
    """Along all of it: the claim fails at x* + t δ for δ and δ / 2, δ / 4, ..., in rationals where functions are so."""
    case, found = FALSE[name], refuted(FALSE[name])
    assert (found is None) == (name in BORDERLINE)
    if found is not None:
        assert all(fails(case, found[1], 2.0**-k) for k in range(0, 40, 3))


def refuted(case: Kinked) -> tuple[str, Tensor] | None:
    return ray_refutation(case.claim(), case.corners)


def fails(case: Kinked, point: Tensor, t: float) -> bool:
    """Whether a margin is at most 0 at x* + t (x - x*), by values alone: V a step later, or a little later."""
    about = numbers(*map(float, case.at))
    x = about + t * (point[: case.n] - about)
    after, before = case.F(torch.cat((x, point[case.n :]))), case.V(x)
    if case.kappa is not None:
        return bool(case.V(after) > (1 - float(case.kappa)) * before) or bool(before <= 0)
    assert case.rate is not None
    ahead = 1e-3 * t * (x - about).abs()[(x - about).abs() > 0].min()  # no kink through x* is crossed
    return bool((case.V(x + ahead * after) - before) / ahead > -float(case.rate) * before) or bool(before <= 0)


def polyhedral(n: int, seed: int, shift: float, flow: bool) -> tuple[Function, Function, Fraction]:
    """V = |T(x - x*)|₁ under x' = or x⁺ - x* = T⁻¹ N T (x - x*), T unimodular, and its exact rate or 1 - kappa.

    V falls, along every ray, at exactly the rates below -max_j (N_jj + sum of |N_ij|), i other than j; or in a step to
    at most the share max_j sum_i |N_ij|, which is reached.
    """
    generator = np.random.default_rng(seed)
    L, U = (np.eye(n) + k(generator.integers(-1, 2, (n, n)), m) for k, m in ((np.tril, -1), (np.triu, 1)))
    N = generator.integers(-8, 9, (n, n)) / 64 - flow * np.eye(n)
    size = np.abs(N) + flow * np.diag(np.diag(N) - np.abs(np.diag(N)))
    T, M = (torch.from_numpy(part) for part in (L @ U, np.round(np.linalg.inv(L @ U)) @ N @ (L @ U)))
    factor = Fraction(float(size.sum(0).max()))
    at = torch.full((n,), shift, dtype=torch.float64)
    return lambda x: ((x - at) @ T.T).abs().sum(-1), lambda x: (0 if flow else at) + (x - at) @ M.T, factor


@pytest.mark.parametrize("shift", [0.0, 0.25])
@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize(("n", "seed"), [(2, 0), (2, 1), (3, 0)])
def test_linear_loops_are_proved_up_to_their_norm_and_refuted_beyond(
    n: int, seed: int, flow: bool, shift: float
) -> None:
    V, F, bound = polyhedral(n, seed, shift, flow)

    def case(excess: Fraction) -> Kinked:
        constant = {"rate": -bound * (1 + excess)} if flow else {"kappa": 1 - bound * (1 - excess)}
        return Kinked(V, F, (Fraction(shift),) * n, **constant)

    assert refuted(case(Fraction(-1, 10**5))) is None and case(Fraction(-1, 50)).proved() is not None
    assert refuted(case(Fraction(0))) is None
    beyond = case(Fraction(1, 10**5))
    assert refuted(beyond) is not None and beyond.proved() is None


@pytest.mark.parametrize("level", [None, 0.5, 1e-9])
def test_the_state_of_a_ray_is_below_the_level_asked_for(level: float | None) -> None:
    def sheared(x: Tensor) -> Tensor:
        return torch.stack([0.9 * x[..., 0] + 0.3 * x[..., 1], 0.8 * x[..., 1]], -1)

    box = Box([-1.0, -1.0], [1.0, 1.0])
    verdict = certify(DiscreteDecrease(absolute, 0.01), DiscreteMap(sheared), box, level=level)
    x = verdict.counterexample
    assert verdict.status == "falsified" and "no level is true" in verdict.reason
    assert absolute(sheared(x)) > absolute(x) > 0 and (level is None or absolute(x) <= level)


def test_without_a_ray_a_state_that_is_false_is_named() -> None:
    """V = x² has no kink, so its quotient vanishes, and F bends at x*: states alone show that x' = x/2 there."""
    condition = ExponentialStability(lambda x: x.square().sum(-1), 0.1)

    def bent(x: Tensor) -> Tensor:
        return -x + 1.5 * torch.relu(x)

    verdict = certify(condition, bent, Box([-1.0], [1.0]))
    assert verdict.status == "undecided" and str(verdict.limiting_state.tolist()) in verdict.reason
    assert verdict.limiting_state > 0 and verdict.sampled_level >= verdict.limiting_state.square()
    at_it = certify(condition, bent, Box([-1.0], [1.0]), level=verdict.sampled_level)
    assert at_it.status == "falsified" and 0 < at_it.counterexample.square() <= verdict.sampled_level


# ---- quotients -----------------------------------------------------------------------------------------------------


def everything(graph: Graph) -> list[int]:
    """Nodes of every kind over three inputs (x₁, x₂, d), defined near x* = (1/4, -1/2)."""
    x = graph.take(graph.input, [0, 1])
    at = graph.constant([Fraction(1, 4), Fraction(-1, 2)])
    e, d = graph.binary("sub", x, at), graph.take(graph.input, [2, 2])
    three, two = graph.constant([3, 3]), graph.constant([Fraction(1, 3), 2])
    nodes = [graph.unary(name, x) for name in ("sin", "cos", "exp", "tanh", "relu", "abs", "square", "neg")]
    nodes += [graph.unary(name, e) for name in ("relu", "abs", "square", "sin")]
    nodes += [graph.unary(name, x) for name in ("atan", "softplus", "erf") if name in PRIMITIVES]
    nodes += [graph.unary(name, graph.binary("add", x, three)) for name in ("sqrt", "log") if name in PRIMITIVES]
    nodes += [graph.binary(name, e, graph.unary("neg", e)) for name in ("maximum", "minimum")]
    nodes += [graph.binary(name, x, two) for name in ("maximum", "minimum", "mul")]
    swapped = graph.take(x, [1, 0])
    nodes += [graph.binary(name, x, swapped) for name in ("mul", "sub")]
    nodes += [graph.binary("div", swapped, graph.binary("add", x, three)), graph.binary("mul", d, e)]
    nodes += [graph.unary("relu", graph.binary("sub", e, graph.constant([Fraction(1, 10), Fraction(-1, 10)])))]
    nodes += [graph.binary("mul", graph.unary("abs", e), d), graph.unary("relu", graph.binary("mul", d, e))]
    return nodes


LOWER, UPPER = (torch.tensor(side, dtype=torch.float64) for side in ([-0.05, -0.9, 0.5], [0.55, -0.1, 1.5]))
ABOUT = torch.tensor([0.25, -0.5], dtype=torch.float64)


def leaf_boxes(generator: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """Random boxes on the faces of R, times D."""
    ends = LOWER + (UPPER - LOWER) * torch.rand(2, count, 3, generator=generator, dtype=torch.float64)
    lower, upper = ends.amin(0), ends.amax(0)
    for box in range(count):
        axis, side = box % 2, (LOWER, UPPER)[box // 2 % 2]
        lower[box, axis] = upper[box, axis] = side[axis]
    return lower, upper


def rays_through(generator: torch.Generator, lower: Tensor, upper: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """t, and x* + t e with d, for random points of the boxes, (count, B, ...)."""
    point = lower + (upper - lower) * torch.rand(count, *lower.shape, generator=generator, dtype=torch.float64)
    t = 10.0 ** -(3 * torch.rand(count, len(lower), 1, generator=generator, dtype=torch.float64))
    t[0] = 1.0
    return t, torch.cat((ABOUT + t * (point[..., :2] - ABOUT), point[..., 2:]), -1)


@pytest.fixture(scope="module")
def sampled() -> tuple[Graph, list[int], Tensor, Tensor, Tensor, Tensor]:
    """A graph, its nodes, leaf boxes, and t and states (count, B, ...) on rays through them."""
    graph, generator = Graph(3), torch.Generator().manual_seed(0)
    nodes = everything(graph)
    lower, upper = leaf_boxes(generator, 16)
    return graph, nodes, lower, upper, *rays_through(generator, lower, upper, 200)


def test_quotients_enclose_what_they_should(sampled: tuple[Graph, list[int], Tensor, Tensor, Tensor, Tensor]) -> None:
    graph, nodes, lower, upper, t, states = sampled
    rays = Quotients((Fraction(1, 4), Fraction(-1, 2)), LOWER, UPPER)
    resting = torch.cat((ABOUT.expand(*states.shape[:-1], 2), states[..., 2:]), -1)
    for ray, node in zip(rays.along(graph, nodes), nodes, strict=True):
        bounds = slope_bounds(rays.graph, [ray.quotient], lower, upper)[0].range
        after, before = (evaluate(graph, [node], x)[0] for x in (states, resting))
        quotient, slack = (after - before) / t, 1e-12 / t
        assert (quotient >= bounds.lower - slack).all() and (quotient <= bounds.upper + slack).all()


def test_tangents_enclose_derivatives(sampled: tuple[Graph, list[int], Tensor, Tensor, Tensor, Tensor]) -> None:
    graph, nodes, lower, upper, _, states = sampled
    rays = Quotients((Fraction(1, 4), Fraction(-1, 2)), LOWER, UPPER)
    motion = [Fraction(7, 10), Fraction(-2, 5)]
    direction = graph.constant([*motion, Fraction(0)])
    for ray, node in zip(rays.along(graph, nodes, motion=rays.graph.constant(motion)), nodes, strict=True):
        bounds = slope_bounds(rays.graph, [ray.tangent], lower, upper)[0].range
        for j in range(graph.size(node)):
            (value,) = evaluate(graph, [inner_product(graph, gradient(graph, node, j), direction)], states)
            assert (value[..., 0] >= bounds.lower[:, j] - 1e-12).all()
            assert (value[..., 0] <= bounds.upper[:, j] + 1e-12).all()


def test_a_switch_that_jumps_at_the_equilibrium_is_refused() -> None:
    graph = Graph(1)
    output = graph.select(graph.input, graph.constant([1]), graph.constant([2]))
    with pytest.raises(Unsuited):
        Quotients((Fraction(0),), -torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)).along(
            graph, [output]
        )


def test_unknowns_do_not_cancel() -> None:
    """Two functions with one range of slopes: sin(100 x) and sin(100 x + 1) have different quotients."""
    graph = Graph(1)
    z = graph.binary("mul", graph.constant([100]), graph.input)
    parts = [graph.unary("sin", z), graph.unary("sin", graph.binary("add", z, graph.constant([1])))]
    node = graph.binary("sub", parts[0], parts[1])
    rays = Quotients(
        (Fraction(0),), torch.tensor([-1.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    )
    (ray,) = rays.along(graph, [node])
    one = torch.ones(1, 1, dtype=torch.float64)
    bounds = slope_bounds(rays.graph, [ray.quotient], one, one)[0].range
    t = torch.linspace(1e-3, 1, 999, dtype=torch.float64)[:, None]
    quotient = (evaluate(graph, [node], t)[0] - evaluate(graph, [node], 0 * t)[0]) / t
    assert quotient.abs().max() > 10
    assert bounds.lower <= quotient.min() and quotient.max() <= bounds.upper
