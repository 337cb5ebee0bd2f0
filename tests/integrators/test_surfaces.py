"""Events of solutions that begin on a surface g = 0, rest on it, touch it, or end there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import Event, SolveFailed, UsageError, odeint, solve, timed

G = 9.81
DTYPE = torch.float64
OWN = {"method": "dopri5"}
EQUAL = {"method": "rk4", "step": 1 / 8}
both = pytest.mark.parametrize("options", [OWN, EQUAL], ids=["own", "equal"])


def fall(x: Tensor) -> Tensor:
    """Height and velocity."""
    return torch.stack([x[..., 1], torch.full_like(x[..., 1], -G)], -1)


def turn(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -x[..., 0]], -1)


def first(x: Tensor) -> Tensor:
    return x[..., 0]


def state(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=DTYPE)


def times(g: Callable[[Tensor], Tensor], direction: int, field: Any, x0: Tensor, t: Any, **options: Any) -> list[float]:
    """When one state has its events."""
    solution = solve(field, x0, t, events=[Event(g, terminal=False, direction=direction)], **options)
    assert solution.status == "done"
    found: list[float] = solution.events[0].t.tolist()
    return found


@both
@pytest.mark.parametrize("direction", [-1, 0, 1])
def test_a_rest_on_the_surface_has_no_events(direction: int, options: dict[str, Any]) -> None:
    assert times(first, direction, torch.zeros_like, state(0, 0), [0, 3], **options) == []


@both
def test_an_arrival_that_stays_is_one_event_and_the_return_to_either_side_none(options: dict[str, Any]) -> None:
    """relu(cos t) is zero from π/2 to 3π/2 and goes back; cos beyond ±½ comes to zero and leaves to the other side."""
    back, through = lambda x: torch.relu(x[..., 0]), lambda x: torch.nn.functional.softshrink(x[..., 0], 0.5)
    start, turns = state(1, 0), [0, 9]
    cases = [
        (back, -1, [math.pi / 2, 5 * math.pi / 2]),
        (back, 1, []),
        (lambda x: -back(x), 1, [math.pi / 2, 5 * math.pi / 2]),
        (through, 0, [math.pi / 3, 4 * math.pi / 3, 7 * math.pi / 3]),
        (through, -1, [math.pi / 3, 7 * math.pi / 3]),
        (through, 1, [4 * math.pi / 3]),
    ]
    for g, direction, known in cases:
        assert times(g, direction, turn, start, turns, **options) == pytest.approx(known, abs=2e-4)


@both
def test_the_arrival_is_located_though_the_end_of_the_step_is_zero_too(options: dict[str, Any]) -> None:
    for terminal in (True, False):
        above = Event(lambda x: torch.relu(x[..., 0]), terminal=terminal)
        (found,) = solve(fall, state(1, 0), [0, 1], events=[above], **options).events
        assert found.t.tolist() == pytest.approx([math.sqrt(2 / G)], abs=1e-11)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_touching_zero_is_one_event_and_does_not_change_the_side(sign: float) -> None:
    """At x = t = ½, where a step ends; the crossing at 0.8 is seen from the side that it had."""
    g = lambda x: sign * (x[..., 0] - 0.5).square() * (0.8 - x[..., 0])  # noqa: E731
    for direction, known in ((0, [0.5, 0.8]), (-sign, [0.5, 0.8]), (sign, [])):
        assert times(g, int(direction), torch.ones_like, state(0), [0, 1], **EQUAL) == pytest.approx(known, abs=1e-12)


@both
def test_each_state_and_event_has_a_side_of_its_own(options: dict[str, Any]) -> None:
    x0 = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 0.0]], dtype=DTYPE)
    events = [Event(first, terminal=False, direction=direction) for direction in (-1, 0, 1)]
    solution = solve(turn, x0, [0, 4], events=events, **options)
    assert [one.count.tolist() for one in solution.events] == [[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 1, 0]]
    for row, known in ((1, math.pi), (2, math.pi), (3, math.pi / 2)):
        assert float(solution.events[1].t[0, row]) == pytest.approx(known, abs=2e-4)


@both
def test_an_event_at_the_start_is_none_and_one_at_the_end_ends_there(options: dict[str, Any]) -> None:
    for end in (1.0, 0.7, 1.3, 2.9, 1 / 3, -0.9):
        for t0 in (0.0, 0.1, -3.7):
            bells = [Event(timed(lambda t, x, at=at: (t - at + 0 * x)[..., 0])) for at in (t0, t0 + end)]
            instants = [t0, t0 + end / 2, t0 + end]
            solution = solve(torch.neg, state(1), instants, events=bells, **options)
            assert solution.status == "event"
            assert [one.t.tolist() for one in solution.events] == [[], [t0 + end]]
            assert solution.t.tolist() == instants
            assert bool(solution.x.isfinite().all())


@both
def test_events_at_the_same_instant_all_happen(options: dict[str, Any]) -> None:
    scales = (1.0, 3.0, -7.1, 1 / 3, 1e-9)
    events = [Event(lambda x, scale=scale: scale * x[..., 0]) for scale in scales]
    solution = solve(fall, state(1, 0), [0, 5], events=events, **options)
    for found in solution.events:
        assert found.t.tolist() == pytest.approx([math.sqrt(2 / G)], abs=1e-12)


@both
@pytest.mark.parametrize("height", [0.0, 1e-17, -1e-17])
def test_a_reset_onto_the_surface_comes_back_to_it(height: float, options: dict[str, Any]) -> None:
    """Also within its first step, and however short the flight."""
    for velocity in (3.0, 1e-3, 1e-6):
        (found,) = solve(fall, state(height, velocity), [0, 9], events=[Event(first, direction=-1)], **options).events
        speed = math.sqrt(velocity**2 + 2 * G * height)
        assert found.t.tolist() == pytest.approx([(velocity + speed) / G], rel=1e-6)
        assert found.x[0, 1].item() == pytest.approx(-speed, rel=1e-6)


@pytest.mark.parametrize("options", [*(OWN, EQUAL), {"method": "rk4"}], ids=["own", "equal", "one step"])
def test_ever_shorter_flights_of_a_bouncing_ball_end_with_a_status(options: dict[str, Any]) -> None:
    """They end at t₁ + 2 v₁ Σ eᵏ/g; the ball never falls through the ground."""
    x, t, bounces, solution = state(1, 0), 0.0, 0, None
    while bounces < 200:
        solution = solve(fall, x, [t, 10.0], events=[Event(first, direction=-1)], **options)
        if solution.status != "event":
            break
        (impact,) = solution.events
        t, x, bounces = float(impact.t[0]), state(0, -0.5 * float(impact.x[0, 1])), bounces + 1
    assert solution is not None
    assert solution.status == "minimum step"
    assert t == pytest.approx(3 * math.sqrt(2 / G), abs=1e-6)
    assert len(solution.t) == 1
    with pytest.raises(SolveFailed, match="comes to rest"):
        odeint(fall, x, [t, 10.0], events=[Event(first, direction=-1)], **options)


def test_only_the_states_that_cannot_leave_end_so() -> None:
    x0 = torch.tensor([[0.0, 1e-13], [0.0, 1.0]], dtype=DTYPE)
    solution = solve(fall, x0, [0, 9], events=[Event(first)], **OWN)  # type: ignore[arg-type]
    assert solution.samples("minimum step").tolist() == [[0]]
    assert solution.samples("event").tolist() == [[1]]


def test_a_direction_in_the_place_of_terminal_is_refused() -> None:
    with pytest.raises(UsageError, match="direction="):
        Event(first, -1)  # type: ignore[arg-type]
