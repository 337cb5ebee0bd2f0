"""What one proof attempt may use."""

from __future__ import annotations

from dataclasses import dataclass

from ctrlnet.devices import device_named
from ctrlnet.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """What one proof may use: seconds of search and boxes bounded, both positive; the device that bounds them.

    The independent check of what the search has proved comes on top.

    Boxes are memory too: in n dimensions, disturbances included, an open one takes 24 n + 24 bytes, twice that while
    the queue is rebuilt, and any one 14 to 28 for its place in the tree. What a batch needs besides does not grow.
    On a GPU bounds are of float64 and as certain as on the processor; it pays for large batches and wide networks.
    """

    seconds: float = 60.0
    boxes: int = 5_000_000
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, value in (("seconds", self.seconds), ("boxes", self.boxes)):
            if not isinstance(value, (int, float)) or not value > 0:
                raise UsageError(f"{name} is {value!r}; a budget needs a number above zero.")
        if self.device != "cpu":
            device_named(self.device)

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
