"""Any conditions, with weights, trained by the same loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    ClosedLoop,
    ExponentialStability,
    Feedback,
    Quadratic,
    Quantity,
    System,
    UsageError,
    mlp,
)
from ctrlnet.training import Checkpoints, Schedule, StateSampler, fit, unpacked
from ctrlnet.training.sampled import SampledObjective, Wanted

BOX = Box([-2.0, -2.0], [2.0, 2.0])


def plant() -> System:
    """p' = v, v' = u."""
    ones = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    return System(
        lambda x: torch.stack([x[..., 1], 0 * x[..., 1]], -1),
        lambda x: ones.expand(*x.shape[:-1], 2, 1),
        state=(Quantity("p", "m"), Quantity("v", "m/s")),
        control=(Quantity("u", "N"),),
    )


def circle(x: Tensor) -> Tensor:
    return 2.0 - x.square().sum(-1) - x[..., 0] * x[..., 1]


def problem(along: float = 0.0, weight: float = 1.0) -> tuple[SampledObjective, Feedback]:
    policy = Feedback(mlp((2, 8, 1), seed=0), None, at=(0.0, 0.0), control_at=(0.0,))
    V = Quadratic(torch.tensor([[1.5, 0.5], [0.5, 1.0]], dtype=torch.float64)).requires_grad_(False)
    wanted = {
        "safety": Wanted(BarrierInvariance(circle, rate=1.0), weight=weight, slack=0.1),
        "stability": Wanted(ExponentialStability(V, rate=0.2), weight=2.0, along=along, relative=True, slack=0.05),
    }
    states = StateSampler(BOX, (0.0, 0.0), 0)
    return SampledObjective(wanted, ClosedLoop(plant(), policy), states, batch=64, starts=4), policy


def fitted(
    objective: SampledObjective, policy: Feedback, steps: int = 200, **options: object
) -> list[dict[str, float]]:
    schedule = Schedule(steps=steps, repairs=1, repair_steps=20, probe=2048)
    return fit(objective, policy, torch.optim.Adam(policy.parameters(), lr=0.02), schedule, **options)  # type: ignore[arg-type]


def test_two_conditions_are_met_together() -> None:
    objective, policy = problem()
    before = objective.watch()["violating"]
    rows = fitted(objective, policy)
    assert rows[-1]["violating"] < 0.05 < 0.3 < before
    assert {"safety", "stability"} <= set(rows[0])


def test_a_weight_multiplies_its_term_and_zero_leaves_it_out() -> None:
    once, thrice, none = (problem(weight=weight)[0] for weight in (1.0, 3.0, 0.0))
    terms = [one.terms(one.draw(1), 0.0) for one in (once, thrice, none)]
    assert terms[1]["safety"].item() == pytest.approx(3 * terms[0]["safety"].item())
    assert set(terms[2]) == {"stability"}


def test_trajectories_are_a_term_of_their_own() -> None:
    objective = problem(along=0.5)[0]
    assert objective.terms(objective.draw(1), 0.0)["stability along trajectories"].item() > 0


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """The library's own loop and checkpoints, without a run folder."""
    objective, policy = problem(along=0.1)
    checkpoints = Checkpoints(tmp_path, every_seconds=0, every_steps=25)
    rows = fitted(objective, policy, 30, checkpoints=checkpoints)
    path = tmp_path / "step-000000025.checkpoint"
    again, other = problem(along=0.1)
    found = unpacked(path.read_bytes(), str(path))
    rows_again = fitted(again, other, 30, checkpoints=Checkpoints(tmp_path / "again", found, every_seconds=0))
    assert all(torch.equal(one, two) for one, two in zip(policy.parameters(), other.parameters(), strict=True))
    cut = [[{name: row[name] for name in row if name != "seconds"} for row in all_] for all_ in (rows, rows_again)]
    assert cut[0] == cut[1]


def test_no_condition_and_a_negative_weight_are_told() -> None:
    for wanted in ({}, {"safety": Wanted(BarrierInvariance(circle, rate=1.0), weight=-1.0)}):
        with pytest.raises(UsageError, match="at least one condition"):
            SampledObjective(wanted, plant(), StateSampler(BOX, (0.0, 0.0), 0))
