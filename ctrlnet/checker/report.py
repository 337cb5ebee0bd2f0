"""What the checker answers, and the three ways in which it does not confirm.

Unconfirmed
├── Unreadable   the bytes are no certificate of a format this checker knows (exit 2)
├── Rejected     the proof in the file does not prove its statement (exit 1)
└── Undecided    the effort allowed ran out before an answer (exit 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class Unconfirmed(Exception):
    """The certificate is not confirmed; the message says why."""

    status: ClassVar[str] = "undecided"


class Unreadable(Unconfirmed):
    """Hash, encoding, JSON, fields or sizes are not those of a certificate."""

    status = "unreadable"


class Rejected(Unconfirmed):
    """The mathematics in the file does not prove what the file states."""

    status = "rejected"


class Undecided(Unconfirmed):
    """The effort allowed was spent; nothing was refuted and nothing confirmed."""

    status = "undecided"


EXIT_CODES = {"confirmed": 0, "rejected": 1, "unreadable": 2, "undecided": 3}


@dataclass(frozen=True)
class CheckReport:
    """Answer of the checker about one certificate file.

    `status` is "confirmed", "rejected", "unreadable" or "undecided"; `reason` says why it is not "confirmed".
    `statement` is the theorem in words: proved when confirmed, otherwise only claimed by the file.
    `leaves` counts the boxes of the file's proof, `evaluations` the boxes this checker enclosed itself.
    """

    status: str
    reason: str = ""
    statement: str = ""
    assumptions: tuple[str, ...] = ()
    leaves: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    digest: str = ""
    provenance: str = ""
    exact: bool = False

    @property
    def ok(self) -> bool:
        """True exactly when the statement is proved."""
        return self.status == "confirmed"

    @property
    def exit_code(self) -> int:
        """0 confirmed, 1 rejected, 2 unreadable, 3 undecided."""
        return EXIT_CODES[self.status]

    def __str__(self) -> str:
        """The report in lines of text, as `python -m ctrlnet.checker` prints it."""
        heading = "Theorem." if self.ok else "Claim of the file, NOT confirmed."
        lines = [self.status.upper() + (f": {self.reason}" if self.reason else "")]
        if self.statement:
            lines += ["", heading, self.statement, "", "Assumptions."]
            lines += [f"  {i}. {text}" for i, text in enumerate(self.assumptions, start=1)]
            lines += ["", f"Provenance (not checked): {self.provenance}"]
            lines += [f"SHA-256 (after the first line): {self.digest}"]
        mode = "exact" if self.exact else "numpy"
        lines += [f"{self.leaves} leaves, {self.evaluations} evaluations ({mode}), {self.seconds:.2f} s"]
        return "\n".join(lines)


def printable(text: str, limit: int = 2000) -> str:
    """Text of the file made harmless for a terminal: control characters escaped, length limited.

    A sentence in a file must not be able to draw a line that looks like this program's own answer.
    """
    escaped = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:limit])
    return escaped + (" ..." if len(text) > limit else "")
