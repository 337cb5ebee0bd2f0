"""Events: located to rounding, for each state by itself, with gradients; resets between solutions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ctrlnet import Event, ShapeError, Tolerance, UsageError, odeint, solve, timed

G = 9.81
DTYPE = torch.float64


def fall(x: Tensor) -> Tensor:
    """Free fall: height and velocity."""
    return torch.stack([x[..., 1], torch.full_like(x[..., 1], -G)], -1)


def turn(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -x[..., 0]], -1)


def height(x: Tensor) -> Tensor:
    return x[..., 0]


def drops() -> Tensor:
    return torch.tensor([[1.0, 0.0], [2.0, 1.0], [3.0, -1.0]], dtype=DTYPE)


def landing(x: Tensor) -> tuple[Tensor, Tensor]:
    """Time and speed of the impact, known."""
    h, v = x[..., 0], x[..., 1]
    speed = (v * v + 2 * G * h).sqrt()
    return (v + speed) / G, speed


@pytest.mark.parametrize(("method", "step"), [("dopri5", None), ("rk4", 0.1), ("rk4", None)])
def test_impact_and_its_gradients(method: str, step: float | None) -> None:
    x0 = drops().requires_grad_()
    solution = solve(fall, x0, [0, 5], method=method, step=step, events=[Event(height)])
    (impact,), (time, speed) = solution.events, landing(x0)
    assert solution.status == "event"
    assert torch.equal(impact.count, torch.ones(3, dtype=torch.int64))
    assert torch.allclose(impact.t[0], time, rtol=0, atol=1e-12)
    assert torch.allclose(impact.x[0, :, 1], -speed, rtol=1e-12)
    for found, known in ((impact.t, time), (impact.x[..., 1], -speed)):
        ours, exact = (torch.autograd.grad(one.sum(), x0, retain_graph=True)[0] for one in (found, known))
        assert torch.allclose(ours, exact, atol=1e-10)
    height_moves = torch.autograd.grad(impact.x[..., 0].sum(), x0)[0]
    assert float(height_moves.abs().max()) < 1e-10  # the impact stays on the ground


def test_second_derivatives_of_time_and_state() -> None:
    """Of the impact, known: the time curves with the start, and the state with the time."""
    x0 = drops().requires_grad_()
    (impact,) = solve(fall, x0, [0, 5], method="dopri5", events=[Event(height)]).events
    time, speed = landing(x0)
    for found, known in ((impact.t, time), (impact.x[..., 1], -speed)):
        curved = []
        for one in (found, known):
            (first,) = torch.autograd.grad(one.sum(), x0, create_graph=True)
            weighed = (first * torch.tensor([1.0, 0.3])).sum()
            curved.append(torch.autograd.grad(weighed, x0, retain_graph=True)[0])
        assert float(curved[1].abs().max()) > 0.01
        assert torch.allclose(*curved, atol=1e-10)


def test_a_bouncing_ball_with_the_gradient_of_its_restitution() -> None:
    """Resets between solutions that begin at times of their own: the third impact, known."""
    x0, bounce = drops().requires_grad_(), torch.tensor(0.8, dtype=DTYPE, requires_grad=True)
    x, t = x0, torch.zeros(3, dtype=DTYPE)
    for _ in range(3):
        times = torch.stack([t, torch.full_like(t, 20.0)])
        (impact,) = solve(fall, x, times, method="dopri5", events=[Event(height, direction=-1)]).events
        t, x = impact.t[0], torch.stack([torch.zeros(3, dtype=DTYPE), -bounce * impact.x[0, :, 1]], -1)
    first, speed = landing(x0)
    exact = first + 2 * bounce * speed / G + 2 * bounce**2 * speed / G
    assert torch.allclose(t, exact, rtol=0, atol=1e-11)
    for ours, known in zip(*(torch.autograd.grad(one.sum(), (x0, bounce)) for one in (t, exact)), strict=True):
        assert torch.allclose(ours, known, atol=1e-9)


def test_gradient_of_the_parameters_of_an_event() -> None:
    level = torch.tensor(0.5, dtype=DTYPE, requires_grad=True)
    (found,) = solve(
        fall, drops(), [0, 5], method="dopri5", events=[Event(lambda x: x[..., 0] - level, direction=-1)]
    ).events
    h, v = drops().unbind(-1)
    exact = (v + (v * v + 2 * G * (h - level)).sqrt()) / G
    ours, known = (torch.autograd.grad(one.sum(), level)[0] for one in (found.t, exact))
    assert torch.allclose(ours, known, rtol=1e-10)


def test_every_crossing_is_counted_in_its_direction() -> None:
    x0 = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=DTYPE)
    events = [Event(height, terminal=False), Event(lambda x: x[..., 1], terminal=False, direction=1)]
    tight = Tolerance(1e-10, 1e-10)
    both, rising = solve(turn, x0, [0, 10], method="dopri5", tolerance=tight, events=events).events
    assert torch.allclose(both.t / math.pi, torch.tensor([[0.5, 1], [1.5, 2], [2.5, 3]], dtype=DTYPE), atol=1e-9)
    assert torch.allclose(rising.t[:, 0] / math.pi, torch.tensor([1.0, 3.0], dtype=DTYPE), atol=1e-9)
    assert rising.count.tolist() == [2, 1]
    assert bool(rising.t[1, 1].isnan())
    assert float(both.x[..., 0].abs().max()) < 1e-12


def test_nothing_after_a_terminal_event_and_only_the_first_of_a_step() -> None:
    t = torch.linspace(0, 2, 21, dtype=DTYPE)
    early, late = Event(lambda x: x[..., 0] - 0.9), Event(lambda x: x[..., 0] - 0.8)
    solution = solve(fall, drops()[:1], t, method="rk4", step=2.0, events=[early, late])
    assert solution.events[0].count.tolist() == [1]
    assert solution.events[1].count.tolist() == [0]
    assert float(solution.events[0].t) == pytest.approx(math.sqrt(0.2 / G), abs=1e-12)
    assert len(solution.t) == 2  # 0 and 0.1 s; the event is at 0.143 s
    mixed = solve(fall, drops(), t, method="dopri5", events=[Event(height)])
    reached = (t[:, None] <= landing(drops())[0]).sum(0)
    assert torch.equal(mixed.x.isfinite().all(-1).sum(0), reached)


def test_each_state_alone_has_the_same_events() -> None:
    x0 = torch.randn(20, 2, dtype=DTYPE, generator=torch.Generator().manual_seed(1))
    event = [Event(height, terminal=False)]
    whole = solve(turn, x0, [0, 7], method="dopri5", events=event).events[0]
    for i, row in enumerate(x0):
        alone = solve(turn, row, [0, 7], method="dopri5", events=event).events[0]
        assert alone.t.shape == (int(alone.count),)
        assert torch.allclose(whole.t[: int(alone.count), i], alone.t, atol=1e-12)
        assert bool(whole.t[int(alone.count) :, i].isnan().all())


def test_a_start_at_zero_is_no_event_and_the_return_is() -> None:
    for start in (0.0, 1e-17, -1e-17):
        x0 = torch.tensor([start, 3.0], dtype=DTYPE)
        for step in (0.05, 10.0):  # the second leaps from the start to far below in one step
            (found,) = solve(fall, x0, [0, 10], method="rk4", step=step, events=[Event(height)]).events
            assert float(found.t[0]) == pytest.approx(6 / G, abs=1e-9)


def test_backwards_in_time_and_in_float32() -> None:
    (found,) = solve(turn, torch.tensor([1.0, 0.0]), [0, -2], method="dopri5", events=[Event(height)]).events
    assert found.x.dtype == torch.float32
    assert float(found.t[0]) == pytest.approx(-math.pi / 2, abs=1e-5)


def test_events_in_time() -> None:
    bell = Event(timed(lambda t, x: (t - 0.7).expand(*x.shape[:-1], 1)[..., 0]))
    for method in ("dopri5", "rk4"):
        (found,) = solve(fall, drops(), [0, 1], method=method, events=[bell]).events
        assert torch.allclose(found.t, torch.full((1, 3), 0.7, dtype=DTYPE), atol=1e-12)


def test_a_step_that_leaps_over_two_crossings_needs_a_longest_one() -> None:
    narrow = Event(lambda x: (x[..., 0] - 1).square() - 1e-4)  # negative for 0.02 s only
    x0 = torch.zeros(1, 1, dtype=DTYPE)
    steady = solve(torch.ones_like, x0, [0, 2], method="dopri5", events=[narrow])
    careful = solve(torch.ones_like, x0, [0, 2], method="dopri5", events=[narrow], tolerance=Tolerance(longest=0.015))
    assert steady.status == "done"
    assert careful.status == "event"
    assert float(careful.events[0].t) == pytest.approx(0.99, abs=1e-10)


def test_odeint_with_an_event_keeps_what_came_before() -> None:
    x = odeint(fall, drops(), torch.linspace(0, 2, 21, dtype=DTYPE), method="dopri5", events=[Event(height)])
    assert bool(x[:3].isfinite().all())


@pytest.mark.parametrize("end", [1e3, 1e9, 1e12])
def test_the_horizon_does_not_move_an_event(end: float) -> None:
    x0 = torch.tensor([1.0, -1.0], dtype=DTYPE)
    (found,) = solve(fall, x0, [0, end], method="dopri5", events=[Event(height)]).events
    assert float(found.t[0]) == pytest.approx(float(landing(x0)[0]), abs=1e-10)


def test_a_function_that_jumps_has_its_time_and_no_derivative() -> None:
    x0 = drops().requires_grad_()
    jump = Event(lambda x: torch.sign(x[..., 0] - 0.5) + 0 * x[..., 0])
    level = Event(lambda x: x[..., 0] - 0.5)
    found, known = (solve(fall, x0, [0, 5], method="dopri5", events=[one]).events[0] for one in (jump, level))
    assert torch.allclose(found.t, known.t, rtol=0, atol=1e-11)
    assert float(torch.autograd.grad(found.t.sum(), x0)[0].abs().max()) == 0


def test_a_function_without_derivatives_serves_where_none_are_wanted() -> None:
    outside = Event(lambda x: torch.from_numpy(x.detach().numpy()[..., 0] - 0.5))
    (found,) = solve(fall, drops(), [0, 5], method="dopri5", events=[outside]).events
    (known,) = solve(fall, drops(), [0, 5], method="dopri5", events=[Event(lambda x: x[..., 0] - 0.5)]).events
    assert torch.equal(found.t, known.t)


def test_a_function_that_becomes_nan_ends_its_state_alone() -> None:
    x0 = torch.tensor([[1.0, 0.0], [100.0, 0.0]], dtype=DTYPE)
    root = Event(lambda x: torch.sqrt(x[..., 0]))  # below the ground it is no number
    solution = solve(fall, x0, torch.linspace(0, 1, 11), method="dopri5", events=[root])
    assert solution.samples("non-finite").tolist() == [[0]]
    assert solution.samples("done").tolist() == [[1]]
    assert bool(solution.x[:, 1].isfinite().all())


def test_dense_output_ends_at_a_terminal_event() -> None:
    dense = solve(fall, drops(), [0, 5], method="dopri5", events=[Event(height)]).dense
    assert dense is not None
    ends = landing(drops())[0]
    assert dense.last == pytest.approx(float(ends.max()), abs=1e-12)
    for state, end in enumerate(ends.tolist()):
        assert abs(float(dense(end - 1e-9)[state, 0])) < 1e-7
        if end < dense.last - 1e-6:
            assert bool(dense(end + 1e-9)[state].isnan().all())
    with pytest.raises(UsageError, match="outside the integrated"):
        dense(dense.last + 1e-6)


def test_events_from_a_generator_are_kept() -> None:
    assert solve(fall, drops(), [0, 5], method="dopri5", events=(one for one in [Event(height)])).status == "event"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        (lambda: Event(3), UsageError, "give g"),  # type: ignore[arg-type]
        (lambda: Event(height, direction=2), UsageError, "rising"),
        (lambda: solve(fall, drops(), [0, 1], events=[height]), UsageError, "Event"),  # type: ignore[list-item]
        (lambda: solve(fall, drops(), [0, 1], events=Event(height)), UsageError, "list of ctrlnet.Event"),  # type: ignore[arg-type]
        (lambda: solve(fall, drops(), [0, 1], events=None), UsageError, "list of ctrlnet.Event"),  # type: ignore[arg-type]
        (lambda: solve(fall, drops(), [0, 1], events=[Event(lambda x: x)]), ShapeError, "one number a state"),
        (lambda: solve(fall, drops(), [0, 1], events=[Event(lambda x: x[..., 0] > 0.5)]), ShapeError, "floating-point"),
        (lambda: solve(lambda x: torch.ones(3, 2, dtype=DTYPE) * x, drops(), [0, 1], events=[Event(height)]),
         UsageError, "alone"),
    ],
)  # fmt: skip
def test_errors(event: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        event()
