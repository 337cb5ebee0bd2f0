"""What a proof attempt says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from torch import Tensor

from ctrlnet.checker import CheckReport
from ctrlnet.errors import UsageError
from ctrlnet.prover.forest import KINDS, SPLIT, Forest
from ctrlnet.runs import write_aside

Status = Literal["certified", "falsified", "undecided"]


class Leaves(NamedTuple):
    """The boxes of a proof, for a picture: bounds (N, n) and one kind each (proved, excluded, equilibrium)."""

    lower: Tensor
    upper: Tensor
    kind: list[str]


@dataclass(frozen=True)
class Verdict:
    """The outcome of `certify` or `prove`.

    status: "certified": proved, and confirmed by the independent checker; "falsified": certainly false; "undecided":
        neither, for the `reason` given.
    level: the certified level; 0 when there is none, or when the statement has no level.
    sampled_level: the least V at which a sampled state violates the statement, or lies on the boundary of the box:
        evidence from above, not proof. `limiting_state` is that state.
    counterexample: when falsified, a state at which the statement fails.
    boxes: boxes bounded by the search; seconds: its time.
    statement: the theorem in words; assumptions: what it rests on; report: the checker's.
    """

    status: Status
    statement: str
    reason: str = ""
    level: float = 0.0
    sampled_level: float = float("inf")
    counterexample: Tensor | None = None
    limiting_state: Tensor | None = None
    boxes: int = 0
    seconds: float = 0.0
    report: CheckReport | None = None
    certificate: bytes = field(default=b"", repr=False)
    leaves: Leaves | None = field(default=None, repr=False)

    def __str__(self) -> str:
        found = f"{self.status}, level {self.level:.6g}" if self.level else self.status
        lines = [f"{found} ({self.boxes:,} boxes, {self.seconds:.2f} s)", self.reason, self.statement]
        return "\n".join(line for line in lines if line)

    @property
    def assumptions(self) -> tuple[str, ...]:
        return self.report.assumptions if self.report else ()

    def save(self, path: str | Path) -> Path:
        """Write the certificate, aside and then renamed.

        Errors: UsageError when nothing was certified.
        """
        if self.status != "certified":
            raise UsageError(f"There is no certificate to save: the verdict is {self.status!r}. {self.reason}")
        write_aside(Path(path), self.certificate)
        return Path(path)


def leaves_of(forest: Forest, root: int = 0) -> Leaves:
    kept = ((forest.root == root) & (forest.kind != SPLIT)).nonzero().flatten()
    kinds = [KINDS.get(kind, "open") for kind in forest.kind[kept].tolist()]
    return Leaves(forest.lower[kept], forest.upper[kept], kinds)
