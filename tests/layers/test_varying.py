"""Weights that vary in time, and their refinement."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from ctrlnet import Separable, ShapeError, UsageError, mlp
from ctrlnet.layers import Antisymmetric, GradientFlow, HamiltonianLayer, SkewGradient, TimeVarying, prolong

Field = Callable[[float, Tensor], Tensor]


def euler(field: Field, x: Tensor, duration: float, steps: int) -> Tensor:
    h = duration / steps
    for j in range(steps):
        x = x + h * field(j * h, x)
    return x


def heun(field: Field, x: Tensor, duration: float, steps: int) -> Tensor:
    h = duration / steps
    for j in range(steps):
        slope = field(j * h, x)
        x = x + h / 2 * (slope + field((j + 1) * h, x + h * slope))
    return x


def smooth(count: int, duration: float, intervals: int) -> list[Antisymmetric]:
    """Layers with K and b that turn smoothly in time, one a node."""
    layers = []
    for j in range(count):
        layer, angle = Antisymmetric(4, seed=0), math.pi * j / intervals
        other = Antisymmetric(4, seed=1)
        for one, two in zip(layer.parameters(), other.parameters(), strict=True):
            one.data = math.cos(angle) * one.data + math.sin(angle) * two.data
        layers.append(layer)
    return layers


@pytest.mark.parametrize("as_tensor", [False, True])
def test_constant_weights_are_those_of_the_layer(as_tensor: bool) -> None:
    """At every node the layer that begins there, though 0.3/0.1 is less than 3; outside, the first and the last."""
    layers = [Antisymmetric(4, damping=0.1, seed=seed) for seed in range(7)]
    varying, x = TimeVarying(layers, 0.7), torch.randn(5, 4, dtype=torch.float64)
    for t, index in [(j * 0.1, j) for j in range(7)] + [(0.05, 0), (0.19, 1), (0.6999, 6), (0.7, 6), (9.0, 6), (-1, 0)]:
        time = torch.tensor(t, dtype=torch.float64) if as_tensor else t
        assert torch.equal(varying(time, x), layers[index](x)), t
    assert varying.intervals == 7 and varying.step == pytest.approx(0.1)
    assert torch.allclose(varying.times, torch.arange(8, dtype=torch.float64) / 10)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_linear_weights_meet_the_nodes_and_lie_between_them(as_tensor: bool) -> None:
    layers = [Antisymmetric(4, seed=seed) for seed in range(4)]
    varying = TimeVarying(layers, 6.0, "linear")
    assert varying.intervals == 3
    for t, low, share in [(0, 0, 0), (2, 1, 0), (3, 1, 0.5), (5.5, 2, 0.75), (6, 2, 1), (8, 2, 1), (-1, 0, 0)]:
        K = varying.at(torch.tensor(t, dtype=torch.float64) if as_tensor else float(t))["K"]
        assert torch.allclose(K, (1 - share) * layers[low].K + share * layers[low + 1].K, rtol=0, atol=1e-15), t


def test_gradients_reach_the_layers_that_act() -> None:
    varying = TimeVarying([mlp((3, 8, 3), seed=seed) for seed in range(4)], 2.0)
    assert set(varying.weights) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    varying(0.6, torch.ones(3, dtype=torch.float64)).sum().backward()
    for stack in varying.parameters():
        assert [bool(one.any()) for one in stack.grad] == [False, True, False, False]


def test_it_is_a_module_of_its_own() -> None:
    layer = SkewGradient(4, seed=0)
    varying = TimeVarying([layer] * 3, 1.0)
    assert [tuple(one.shape) for one in varying.parameters()] == [(3, 4, 4)]  # the fixed identity does not vary
    layer.K.data.zero_()
    x = torch.randn(2, 4, dtype=torch.float64)
    assert float(varying(0.0, x).detach().abs().max()) > 0.1
    again = TimeVarying([layer] * 3, 1.0)
    again.load_state_dict(varying.state_dict())
    assert torch.equal(again(0.5, x), varying(0.5, x))
    assert varying.to(torch.float32)(0.0, x.float()).dtype == torch.float32


def test_separable_layers_stay_separable() -> None:
    layers = [HamiltonianLayer(4, seed=seed) for seed in range(3)]
    varying, x = TimeVarying(layers, 3.0), torch.randn(5, 4, dtype=torch.float64)
    field, (q, p) = varying.separable(), x.chunk(2, -1)
    assert isinstance(field, Separable)
    assert torch.equal(field.force(1.0, q), layers[1].force(0.0, q))
    assert torch.equal(field.velocity(2.5, p), p)
    assert torch.equal(field.rate(1.5, x), varying(1.5, x))
    with pytest.raises(UsageError, match="no velocity and force"):
        TimeVarying([GradientFlow(4)], 1.0).separable()


@pytest.mark.parametrize("interpolation", ["constant", "linear"])
def test_prolongation_is_the_same_function_of_time(interpolation: str) -> None:
    varying = TimeVarying([Antisymmetric(4, seed=seed) for seed in range(5)], 2.0, interpolation)
    fine = varying.prolonged()
    assert fine.intervals == 2 * varying.intervals and fine.duration == varying.duration
    for t in torch.linspace(-0.1, 2.1, 89).tolist():
        for name, value in varying.at(t).items():
            assert torch.allclose(fine.at(t)[name], value, rtol=0, atol=1e-15), t
    assert all(isinstance(one, nn.Parameter) and one.requires_grad for one in fine.parameters())
    fine.weights["K"].data.zero_()
    assert bool(varying.weights["K"].any())


def test_euler_on_the_prolonged_weights_takes_two_half_steps() -> None:
    """Bit for bit: the states of F_2N(P θ) are those of each layer of N applied twice with half its step."""
    layers = [Antisymmetric(4, seed=seed) for seed in range(8)]
    x = torch.randn(5, 4, dtype=torch.float64)
    found, y = euler(TimeVarying(layers, 2.0).prolonged(), x, 2.0, 16), x
    for layer in layers:
        for _ in range(2):
            y = y + 0.125 * layer(y)
    assert torch.equal(found, y)


@pytest.mark.parametrize(
    ("interpolation", "method", "order"), [("constant", euler, 1), ("linear", euler, 1), ("linear", heun, 2)]
)
def test_a_level_and_the_next_agree_to_the_order_of_the_method(interpolation: str, method, order: int) -> None:
    """|F_2N(P θ) - F_N(θ)| = O(h^p) for smooth θ(t)."""
    x, changes = torch.randn(5, 4, dtype=torch.float64), []
    for N in (32, 64, 128):
        varying = TimeVarying(smooth(N + (interpolation == "linear"), 2.0, N), 2.0, interpolation)
        with torch.no_grad():
            coarse, fine = method(varying, x, 2.0, N), method(varying.prolonged(), x, 2.0, 2 * N)
        changes.append(float((fine - coarse).norm()))
    for change, after in pairwise(changes):
        assert math.log2(change / after) == pytest.approx(order, abs=0.15)


def test_roughness_does_not_depend_on_the_level() -> None:
    """Linear weights: exactly; layers that sample a smooth function: ½ ∫ |θ'|² = π²/(2T) (|K|² + |b|²) up to O(h)."""
    varying = TimeVarying([Antisymmetric(4, seed=seed) for seed in range(5)], 2.0, "linear")
    assert varying.prolonged().roughness().item() == pytest.approx(varying.roughness().item(), rel=1e-13)
    rough = [float(TimeVarying(smooth(N, 2.0, N), 2.0).roughness().detach()) for N in (64, 128, 256)]
    assert rough[1] / rough[0] == pytest.approx(1, abs=0.02) and rough[2] / rough[1] == pytest.approx(1, abs=0.01)
    K = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    line = TimeVarying([nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in K], 0.5, "linear")
    line.stacks["weight"].data = K.unsqueeze(-1)
    assert line.roughness().item() == pytest.approx(0.5 * 0.5 * (2 / 0.5) ** 2, rel=1e-15)


def test_prolong_by_hand() -> None:
    values = torch.tensor([[1.0], [3.0], [0.0]])
    assert prolong(values, "constant").flatten().tolist() == [1, 1, 3, 3, 0, 0]
    assert prolong(values, "linear").flatten().tolist() == [1, 2, 3, 1.5, 0]


def test_misuse() -> None:
    layer = Antisymmetric(3)
    with pytest.raises(UsageError, match="interpolation is 'cubic'"):
        TimeVarying([layer], 1.0, "cubic")
    with pytest.raises(UsageError, match="interpolation is 'cubic'"):
        prolong(torch.zeros(2, 1), "cubic")
    with pytest.raises(UsageError, match="0 layers"):
        TimeVarying([], 1.0)
    with pytest.raises(UsageError, match="1 layers"):
        TimeVarying([layer], 1.0, "linear")
    with pytest.raises(UsageError, match="duration"):
        TimeVarying([layer], 0.0)
    with pytest.raises(ShapeError, match="one architecture"):
        TimeVarying([layer, Antisymmetric(4)], 1.0)
    with pytest.raises(UsageError, match="no trainable"):
        TimeVarying([nn.Tanh()], 1.0)
    with pytest.raises(UsageError, match="interpolation='constant'"):
        TimeVarying([layer, layer], 1.0, "linear").slices(lambda layer, x, h: x)
    with pytest.raises(ShapeError, match="share the time"):
        TimeVarying([layer], 1.0)(torch.zeros(2, 1), torch.zeros(2, 3, dtype=torch.float64))
