"""Checks in a row, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, final

from ctrlnet import plugins
from ctrlnet.errors import Nonconforming

Check = tuple[str, Callable[[Any], str]]


class Outcome(NamedTuple):
    """One check: its name, whether it passed, and what was measured or what is wrong."""

    check: str
    passed: bool
    detail: str


@final
@dataclass(frozen=True)
class Report:
    """All checks of one plug-in."""

    kind: str
    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """True where every check passed."""
        return all(outcome.passed for outcome in self.outcomes)

    def __str__(self) -> str:
        rows = (f"  {'ok' if o.passed else 'FAILED':<6}  {o.check}: {o.detail}" for o in self.outcomes)
        return "\n".join((f"{self.kind[:-1]} '{self.name}'", *rows))


class Failure(Exception):
    """Raised inside a check: what is wrong and what is required."""


def require(holds: bool, otherwise: str) -> None:
    """Fail the running check with that sentence unless `holds`."""
    if not holds:
        raise Failure(otherwise)


def resolved(kind: str, plugin: object) -> tuple[str, Any]:
    """Name and object of a plug-in given by name or as itself."""
    if isinstance(plugin, str):
        return plugin.rpartition(":")[2], plugins.load(kind, plugin)
    return str(getattr(plugin, "__name__", None) or type(plugin).__name__), plugin


def require_contract(kind: str, plugin: object) -> str:
    """Fail unless the plug-in declares the version of the contract that this ctrlnet speaks."""
    spoken, declared = plugins.CONTRACTS[kind], getattr(plugin, "ctrlnet_contract", None)
    require(declared == spoken and not isinstance(declared, bool), f"ctrlnet_contract is {declared!r}, not {spoken}")
    return f"version {spoken}"


def examine(kind: str, name: str, subject: Any, first: Iterable[Check], then: Iterable[Check]) -> Report:
    """Run the checks on a subject; `then` only where all of `first` passed.

    Raises:
        Nonconforming: a check failed; the error carries the report.
    """
    outcomes = [_outcome(check, subject) for check in first]
    if all(outcome.passed for outcome in outcomes):
        outcomes += [_outcome(check, subject) for check in then]
    report = Report(kind, name, tuple(outcomes))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        reasons = "; ".join(f"{outcome.check}: {outcome.detail}" for outcome in failed)
        raise Nonconforming(f"The {kind[:-1]} '{name}' breaks its contract. {reasons}.", report)
    return report


def _outcome(check: Check, subject: Any) -> Outcome:
    name, run = check
    try:
        return Outcome(name, True, run(subject))
    except Failure as failure:
        return Outcome(name, False, str(failure))
    except Exception as error:  # whatever an author's code raises is an outcome of the check
        return Outcome(name, False, f"{type(error).__name__}: {error}")
