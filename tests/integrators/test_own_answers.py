"""What is asked for within steps that some states of a batch take and others try in vain."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import Event, Step, Tolerance, odeint, solve

DTYPE = torch.float64
STIFFNESS = torch.tensor([1.0, 30.0, 3.0, 100.0], dtype=DTYPE)


def oscillators(x: Tensor) -> Tensor:
    """x'' = m (1 - x²) x' - x of van der Pol, m a constant of the state: steps of the stiff ones are rejected."""
    q, p, m = x.unbind(-1)
    return torch.stack([p, m * (1 - q**2) * p - q, 0 * m], -1)


def start() -> Tensor:
    return torch.stack([torch.full_like(STIFFNESS, 1.5), torch.zeros_like(STIFFNESS), STIFFNESS], -1)


@pytest.mark.parametrize("end", [2.0, -0.3])
def test_instants_in_steps_that_others_try_in_vain(end: float) -> None:
    """Some rows pass several instants in a step, others one or none, in both directions of time."""
    t = torch.linspace(0, end, 40, dtype=DTYPE)
    whole = solve(oscillators, start(), t, method="dopri5")
    alone = [solve(oscillators, row, t, method="dopri5") for row in start()]
    assert whole.rejected == max(one.rejected for one in alone) > 0
    assert whole.sample_steps.tolist() == [one.steps for one in alone]
    assert min(one.steps for one in alone) < len(t) / 2
    assert torch.allclose(whole.x, torch.stack([one.x for one in alone], 1), rtol=1e-11, atol=1e-11)
    assert whole.dense is not None
    assert torch.allclose(whole.dense(t), whole.x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gradient", ["checkpoint", "symplectic_adjoint"])
def test_gradients_of_instants_and_events_in_steps_that_others_try_in_vain(gradient: str) -> None:
    """What is kept of a step names the rows that took it, and so do the answers within it."""
    rate = torch.tensor(1.0, dtype=DTYPE, requires_grad=True)
    t, event = torch.linspace(0, 1, 9, dtype=DTYPE), Event(lambda x: x[..., 0] - 1.3, terminal=False)

    def derivatives(gradient: str) -> tuple[Tensor, ...]:
        x0 = start().requires_grad_()
        solution = solve(
            lambda x: rate * oscillators(x), x0, t, method="dopri5", gradient=gradient, events=[event],
        )  # fmt: skip
        assert solution.rejected > 0
        crossings = solution.events[0]
        assert int(crossings.count.sum()) > 0
        loss = solution.x.square().sum() + crossings.x.nansum()
        return torch.autograd.grad(loss, (x0, rate))

    for found, wanted in zip(derivatives(gradient), derivatives("backprop"), strict=True):
        assert torch.allclose(found, wanted, rtol=1e-9, atol=1e-10)


class Leaping:
    """Euler's method with a claimed error of zero, and an infinite end where the step is longer than it may be."""

    ctrlnet_contract, order, embedded_order, needs = 1, 1, 1, "Field"

    def init(self, field: Any, t: Any, x: Tensor) -> None:
        return None

    def step(self, field: Any, t: Any, x: Tensor, h: Any, carry: None) -> Step:
        return Step((x + h * field(t, x)).where(h < 0.3, torch.inf), torch.zeros_like(x))


def test_an_infinite_end_is_no_step_whatever_its_error() -> None:
    solution = solve(torch.ones_like, torch.zeros(2, 1, dtype=DTYPE), [0, 2], method=Leaping())
    assert solution.status == "done"
    assert solution.rejected > 0
    assert torch.allclose(solution.x[-1], torch.full((2, 1), 2.0, dtype=DTYPE))


def test_an_exact_step_grows_and_a_state_at_rest_stays() -> None:
    """Errors of zero divide nothing."""
    x = odeint(torch.zeros_like, torch.ones(3, 2, dtype=DTYPE), [0, 5, 1e6], method="dopri5", tolerance=Tolerance())
    assert bool((x == 1).all())
