"""Trees to begin a search with: those of an earlier verdict or certificate of the same kind of statement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctrlnet.errors import UsageError
from ctrlnet.prover.claims import Claim
from ctrlnet.prover.verdict import Verdict


def trees_of(start: Verdict | str | Path | None, claim: Claim) -> dict[int, str]:
    """The tree for each goal, by its number. Nothing in it is trusted: it only says where to split first.

    Errors: UsageError when there are none that fit.
    """
    if start is None:
        return {}
    proof = start.trees if isinstance(start, Verdict) else _proof_in(Path(start))
    found = {}
    for number, goal in enumerate(claim.problem.goals):
        try:
            part = proof[goal.name]
            text = part if goal.face is None else part[goal.face[0]][goal.face[1]]
        except (KeyError, IndexError, TypeError) as error:
            raise UsageError(f"start has no tree {goal.name!r}: it is of another kind of statement.") from error
        if not _fits(text, len(goal.lower)):
            raise UsageError(f"start has a tree {goal.name!r} that does not fit {len(goal.lower)} dimensions.")
        found[number] = text
    return found


def _proof_in(path: Path) -> Mapping[str, Any]:
    try:
        proof = json.loads(path.read_bytes().split(b"\n", 1)[1])["proof"]
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise UsageError(f"start is {path}, which is no certificate that can be read: {error}.") from error
    if not isinstance(proof, dict):
        raise UsageError(f"start is {path}, whose proof is no object.")
    return proof


def _fits(text: Any, dimension: int) -> bool:
    """A complete tree over so many dimensions."""
    if not isinstance(text, str):
        return False
    missing = 1
    for letter in text:
        missing += 1 if "A" <= letter < chr(ord("A") + dimension) else -1
        if missing < 0 or not letter.isalpha():
            return False
    return missing == 0
