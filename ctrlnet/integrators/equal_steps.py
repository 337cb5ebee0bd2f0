"""From the first instant to the last in equal steps that all states share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from ctrlnet.integrators.contract import Carry
from ctrlnet.integrators.moves import Asked, Keep, Move, Problem
from ctrlnet.sets import Number


class Leg(NamedTuple):
    """One step on the time axis: from t by h, with a carry made anew, to an instant that was asked for or to none."""

    t: float
    h: float
    fresh: bool
    instant: int | None


def legs(times: Sequence[float], step: Number | None, multistep: bool) -> list[Leg]:
    """Equal steps no longer than `step` [s] between any two instants; one step each when it is None.

    A multistep method begins anew wherever the size of the steps changes.
    """
    found, before = list[Leg](), math.nan
    for instant, (start, stop) in enumerate(pairwise(times), 1):
        count = 1 if step is None else max(1, math.ceil(abs(stop - start) / float(step) - 1e-9))
        h = (stop - start) / count
        fresh = not found or (multistep and not math.isclose(h, before, rel_tol=1e-9))
        for index in range(count):
            found.append(Leg(start + index * h, h, fresh and index == 0, instant if index == count - 1 else None))
        before = h
    return found


def equal_steps(problem: Problem, x: Tensor, plan: Sequence[Leg], keep: Keep | None) -> tuple[list[Tensor], list[Move]]:
    """The states at the instants, x among them, and the steps where they are to be kept."""
    states, moves, carry = [x], list[Move](), None
    advance = problem.advance
    for t, h, fresh, instant in plan:
        if fresh:
            carry = problem.begin(t, x)
        end, _, after = advance(t, x, h, carry)
        if keep is not None:
            moves.append(keep(_move(t, h, x, carry, end, after, fresh, instant)))
        if instant is not None:
            states.append(end)
        x, carry = end, after
    return states, moves


def _move(
    t: float, h: float, x: Tensor, before: Carry, end: Tensor, after: Carry, fresh: bool, instant: int | None
) -> Move:
    asked = () if instant is None else (Asked(None, None, instant),)
    return Move(None, t, h, x, before, end, after, fresh, asked)
