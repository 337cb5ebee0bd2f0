"""Limits of one proof attempt."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlnet.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """Limits of one proof: seconds of search, and boxes bounded; both positive."""

    seconds: float = 60.0
    boxes: int = 5_000_000

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("boxes", self.boxes)):
            if not isinstance(value, (int, float)) or not value > 0:
                raise UsageError(f"{name} is {value!r}; a budget needs a number above zero.")

    def spent(self, seconds: float, boxes: int) -> str:
        """Which limit a search came to, in words."""
        if seconds >= self.seconds:
            return f"the budget of {self.seconds:g} s ended"
        if boxes >= self.boxes:
            return f"the budget of {self.boxes:,} boxes ended"
        return "they are too small to be split further"


def budget_of(given: Budget | None) -> Budget:
    """The budget given, or the default."""
    if given is not None and not isinstance(given, Budget):
        raise UsageError(f"budget is {given!r}; give ctrlnet.Budget(seconds=..., boxes=...).")
    return given or Budget()
