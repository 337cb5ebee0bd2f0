"""The kit of integrators: each of its checks finds the method that it is made for, and good methods pass."""

from __future__ import annotations

from typing import Any

import ctrlnet_plugins.integrators as plugins
import pytest
import torch

from ctrlnet import Nonconforming, Step
from ctrlnet.integrators.contract import NEEDS
from ctrlnet.systems import halves
from ctrlnet.testing import check_integrator
from ctrlnet.testing.known_solutions import BOUND, Quartic, canonical, known, oscillator


@pytest.mark.parametrize("needs", NEEDS)
def test_known_solutions_solve_their_equations(needs):
    problem = known(needs)
    rate = problem.given if needs == "Field" else problem.given.rate
    for t in (0.0, 0.4, 1.3):
        slope = (problem.exact(t + 1e-5) - problem.exact(t - 1e-5)) / 2e-5
        assert torch.allclose(rate(t, problem.exact(t)), slope, atol=1e-9)


def test_the_oscillator_is_one_in_every_form():
    x = torch.rand(5, 4, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(lambda x: BOUND(x).sum(), x)
    expected = gradient @ canonical(4).T
    for needs in NEEDS:
        given = oscillator(needs)
        assert torch.allclose((given if needs == "Field" else given.rate)(0.0, x), expected)


def test_the_mean_gradient_is_one():
    energy, (x, end) = Quartic([[1.0, 0.5], [0.5, 2.0]], -1.0), torch.rand(2, 7, 4, dtype=torch.float64)
    product = (energy.mean_gradient(x, end) * (end - x)).sum(-1)
    assert torch.allclose(product, energy(end) - energy(x), atol=1e-14)


class Midpoint:
    """A good method, from which bad ones are made."""

    ctrlnet_contract: Any = 1
    order: Any = 2
    needs: Any = "Field"

    def init(self, field, t, x):
        return None

    def step(self, field, t, x, h, carry):
        return Step(x + h * field(t + h / 2, x + h / 2 * field(t, x)))


class Verlet:
    """Another: symplectic, symmetric, with an inverse."""

    ctrlnet_contract = 1
    order = 2
    needs = "Separable"
    symplectic = True
    symmetric = True

    def init(self, field, t, x):
        return None

    def step(self, field, t, x, h, carry):
        q, p = halves(x)
        p = p + h / 2 * field.force(t, q)
        q = q + h * field.velocity(t + h / 2, p)
        return Step(torch.cat([q, p + h / 2 * field.force(t + h, q)], -1))

    def back(self, field, t, x, h, carry):
        return self.step(field, t + h, x, -h, carry)


def test_good_ones_pass():
    assert check_integrator(Midpoint).passed
    checks = [outcome.check for outcome in check_integrator(Verlet).outcomes]
    assert checks[-3:] == ["back", "symplectic", "symmetric"]


class Memory(Midpoint):
    """Carries the mean of the batch."""

    def init(self, field, t, x):
        return (x.mean(),)

    def step(self, field, t, x, h, carry):
        return Step(super().step(field, t, x, h, None).x, None, carry)


class Listed(Midpoint):
    def step(self, field, t, x, h, carry):
        return Step(super().step(field, t, x, h, None).x, None, [x])


class SilentMultistep(plugins.AB2):
    multistep = False


class OnlyNumbers(Midpoint):
    def step(self, field, t, x, h, carry):
        return super().step(field, t, x, float(h.mean()) if isinstance(h, torch.Tensor) else h, None)


class Restless(Midpoint):
    def step(self, field, t, x, h, carry):
        return Step(super().step(field, t, x, h, None).x + 1e-13)


class RoughlyBetween(Midpoint):
    def interpolate(self, x, h, carry, theta):
        return carry[0] + theta * (carry[1] - carry[0])

    def step(self, field, t, x, h, carry):
        end = super().step(field, t, x, h, None).x
        return Step(end, None, (x, end))


class MissingTheEnd(RoughlyBetween):
    def interpolate(self, x, h, carry, theta):
        return super().interpolate(x, h, carry, 0.99 * theta)


class NotQuiteBack(Verlet):
    def back(self, field, t, x, h, carry):
        return Step(super().back(field, t, x, h, carry).x + 1e-12)


class Amplifying(NotQuiteBack):
    backward_growth = 1e6


class BoastingOfSymplecticity(Midpoint):
    symplectic = True


class BoastingOfSymmetry(Midpoint):
    symmetric = True


class BoastingOfEnergy(Verlet):
    conserves_energy = True


class ClaimInWords(Midpoint):
    symmetric = "yes"


class AdaptiveMultistep(Midpoint):
    multistep = True
    embedded_order = 1


class WrongNeeds(Midpoint):
    needs = "Magic"


class HalfTime(Verlet):
    """Takes the force at the wrong time."""

    symplectic = symmetric = False
    back = None

    def step(self, field, t, x, h, carry):
        q, p = halves(x)
        p = p + h * field.force(t, q)
        return Step(torch.cat([q + h * field.velocity(t, p), p], -1))


@pytest.mark.parametrize(
    ("method", "check", "reason"),
    [
        (WrongNeeds, "attributes", "needs is 'Magic'"),
        (ClaimInWords, "attributes", "symmetric is 'yes'"),
        (AdaptiveMultistep, "attributes", "no embedded_order"),
        (Memory, "step", "must have the states' shape"),
        (Listed, "step", "a tuple of tensors or None"),
        (OnlyNumbers, "own times", "other states than numbers"),
        (Restless, "step of zero", "moves the states by 1.0e-13"),
        (SilentMultistep, "changing steps", "says multistep = True"),
        (HalfTime, "order", "measured order 1.00, claimed 2"),
        (RoughlyBetween, "interpolate", "slower than h^3"),
        (MissingTheEnd, "interpolate", "ends of the step"),
        (NotQuiteBack, "back", "1000 steps there and back miss"),
        (Amplifying, "back", "no step can be taken back"),
        (BoastingOfSymplecticity, "symplectic", "MᵀJM differs from J"),
        (BoastingOfSymmetry, "symmetric", "there and back miss"),
        (BoastingOfEnergy, "conserves_energy", "change the energy"),
    ],
)
def test_a_broken_method_fails_at_its_own_check(method, check, reason):
    with pytest.raises(Nonconforming) as error:
        check_integrator(method)
    failed = {outcome.check: outcome.detail for outcome in error.value.report.outcomes if not outcome.passed}
    assert check in failed and reason in failed[check]
