"""Structured layers where they are meant to be used: in `solve`, with the methods that keep their structure."""

from __future__ import annotations

import pytest
import torch
from ctrlnet_plugins.integrators.avf import AVF
from ctrlnet_plugins.integrators.symplectic_euler import SymplecticEuler
from ctrlnet_plugins.integrators.verlet import Verlet

from ctrlnet import odeint, timed
from ctrlnet.layers import (
    Antisymmetric,
    GradientFlow,
    HamiltonianFlow,
    HamiltonianLayer,
    NetworkEnergy,
    SkewGradient,
    TimeVarying,
    TwoLayerHamiltonian,
)

TIMES = torch.linspace(0, 4, 41, dtype=torch.float64)


def states() -> torch.Tensor:
    return torch.randn(5, 4, dtype=torch.float64)


@pytest.mark.parametrize("make", [SkewGradient, lambda n: HamiltonianFlow(NetworkEnergy(torch.randn(7, n).double()))])
def test_avf_conserves_network_energies(make) -> None:
    field = make(4)
    x = odeint(field, states(), TIMES, method=AVF()).detach()
    H = field.potential(x)
    assert float((H - H[0]).abs().max()) <= 1e-13
    assert float((x[-1] - x[0]).abs().max()) > 0.1


def test_avf_descends_a_gradient_flow() -> None:
    field = GradientFlow(4, seed=0)
    V = field.potential(odeint(field, states(), TIMES, method=AVF()))
    assert bool((V.diff(dim=0) < 0).all())


@pytest.mark.parametrize("kind", [HamiltonianLayer, TwoLayerHamiltonian])
@pytest.mark.parametrize("method", [Verlet(), SymplecticEuler()])
def test_separable_layers_are_served_by_symplectic_methods(kind, method) -> None:
    """The energy error falls with the order of the method, and the field is that which rk4 sees."""
    field, x0, errors = kind(4, seed=0), states(), []
    for step in (0.05, 0.025):
        x = odeint(field, x0, TIMES, method=method, step=step)
        energies = field.energy(x.detach())
        errors.append(float((energies - energies[0]).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2**method.order, rel=0.15)
    assert torch.allclose(x[10], odeint(field, x0, TIMES[:11], method="rk4")[-1], rtol=0, atol=0.05)


def test_time_varying_layers_are_those_of_the_loop() -> None:
    varying, x = TimeVarying([Antisymmetric(4, seed=seed) for seed in range(8)], 2.0), states()
    found = odeint(timed(varying), x, varying.times, method="euler")[-1]
    for j in range(8):
        x = x + 0.25 * varying(0.25 * j, x)
    assert torch.allclose(found, x, rtol=0, atol=1e-15)
    expected = torch.autograd.grad(x.sum(), list(varying.parameters()))
    for one, other in zip(torch.autograd.grad(found.sum(), list(varying.parameters())), expected, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-14)


def test_time_varying_separable_layers() -> None:
    """q' of the layer at the end of a step, p' of that at its begin: symplectic Euler."""
    varying, x = TimeVarying([TwoLayerHamiltonian(4, seed=seed) for seed in range(4)], 1.0), states()
    found = odeint(varying.separable(), x, varying.times, method=SymplecticEuler())[-1]
    field, (q, p) = varying.separable(), x.chunk(2, -1)
    for t in varying.times[:-1]:
        p = p + 0.25 * field.force(t, q)
        q = q + 0.25 * field.velocity(t + 0.25, p)
    assert torch.allclose(found, torch.cat([q, p], -1), rtol=0, atol=1e-14)
