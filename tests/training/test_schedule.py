"""Learning rates: what the formulas say, for every shape."""

from __future__ import annotations

import math

import pytest
import torch
from training.test_loop import Parabola, trained

from ctrlnet import UsageError
from ctrlnet.training import SHAPES, Schedule


@pytest.mark.parametrize("shape", SHAPES)
def test_it_rises_linearly_to_the_optimizer_s_own_rate(shape: str) -> None:
    schedule = Schedule(steps=100, rate=shape, warm_up=0.2)  # type: ignore[arg-type]
    assert schedule.factor(0) == 0.04
    assert schedule.factor(10) == pytest.approx(0.52)
    assert schedule.factor(20) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shape", "left"),
    [("cosine", lambda s: 0.5 * (1 + math.cos(math.pi * s))), ("linear", lambda s: 1 - s), ("constant", lambda s: 1.0)],
)
def test_it_falls_as_the_formula_says(shape: str, left) -> None:
    schedule = Schedule(steps=100, rate=shape, warm_up=0.2, repair_steps=10)  # type: ignore[arg-type]
    for step in range(20, 100):
        assert schedule.factor(step) == pytest.approx(left((step - 20) / 80), abs=1e-5)
    for step in range(10):
        assert (
            schedule.factor(100 + step) == schedule.factor(110 + step) == pytest.approx(0.2 * left(step / 10), abs=1e-5)
        )


def test_every_step_gets_its_rate() -> None:
    schedule = Schedule(steps=30, rows=30, rate="linear", repairs=1, repair_steps=5)
    rows = trained(Parabola(100), schedule)
    assert [row["learning_rate"] for row in rows] == [0.1 * schedule.factor(step) for step in range(35)]


def test_a_rate_that_is_a_tensor_is_scheduled_too() -> None:
    objective = Parabola()
    optimizer = torch.optim.Adam([objective.w], lr=torch.tensor(0.1))
    rows = trained(objective, Schedule(steps=10, rows=10, repairs=0), optimizer=optimizer)
    assert [row["learning_rate"] for row in rows] == pytest.approx(
        [0.1 * Schedule(steps=10).factor(i) for i in range(10)]
    )


def test_it_ends_early_once_the_validation_states_show_no_violation() -> None:
    """Clean rows are 5 and 7 to 10: three in succession end the steps at 9; the repairs have their own rate."""
    objective = Parabola(violations=2, invalid=[1, 1, 1, 1, 0, 1, 0, 0, 0, 0])
    schedule = Schedule(steps=100, rows=100, patience=3, repairs=2, repair_steps=4)
    rows = trained(objective, schedule)
    assert rows[-1]["step"] == 9 + 4
    assert [row["learning_rate"] for row in rows[9:]] == [0.1 * schedule.factor(100 + step) for step in range(4)]


def test_without_patience_nobody_asks() -> None:
    objective = Parabola(invalid=[])
    assert trained(objective, Schedule(steps=10, repairs=0))[-1]["step"] == 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", -5),
        ("rows", 0),
        ("rows", 2.5),
        ("repairs", -2),
        ("repair_steps", 0),
        ("probe", 0),
        ("validation", 0),
        ("patience", -1),
        ("patience", True),
        ("clip", -1),
        ("clip", 0),
        ("warm_up", math.nan),
        ("warm_up", 2.0),
        ("rate", "cosinus"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{name} of the schedule is {value!r}"):
        Schedule(**{name: value})  # type: ignore[arg-type]


def test_the_bounds_themselves_are_allowed() -> None:
    assert Schedule(steps=1, rows=1, repairs=0, repair_steps=1, probe=1, patience=0, warm_up=1.0).total == 1
    assert Schedule(warm_up=0).factor(1) == 1
