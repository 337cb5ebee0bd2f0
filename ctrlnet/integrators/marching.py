"""From the first instant to the last: with given steps, or with steps that meet a tolerance."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet.integrators.contract import Integrator
from ctrlnet.integrators.solution import Segment, Status, interpolated
from ctrlnet.integrators.step_control import Tolerance, error_norm, first_step, step_factor
from ctrlnet.sets import Number
from ctrlnet.systems.fields import TimeField


class March(NamedTuple):
    """The states at the instants reached, and how it ended; the segments only where they were to be kept."""

    states: list[Tensor]
    segments: list[Segment]
    status: Status
    steps: int
    rejected: int = 0


def fixed_steps(
    method: Integrator, field: TimeField, x: Tensor, times: list[float], step: Number | None, keep: bool
) -> March:
    """Equal steps no longer than `step` [s] between any two instants; one step each when it is None."""
    states, segments = [x], list[Segment]()
    carry, steps = method.init(field, times[0], x), 0
    for start, stop in pairwise(times):
        count = 1 if step is None else max(1, math.ceil(abs(stop - start) / float(step) - 1e-9))
        h = (stop - start) / count
        for index in range(count):
            t = start + index * h
            done = method.step(field, t, x, h, carry)
            if keep:
                segments.append(Segment(t, h, x, done.x, done.carry))
            x, carry = done.x, done.carry
        states.append(x)
        steps += count
    return March(states, segments, "done", steps)


def adaptive_steps(
    method: Integrator, field: TimeField, x: Tensor, times: list[float], tolerance: Tolerance, order: int, keep: bool
) -> March:
    """Steps whose error estimates meet the tolerance; instants between steps by dense output.

    The controller's choices are constants for the gradient. `order` is that of the embedded solution.
    """
    states, segments = [x], list[Segment]()
    steps, rejected, previous = 0, 0, 1.0
    t, end, just_rejected = times[0], times[-1], False
    h = first_step(field, t, x, end - t, order, tolerance)
    carry = method.init(field, t, x)
    error = 0.0
    while t != end:
        h, after = _clipped(t, h, end)
        if steps + rejected >= tolerance.steps or after == t:
            return March(states, segments, "step limit" if math.isfinite(error) else "non-finite", steps, rejected)
        done = method.step(field, t, x, h, carry)
        error = math.inf if done.error is None else error_norm(done.error, tolerance.allowed(x, done.x))
        factor = step_factor(error, previous, order + 1, just_rejected or error > 1)
        just_rejected = error > 1
        if just_rejected:
            rejected += 1
        else:
            segment = Segment(t, h, x, done.x, done.carry)
            if keep:
                segments.append(segment)
            states += _outputs(method, field, segment, after, times[len(states) :])
            t, x, carry, previous, steps = after, done.x, done.carry, error, steps + 1
        h *= factor
    return March(states, segments, "done", steps, rejected)


def _clipped(t: float, h: float, end: float) -> tuple[float, float]:
    """The step cut at `end` (or stretched to it by a hundredth, to leave no sliver), and the time after it."""
    return (end - t, end) if abs(end - t) <= 1.01 * abs(h) else (h, t + h)


def _outputs(
    method: Integrator, field: TimeField, segment: Segment, after: float, waiting: list[float]
) -> list[Tensor]:
    direction = math.copysign(1.0, segment.h)
    reached = [t for t in waiting if direction * t <= direction * after]
    return [segment.end if t == after else interpolated(method, field, segment, t) for t in reached]


def finite_part(march: March) -> March:
    """The states before the first that is not finite, with that status; the march itself when all are."""
    finite = torch.stack(march.states).detach().isfinite().flatten(1).all(1).tolist()
    if all(finite):
        return march
    sound = [segment for segment in march.segments if bool(segment.end.isfinite().all())]
    return March(march.states[: finite.index(False)], sound, "non-finite", march.steps, march.rejected)
