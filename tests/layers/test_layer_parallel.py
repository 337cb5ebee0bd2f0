"""Multigrid over the layers gives the layers' states and gradients."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import ShapeError, UsageError
from ctrlnet.layers import Antisymmetric, GradientFlow, HamiltonianLayer, Pieces, TimeVarying, layer_parallel, mlp

LAYERS, M = 64, 4
POINTS = LAYERS // M
PLANS: dict[str, dict[str, Any]] = {
    "FCF": {"iterations": POINTS // 2},
    "F": {"iterations": POINTS, "relaxation": "F"},
    "three levels": {"levels": 3, "iterations": POINTS // 2},
    "six levels of 2": {"levels": 6, "coarsening": 2, "iterations": LAYERS // 4},
    "three levels, F": {"levels": 3, "iterations": POINTS, "relaxation": "F"},
    "serial": {"levels": 1},
    "default": {},
}


def semi_implicit_euler(layer: HamiltonianLayer, x: Tensor, h: float) -> Tensor:
    q, p = x.chunk(2, -1)
    p = p + h * layer.force(0.0, q)
    return torch.cat([q + h * layer.velocity(0.0, p), p], -1)


def euler(layer: torch.nn.Module, x: Tensor, h: float) -> Tensor:
    return x + h * layer(x)


NETWORKS: dict[str, tuple[Callable[[int], torch.nn.Module], Callable[[Any, Tensor, float], Tensor]]] = {
    "damped": (lambda seed: Antisymmetric(4, damping=0.2, seed=seed), euler),
    "contracting": (lambda seed: GradientFlow(4, seed=seed), euler),
    "Hamiltonian": (lambda seed: HamiltonianLayer(4, seed=seed), semi_implicit_euler),
    "mlp": (lambda seed: mlp((4, 8, 4), seed=seed), euler),
}


class Problem:
    """A network whose layers all differ, one after the other, and a loss of all its states."""

    def __init__(self, kind: str = "damped", layers: int = LAYERS, duration: float = 4.0) -> None:
        make, one = NETWORKS[kind]
        self.varying = TimeVarying([make(seed) for seed in range(layers)], duration)
        self.step, self.weights, self.h = self.varying.slices(one), self.varying.weights, self.varying.step
        self.x0 = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
        self.factors = torch.randn(layers + 1, 3, 4, dtype=torch.float64)
        states = [self.x0]
        for j in range(layers):
            weights = {name: one[j : j + 1] for name, one in self.weights.items()}
            states.append(self.step(weights, states[-1].unsqueeze(0), self.h).squeeze(0))
        self.states = torch.stack(states)
        self.gradients = self.gradients_of(self.states)

    def gradients_of(self, states: Tensor) -> tuple[Tensor, ...]:
        loss = (states * self.factors).sum() + states[-1].square().sum()
        return torch.autograd.grad(loss, [self.x0, *self.varying.parameters()])

    def parallel(self, **options: Any) -> Tensor:
        return layer_parallel(self.step, self.weights, self.x0, h=self.h, **options)

    def residual(self, states: Tensor) -> float:
        with torch.no_grad():
            return float((self.step(self.weights, states[:-1], self.h) - states[1:]).norm())


def relative(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("plan", PLANS)
def test_it_is_exact_after_half_as_many_iterations_as_points(plan: str) -> None:
    problem = Problem()
    states = problem.parallel(**PLANS[plan])
    assert float((states - problem.states).detach().abs().max()) <= 1e-12
    assert relative(problem.gradients_of(states), problem.gradients) <= 1e-12


@pytest.mark.parametrize("kind", NETWORKS)
def test_it_is_exact_for_every_kind_of_layer(kind: str) -> None:
    problem = Problem(kind, layers=24, duration=2.0)
    states = problem.parallel(coarsening=3)
    assert float((states - problem.states).detach().abs().max()) <= 1e-12
    assert relative(problem.gradients_of(states), problem.gradients) <= 1e-12


def test_one_iteration_less_is_not_exact() -> None:
    """The count is sharp, so that the tests above see something."""
    problem = Problem()
    for relaxation, count in (("FCF", POINTS // 2), ("F", POINTS)):
        states = problem.parallel(iterations=count - 2, relaxation=relaxation)
        assert float((states - problem.states).abs().max()) > 1e-12


def test_shared_weights_are_expanded_ones() -> None:
    W = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    x0 = torch.randn(3, 4, dtype=torch.float64)
    step = lambda weights, x, h: x - h * torch.tanh(x @ weights["W"].mT)  # noqa: E731
    states = layer_parallel(step, {"W": W.expand(32, 4, 4)}, x0, h=0.1)
    expected = [x0]
    for _ in range(32):
        expected.append(expected[-1] - 0.1 * torch.tanh(expected[-1] @ W.T))
    assert torch.allclose(states, torch.stack(expected), rtol=0, atol=1e-13)
    (found,) = torch.autograd.grad(states[-1].sum(), W)
    (wanted,) = torch.autograd.grad(expected[-1].sum(), W)
    assert torch.allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("relaxation", ["F", "FCF"])
def test_the_serial_states_are_a_fixed_point(relaxation: str) -> None:
    problem = Problem()
    states = problem.parallel(iterations=1, relaxation=relaxation, start=problem.states.detach()).detach()
    assert float((states - problem.states).detach().abs().max()) <= 1e-14


@pytest.mark.parametrize(("relaxation", "levels"), [("F", 2), ("FCF", 2), ("FCF", 3)])
def test_the_residual_falls_in_every_iteration(relaxation: str, levels: int) -> None:
    """For layers like these: no theorem says so where the coarse step is too long for the coarse layers."""
    problem = Problem("damped")
    residuals = [
        problem.residual(problem.parallel(iterations=k, relaxation=relaxation, levels=levels).detach())
        for k in range(POINTS // 2 + 1)
    ]
    above = [(before, after) for before, after in pairwise(residuals) if before > 1e-14]
    assert len(above) >= 3
    assert all(after < before for before, after in above)


def bound_case(growth: Callable[[float], float], h: float) -> tuple[float, Callable[..., Tensor]]:
    """|λ_c - λ^m| (1 - λ_c^15)/(1 - λ_c), and a layer that multiplies by λ(h)."""
    layer, coarse = growth(h), growth(M * h)
    bound = abs(coarse - layer**M) * (1 - coarse ** (POINTS - 1)) / (1 - coarse)
    return bound, lambda weights, x, h: growth(h) * x


@pytest.mark.parametrize(
    ("growth", "h"), [(lambda h: 1 - h, 0.03), (lambda h: 1 / (1 + h), 1 / 0.97 - 1)], ids=["Euler", "implicit Euler"]
)
def test_the_error_falls_by_the_linear_bound(growth: Callable[[float], float], h: float) -> None:
    """λ = 0.97 a layer, m = 4, 16 C-points: at most |λ_c - λ^m| (1 - λ_c^15)/(1 - λ_c), with FCF times λ^m.

    Source: Dobrev, Kolev, Petersson and Schroder, Two-level convergence theory for multigrid reduction in time, 2017.
    """
    bound, step = bound_case(growth, h)
    weights = {"none": torch.zeros(LAYERS, 1, dtype=torch.float64)}
    x0 = torch.ones(1, dtype=torch.float64)
    exact = 0.97 ** torch.arange(LAYERS + 1, dtype=torch.float64).unsqueeze(-1)
    for relaxation, rate in (("F", bound), ("FCF", bound * 0.97**M)):
        for start in (torch.zeros_like(exact), torch.randn_like(exact)):
            start[0] = x0
            plan = {"h": h, "coarsening": M, "relaxation": relaxation, "start": start}
            found = [layer_parallel(step, weights, x0, iterations=k, **plan) for k in range(1, 5)]
            errors = [float((states - exact)[::M].norm()) for states in found]
            for before, after in pairwise(errors):
                assert after <= rate * before + 1e-14
    assert 0.03 < bound < 0.04


def test_a_start_spares_iterations() -> None:
    """Weights that moved by a thousandth, as in a training step: from the states before, one iteration is closer."""
    problem = Problem("contracting")
    before = problem.states.detach()
    with torch.no_grad():
        for stack in problem.varying.parameters():
            stack += 1e-3 * torch.randn_like(stack)
    exact = problem.parallel()
    cold, warm = (problem.parallel(iterations=1, start=start) for start in (None, before))
    assert float((warm - exact).detach().norm()) < 0.1 * float((cold - exact).detach().norm())


def test_no_second_derivatives() -> None:
    problem = Problem(layers=8)
    (gradient,) = torch.autograd.grad(problem.parallel().square().sum(), problem.x0, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def run(processes: int) -> list[dict[str, dict[str, float]]]:
    """What each process of tests/support/layer_pieces.py tells."""
    support = Path(__file__).parents[1] / "support"
    port = str(20000 + (os.getpid() + 7 * processes) % 20000)
    environment = {**os.environ, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    environment |= {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(support / "layer_pieces.py")]
    others = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(processes)
    ]
    try:
        told = [other.communicate(timeout=120)[0] for other in others]
    finally:
        for other in others:
            other.kill()
    assert [other.returncode for other in others] == [0] * processes
    return [json.loads(text.splitlines()[-1]) for text in told]


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_that_share_the_layers_equal_one(processes: int) -> None:
    """States and gradients, exact or not, are those of one process with all layers."""
    for told in run(processes):
        assert len(told) == 7
        for name, differences in told.items():
            assert max(differences.values()) <= 1e-12, name


def test_misuse() -> None:
    step = lambda weights, x, h: x + h * weights["b"].unsqueeze(-2)  # noqa: E731
    x0, weights = torch.zeros(3, 2, dtype=torch.float64), {"b": torch.zeros(8, 2, dtype=torch.float64)}
    assert layer_parallel(step, weights, x0).shape == (9, 3, 2)
    for options, message in (
        ({"relaxation": "C"}, "relaxation is 'C'"),
        ({"coarsening": 1}, "coarsening is 1"),
        ({"levels": 0}, "levels 0"),
        ({"iterations": -1}, "iterations -1"),
        ({"coarsening": 3}, "8 layers do not divide"),
        ({"levels": 3}, "multiple of 16"),
    ):
        with pytest.raises(UsageError, match=message):
            layer_parallel(step, weights, x0, **options)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="of no layers"):
        layer_parallel(step, {}, x0)
    with pytest.raises(ShapeError, match="one N"):
        layer_parallel(step, {**weights, "c": torch.zeros(7)}, x0)
    with pytest.raises(ShapeError, match="start has shape"):
        layer_parallel(step, weights, x0, start=torch.zeros(8, 3, 2))
    with pytest.raises(ShapeError, match="step maps"):
        layer_parallel(lambda weights, x, h: x[..., :1], weights, x0)
    with pytest.raises(UsageError, match="no process group"):
        Pieces()


PAGE = Path(__file__).parents[2] / "docs" / "layer-parallel.md"


def test_the_pages_example_runs() -> None:
    (script,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    exec(compile(script, str(PAGE), "exec", dont_inherit=True), {"__name__": "docs"})


@pytest.mark.parametrize(("layers", "m", "k"), [(1024, 16, 1), (1024, 16, 2), (4096, 32, 1)])
def test_the_page_has_the_models_limits(layers: int, m: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PAGE.parents[1] / "benchmarks")
    name = "layer_parallel"
    benchmark = importlib.import_module(name)
    try:
        assert benchmark.limits(benchmark.Case(layers, 8, 16, m, k, "cpu")) in PAGE.read_text(encoding="utf-8")
    finally:
        del sys.modules[name]
