"""The loop: descends, repeats, reports, repairs, and stops at NaN."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from ctrlnet import NonFinite, UsageError
from ctrlnet.devices import device_named
from ctrlnet.training import Row, Schedule, fit, metrics_csv


class Parabola:
    """loss = |w - 3|², with as many violations as it is told to have."""

    def __init__(
        self,
        violations: int = 0,
        spoil: Callable[[int, Tensor], Tensor] | None = None,
        invalid: Sequence[int] | None = None,
    ) -> None:
        self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.violations, self.spoil, self.sought = violations, spoil, 0
        self.invalid = None if invalid is None else iter(invalid)

    def draw(self, step: int) -> dict[str, Tensor]:
        self.step = step
        return {}

    def terms(self, states: dict[str, Tensor], share: float, mean: object) -> dict[str, Tensor]:
        loss = (self.w - 3).square().sum()
        return {"distance": loss if self.spoil is None else self.spoil(self.step, loss), "share": 0 * loss + share}

    def watch(self) -> dict[str, float]:
        return {"violating": 0.25}

    def seek(self, count: int) -> int:
        self.sought += 1
        return max(0, self.violations - self.sought)

    def validate(self, count: int) -> int:
        assert self.invalid is not None
        return next(self.invalid)

    def state_dict(self) -> dict[str, int]:
        return {"sought": self.sought}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sought = state["sought"]


def trained(
    objective: Parabola, schedule: Schedule, optimizer: torch.optim.Optimizer | None = None, **options: object
) -> list[Row]:
    optimizer = optimizer or torch.optim.Adam([objective.w], lr=0.1)
    return fit(objective, [objective.w], optimizer, schedule, **options)  # type: ignore[arg-type]


def test_descends_and_reports() -> None:
    objective, seen = Parabola(), list[tuple[int, int]]()
    rows = trained(
        objective, Schedule(steps=200, rows=10), progress=lambda step, steps, row: seen.append((step, steps))
    )
    assert objective.w.detach().sub(3).abs().max() < 0.05
    assert [row["step"] for row in rows] == [1, *range(20, 201, 20)] == [step for step, _ in seen]
    assert list(rows[0]) == ["step", "loss", "distance", "share", "violating", "learning_rate", "seconds"]
    assert rows[-1]["share"] == pytest.approx(199 / 200)
    assert rows[0]["learning_rate"] < rows[5]["learning_rate"] > rows[-1]["learning_rate"]


@pytest.mark.parametrize(("violations", "rounds"), [(0, 0), (3, 2), (100, 4)])
def test_repairs_until_nothing_is_found(violations: int, rounds: int) -> None:
    objective = Parabola(violations)
    rows = trained(objective, Schedule(steps=20, repairs=4, repair_steps=5))
    assert rows[-1]["step"] == 20 + 5 * rounds


def test_the_learning_rate_never_leaves_zero_to_one() -> None:
    schedule = Schedule(steps=50, repairs=3, repair_steps=7)
    factors = [schedule.factor(step) for step in range(schedule.total)]
    assert max(factors) == 1
    assert min(factors) > 0
    assert max(factors[50:]) == pytest.approx(0.2)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named_with_its_batch(broken: float) -> None:
    objective = Parabola(spoil=lambda step, loss: loss * broken if step == 7 else loss)
    with pytest.raises(NonFinite, match="batch 7: distance"):
        trained(objective, Schedule(steps=20))


def test_a_gradient_that_is_not_finite_is_named() -> None:
    objective = Parabola(spoil=lambda step, loss: loss + (0 * loss).sqrt())  # finite value, infinite slope
    with pytest.raises(NonFinite, match="batch 1: gradient"):
        trained(objective, Schedule(steps=20))


def test_metrics_are_a_table() -> None:
    rows = [{"step": 1, "loss": 0.1234567891}, {"step": 2, "loss": 1e-300}]
    read = list(csv.DictReader(io.StringIO(metrics_csv(rows).decode())))
    assert [{name: float(value) for name, value in row.items()} for row in read] == [
        pytest.approx(row, rel=1e-8) for row in rows
    ]
    assert metrics_csv([]) == b"step\n"


@pytest.mark.parametrize("reason", ["Torch not compiled with CUDA enabled", "No CUDA GPUs are available."])
def test_the_reason_of_a_missing_device_ends_in_one_full_stop(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*shape: int, device: object) -> None:
        raise AssertionError(reason)

    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(UsageError, match=rf"cannot be used: {reason.rstrip('.')}\. Allowed"):
        device_named("cuda")


@pytest.mark.parametrize("name", ["meta", "hpu"])
def test_a_device_without_numbers_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' cannot be used: .* Allowed: cpu"):
        device_named(name)


def test_a_weight_that_is_not_finite_is_named() -> None:
    """It has no gradient, so no term of the loss tells."""
    policy = nn.ModuleDict({"network": nn.Linear(2, 1)})
    with torch.no_grad():
        policy["network"].bias.fill_(torch.nan)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    objective = Parabola()
    with pytest.raises(NonFinite, match=r"weight network\.bias = nan"):
        fit(objective, policy, optimizer, Schedule(steps=1, repairs=0))  # type: ignore[arg-type]
