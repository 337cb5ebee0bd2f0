"""The longest period of a zero-order hold for which a statement is proved: one proof for each period tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ctrlnet.conditions import ExponentialStability
from ctrlnet.errors import UsageError
from ctrlnet.prover.budget import Budget
from ctrlnet.prover.theorems import certify
from ctrlnet.prover.verdict import Verdict
from ctrlnet.sets import Box
from ctrlnet.systems import ClosedLoop

SHORTEST = 2.0**-12  # of the longest period: below that nothing is tried


def longest_period(
    condition: ExponentialStability,
    loop: ClosedLoop,
    box: Box,
    level: float,
    *,
    longest: float,
    tolerance: float = 0.02,
    budget: Budget | None = None,
    certify: Callable[..., Verdict] = certify,
) -> tuple[float, Verdict | None]:
    """The largest period found for which the condition is certified on {V <= level}, and its verdict; 0 and None else.

    Periods are halved from `longest` until one is certified, then bisected. What holds for one period need not hold for
    a shorter one: the verdict is about its own period alone, and a longer one that could be certified may be missed.

    Args:
        condition, box, level: the statement, proved anew for every period.
        loop: plant, with its disturbance if it has one, and policy; its own period does not matter.
        longest: [s] where to begin, positive and finite; rate times `longest` is below 1.
        tolerance: relative distance at which the bisection ends.
        budget: limits of each proof.
        certify: how a period is proved.

    Errors: UsageError, also those of `certify`.
    """
    if not isinstance(loop, ClosedLoop):
        raise UsageError(f"The loop is {loop!r}; give ClosedLoop(plant, policy).")
    if not 0 < tolerance < 1:
        raise UsageError(f"tolerance is {tolerance}; it must be between 0 and 1.")

    def verdict(period: float) -> Verdict:
        held = ClosedLoop(loop.plant, loop.policy, period)
        options: dict[str, Any] = {"level": level, "budget": budget}
        return certify(condition, held, box, **options)

    refused, period = float("inf"), float(longest)
    while (best := verdict(period)).status != "certified":
        refused, period = period, 0.5 * period
        if period < SHORTEST * longest:
            return 0.0, None
    while refused < float("inf") and refused > (1 + tolerance) * period:
        middle = 0.5 * (period + refused)
        found = verdict(middle)
        if found.status == "certified":
            period, best = middle, found
        else:
            refused = middle
    return period, best
