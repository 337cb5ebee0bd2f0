"""From the first instant to the last in equal steps that all states share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.integrators.compiled import BLOCK, CompiledSteps
from ctrlnet.integrators.moves import Asked, Keep, Move, Problem
from ctrlnet.sets import Number

MOST = 10_000_000  # steps of a solution


class Leg(NamedTuple):
    """One step on the time axis: from t by h, with a carry made anew, to an instant that was asked for or to none."""

    t: float
    h: float
    fresh: bool
    instant: int | None


def legs(times: Sequence[float], step: Number | None, multistep: bool) -> list[Leg]:
    """Equal steps no longer than `step` [s] between any two instants; one step each when it is None.

    A multistep method begins anew wherever the size of the steps changes.

    Raises:
        UsageError: too many steps.
    """
    found, before = list[Leg](), math.nan
    for instant, (start, stop) in enumerate(pairwise(times), 1):
        count = 1 if step is None else max(1, math.ceil(abs(stop - start) / float(step) - 1e-9))
        if len(found) + count > MOST:
            raise UsageError(f"step is {step!r}, which makes more than {MOST:,} steps; give a longer one.")
        h = (stop - start) / count
        fresh = not found or (multistep and not math.isclose(h, before, rel_tol=1e-9))
        for index in range(count):
            found.append(Leg(start + index * h, h, fresh and index == 0, instant if index == count - 1 else None))
        before = h
    return found


def equal_steps(
    problem: Problem, x: Tensor, plan: Sequence[Leg], keep: Keep | None, blocks: bool
) -> tuple[list[Tensor], list[Move]]:
    """The states at the instants, x among them, and the steps where they are to be kept.

    Args:
        blocks: compiled steps may be taken several at once, and are then kept as one.
    """
    states, moves, carry = [x], list[Move](), None
    for (t, h, fresh, _), count, instant in _blocks(plan, blocks and isinstance(problem.advance, CompiledSteps)):
        if fresh:
            carry = problem.begin(t, x)
        end, _, after = problem.advance(t, x, h, carry, *((count,) if count > 1 else ()))
        if keep is not None:
            asked = () if instant is None else (Asked(None, None, instant),)
            moves.append(keep(Move(None, t, h, x, carry, end, after, fresh, asked, count)))
        if instant is not None:
            states.append(end)
        x, carry = end, after
    return states, moves


def _blocks(plan: Sequence[Leg], several: bool) -> Iterator[tuple[Leg, int, int | None]]:
    """The first of some steps, how many, and the instant they end at: several where nothing is asked for between."""
    place = 0
    while place < len(plan):
        first, block = plan[place], plan[place : place + BLOCK] if several else ()
        whole = len(block) == BLOCK and all(leg.instant is None for leg in block[:-1])
        if whole and all(leg.h == first.h and not leg.fresh for leg in block[1:]):
            yield first, BLOCK, block[-1].instant
            place += BLOCK
        else:
            yield first, 1, first.instant
            place += 1
