"""What a proof attempt says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from ctrlnet.checker import CheckReport, check_bytes
from ctrlnet.errors import UsageError
from ctrlnet.prover.certificate import certificate_bytes
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
    trees: the proof's trees, unfinished ones too, for `certify(..., start=verdict)`.
    asked: without a certificate, what was to be proved as one says it: statement, with the level if any, and graphs.
    parts: the verdicts of a conjunction, one a condition.
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
    trees: Mapping[str, Any] = field(default_factory=dict, repr=False)
    asked: Mapping[str, Any] = field(default_factory=dict, repr=False)
    parts: tuple[Verdict, ...] = field(default=(), repr=False)

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


def together(verdicts: Sequence[Verdict], provenance: Mapping[str, Any]) -> Verdict:
    """The verdict of a conjunction: certified when every part is, and then one certificate that holds them all."""
    words = " And: ".join(verdict.statement for verdict in verdicts)
    totals: dict[str, Any] = {
        "boxes": sum(verdict.boxes for verdict in verdicts),
        "seconds": sum(verdict.seconds for verdict in verdicts),
        "parts": tuple(verdicts),
    }
    for status in ("falsified", "undecided"):
        for place, verdict in enumerate(verdicts, 1):
            if verdict.status == status:
                reason = f"Condition {place} of {len(verdicts)}: {verdict.reason}"
                state = verdict.counterexample
                return Verdict(verdict.status, words, reason, counterexample=state, **totals)
    parts = [json.loads(verdict.certificate.split(b"\n", 1)[1]) for verdict in verdicts]
    parts = [{name: part[name] for name in ("statement", "graphs", "proof")} for part in parts]
    data = certificate_bytes({"kind": "conjunction", "parts": parts}, {}, {}, provenance)
    report = check_bytes(data)
    if not report.ok:
        reason = f"The checker did not confirm the conjunction: {report.reason}"
        return Verdict("undecided", words, reason, report=report, **totals)
    levels = {verdict.level for verdict in verdicts if verdict.level}
    level = levels.pop() if len(levels) == 1 else 0.0
    return Verdict("certified", report.statement, level=level, report=report, certificate=data, **totals)
