"""The start as linear feedback."""

from __future__ import annotations

import pytest
import torch

from ctrlnet import Box, Feedback, mlp
from ctrlnet.training import LinearFeedback, StateSampler, unsaturated

BOX = Box([-2.0, -2.0], [2.0, 2.0])
AT, CONTROL_AT = torch.tensor([0.5, 0.0]).double(), torch.tensor([0.25]).double()


def feedback() -> LinearFeedback:
    gain = torch.tensor([[2.0, 1.0]], dtype=torch.float64)
    return LinearFeedback(gain, AT, CONTROL_AT, torch.tensor([1.0]).double())


def policy(limit: float = 1.0) -> Feedback:
    network = mlp((2, 16, 1), seed=0)
    return Feedback(network, Box([-limit], [limit]), at=AT, control_at=CONTROL_AT, scale=(2.0, 2.0))


def test_imitation_fits_the_cut_off_feedback() -> None:
    states, pi = StateSampler(BOX, AT, 0), policy()
    feedback().imitated(pi, states, steps=400, batch=128)
    x = states.uniform(500)
    wanted = feedback()(x).clamp(-1, 1)
    assert (pi(x) - wanted).abs().mean().item() < 0.1


def test_unsaturated_is_the_policy_where_it_is_not_saturated() -> None:
    pi, x = policy(limit=100.0), BOX.sample(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(unsaturated(pi)(x), pi(x))
    assert unsaturated(policy(limit=0.26))(x).abs().max().item() > 0.26


def test_deviation_vanishes_for_the_feedback_itself() -> None:
    x = BOX.sample(50, torch.Generator().manual_seed(0))
    network = torch.nn.Linear(2, 1, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(-feedback().gain)
    pi = Feedback(network, None, at=AT, control_at=CONTROL_AT)
    assert feedback().deviation(pi, x).item() == pytest.approx(0, abs=1e-20)
    with torch.no_grad():
        network.weight.add_(torch.tensor([[0.0, 3.0]]))
    assert 0 < feedback().deviation(pi, x).item() < 9
