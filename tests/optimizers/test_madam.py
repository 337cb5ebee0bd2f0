"""Madam, on floating-point numbers and on logarithmic integers, against formulas in numpy and their invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_oracle import drawn, gap, run
from torch import nn

import ctrlnet
from ctrlnet import UsageError, mlp

Madam, MadamInteger = (ctrlnet.load("optimizers", name) for name in ("madam", "madam_integer"))


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
def test_it_is_the_published_rule_over_100_steps(foreach, maximize):
    weights, gradients = drawn(100)
    options = {"lr": 0.02, "beta": 0.9, "g_bound": 2.0, "foreach": foreach, "maximize": maximize}
    moved, _ = run(lambda params: Madam(params, **options), weights, gradients)
    for place, weight in enumerate(weights):
        limit, moment = 3 * np.sqrt((weight**2).mean()), np.zeros_like(weight)
        for t, row in enumerate(gradients, 1):
            gradient = -row[place] if maximize else row[place]
            moment = 0.9 * moment + 0.1 * gradient**2
            root = np.sqrt(moment / (1 - 0.9**t))
            u = np.divide(gradient, root, out=np.zeros_like(weight), where=root > 0).clip(-2, 2)
            weight = (weight * np.exp(-0.02 * np.sign(weight) * u)).clip(-limit, limit)
        weights[place] = weight
    assert gap(moved, weights) <= 1e-12


def test_pieces_of_a_long_tensor_are_one_tensor():
    """A tensor longer than the pieces in which it is worked on, with a last piece of another length."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(500, 600, generator=generator, dtype=torch.float64)
    long, parts = nn.Parameter(start.clone()), [nn.Parameter(row.clone()) for row in start.split(100)]
    limits = {"p_scale": 100.0}
    one, other = Madam([long], **limits), Madam(parts, **limits)
    for _ in range(3):
        long.grad = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        for part, gradient in zip(parts, long.grad.split(100), strict=True):
            part.grad = gradient
        one.step(), other.step()
    assert torch.equal(long, torch.cat(parts)) and not torch.equal(long, start)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([torch.float32, torch.float64]), st.sampled_from([Madam, MadamInteger]))
def test_signs_stay_sizes_are_bounded_and_so_are_changes(seed, dtype, kind):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(40, 5, generator=generator, dtype=dtype)
    start[3] = 0
    weight = nn.Parameter(start.clone())
    optimizer = kind([weight], lr=0.05, p_scale=1.5, g_bound=3.0)
    limit, previous = 1.5 * float(start.square().mean().sqrt()), None
    for _ in range(20):
        weight.grad = 10 ** (4 * torch.randn((), generator=generator, dtype=dtype)) * torch.randn(
            start.shape, generator=generator, dtype=dtype
        )
        optimizer.step()
        assert torch.equal(weight.sign(), start.sign())
        assert float(weight.detach().abs().max()) <= limit * (1 + torch.finfo(dtype).eps)
        if previous is not None:
            moving = previous != 0
            ratio = (weight.detach()[moving] / previous[moving]).log().abs()
            assert float(ratio.max()) <= 0.05 * 3 + (4.1 / 2**12 if kind is MadamInteger else 0) + 1e-5
        previous = weight.detach().clone()


@pytest.mark.parametrize("kind", [Madam, MadamInteger])
def test_a_tensor_of_zeros_is_refused_before_anything_moves(kind):
    layer = nn.Linear(3, 4)
    nn.init.zeros_(layer.bias)
    optimizer = kind.for_module(layer)
    before = layer.weight.detach().clone()
    layer(torch.ones(2, 3)).sum().backward()
    with pytest.raises(UsageError, match=r"'bias' is zero throughout.*normal_\(bias, std=0\.01\)"):
        optimizer.step()
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_the_integer_rule_is_its_formula_over_100_steps(bits):
    weights, gradients = drawn(100)
    moved, optimizer = run(lambda params: MadamInteger(params, lr=0.03, bits=bits, beta=0.9), weights, gradients)
    step = 4.1 / 2**bits
    for place, weight in enumerate(weights):
        limit, signs = 3 * np.sqrt((weight**2).mean()), np.sign(weight)
        n = np.rint(-np.log(np.abs(weight) / limit) / step).clip(0, 2**bits - 1)
        rows = (len(weight), -1) if weight.ndim > 1 else (1, -1)
        moment = 0.0
        for t, row in enumerate(gradients, 1):
            gradient = row[place].reshape(rows)
            moment = 0.9 * moment + 0.1 * (gradient**2).mean(1, keepdims=True)
            u = (gradient / np.sqrt(moment / (1 - 0.9**t))).clip(-10, 10).reshape(weight.shape)
            n = (n + np.rint(0.03 * u * signs / step)).clip(0, 2**bits - 1)
        weights[place] = signs * limit * np.exp(-step * n)
        code = optimizer.state[optimizer.param_groups[0]["params"][place]]["code"]
        assert np.array_equal(code.numpy(), signs * (n + 1)) and code.dtype == torch.int16
    assert gap(moved, weights) <= 1e-12


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_rounding_to_integers_is_within_half_a_step(bits):
    start = torch.randn(200, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight = nn.Parameter(start.clone())
    weight.grad = torch.zeros_like(weight)
    MadamInteger([weight], bits=bits).step()
    limit, step = 3 * float(start.square().mean().sqrt()), 4.1 / 2**bits
    inside = (start.abs() <= limit) & (start.abs() >= limit * np.exp(-4.1 + step))
    error = (weight.detach() / start).log().abs()
    assert float(inside.double().mean()) > 0.9
    assert 0.4 * step <= float(error[inside].max()) <= step / 2 * (1 + 1e-9)


def trained(optimizer, module: nn.Module) -> float:
    x = torch.linspace(-1, 1, 128).reshape(64, 2)
    for _ in range(300):
        module.zero_grad()
        loss = (module(x).squeeze(-1) - (3 * x[:, 0]).sin() * x[:, 1]).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_integers_of_8_to_12_bits_train_about_as_floats_do():
    module = mlp((2, 32, 32, 1), seed=0, dtype=torch.float32)
    first = trained(torch.optim.SGD(module.parameters(), lr=0.0), module)
    module = mlp((2, 32, 32, 1), seed=0, dtype=torch.float32)
    floats = trained(Madam.for_module(module), module)
    for bits in (8, 10, 12):
        module = mlp((2, 32, 32, 1), seed=0, dtype=torch.float32)
        integers = trained(MadamInteger.for_module(module, bits=bits), module)
        print(f"{bits} bits: {integers:.2e}, floats {floats:.2e}, at first {first:.2e}")
        assert integers < 0.1 * first


def test_memory_is_counted_by_kind():
    module = nn.Linear(64, 32)
    optimizer = MadamInteger.for_module(module)
    module(torch.ones(2, 64)).sum().backward()
    optimizer.step()
    weights = 32 * 64 + 32
    assert optimizer.memory() == {
        "codes": 2 * weights, "moments": 4 * (32 + 1), "scalars": 2 * 2 * 4, "float view": 4 * weights,
    }  # fmt: skip
    assert optimizer.memory()["moments"] <= weights


def test_codes_survive_a_checkpoint_of_another_precision():
    weight = nn.Parameter(torch.randn(50, 50).to(torch.bfloat16))
    optimizer = MadamInteger([weight])
    weight.grad = torch.randn(50, 50).to(torch.bfloat16)
    optimizer.step()
    code = optimizer.state[weight]["code"].clone()
    assert int(code.abs().max()) > 256  # more than bfloat16 holds exactly
    other = MadamInteger([nn.Parameter(weight.detach().clone())])
    other.load_state_dict(optimizer.state_dict())
    (state,) = other.state.values()
    assert state["code"].dtype == torch.int16 and torch.equal(state["code"], code)
