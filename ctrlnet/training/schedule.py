"""How long a training takes, and how fast it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final, get_args

from ctrlnet.errors import UsageError
from ctrlnet.training.numbers import require_numbers

Shape: TypeAlias = Literal["cosine", "linear", "constant"]
SHAPES: tuple[str, ...] = get_args(Shape)
_FLOOR = 1e-5  # of the learning rate at the end of a fall


@final
@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    The learning rate rises linearly from a 25th to the optimizer's own over the warm-up. Then, with s in [0, 1] the
    share of the remaining steps that is over, it is that rate times

        cosine    (1 + cos πs)/2
        linear    1 - s
        constant  1

    and at least 1e-5 of it. A round of repair is the same fall once more, from a fifth.

    Attributes:
        steps: of the optimizer.
        rate: shape of the learning rate after the warm-up.
        warm_up: share of the steps over which the learning rate rises.
        clip: largest norm of the gradient; longer ones are shortened.
        rows: of metrics.csv.
        repairs: at most so many rounds that look for remaining violations and train on them.
        repair_steps: of a round, at a fifth of the learning rate.
        probe: states that a round looks at.
        patience: the steps end early, and the rounds of repair begin, once so many rows in succession found no
            violation among the validation states; 0 never ends early.
        validation: number of the validation states, which are the same at every row.

    Raises:
        UsageError: a number that cannot be meant.
    """

    steps: int = 1500
    rate: Shape = "cosine"
    warm_up: float = 0.1
    clip: float = 1.0
    rows: int = 100
    repairs: int = 8
    repair_steps: int = 100
    probe: int = 131072
    patience: int = 0
    validation: int = 16384

    def __post_init__(self) -> None:
        require_schedule(self, "schedule")
        require_numbers(self, "schedule", 1, "rows")

    @property
    def total(self) -> int:
        """Steps if every round is needed."""
        return self.steps + self.repairs * self.repair_steps

    def factor(self, step: int) -> float:
        """The learning rate at step 0, 1, ... relative to the optimizer's own."""
        if step >= self.steps:
            return 0.2 * self._fall((step - self.steps) % max(1, self.repair_steps) / max(1, self.repair_steps))
        rise = max(1.0, self.warm_up * self.steps)
        if step < rise:
            return 0.04 + 0.96 * step / rise
        return self._fall((step - rise) / max(1.0, self.steps - rise))

    def _fall(self, share: float) -> float:
        """From 1 to nearly 0 as `share` goes from 0 to 1, or 1 throughout."""
        if self.rate == "constant":
            return 1.0
        share = min(1.0, share)
        left = 1 - share if self.rate == "linear" else 0.5 * (1 + math.cos(math.pi * share))
        return _FLOOR + (1 - _FLOOR) * left

    def reports(self, step: int) -> bool:
        """Whether step 1, 2, ... gives a row: the first, the last, and every so many in between."""
        return step in (1, self.steps) or step % max(1, self.steps // self.rows) == 0


def require_schedule(numbers: Any, owner: str) -> None:
    """Refuse a schedule that cannot be meant, of a `Schedule` or of whatever has its attributes but `rows`.

    Raises:
        UsageError: naming the number and its owner.
    """
    require_numbers(numbers, owner, 1, "steps", "repair_steps", "probe", "validation")
    require_numbers(numbers, owner, 0, "repairs", "patience")
    require_numbers(numbers, owner, 0, "warm_up", most=1)
    require_numbers(numbers, owner, math.ulp(0.0), "clip")
    if numbers.rate not in SHAPES:
        raise UsageError(f"rate of the {owner} is {numbers.rate!r}; allowed are {', '.join(SHAPES)}.")
