"""Every error that ctrlnet raises on purpose, in one tree.

    CtrlnetError
    ├── UsageError (ValueError)      a call that cannot be meant: wrong shape, dtype, option, name
    │   ├── ShapeError               a tensor or box of the wrong shape or dtype
    │   ├── NameNotFound             no plug-in, option or file of that name
    │   └── TraceError               a function that cannot be turned into a graph
    │       ├── UnsupportedOperation an operation without a rule
    │       └── LyingTrace           the traced graph differs from the function
    ├── PluginError                  a plug-in that is installed but cannot be used
    │   ├── BrokenPlugin             importing it failed
    │   ├── DuplicatePlugin          two distributions offer the same name
    │   ├── ContractMismatch         it was written for another version of the contract
    │   └── Nonconforming            it breaks the contract that it declares; carries the `report`
    ├── RunError                     a run folder that cannot be used
    │   ├── RunExists                the folder is already there
    │   ├── RunUnfinished            its training has not come to an end yet
    │   ├── RunDamaged               truncated, edited or incomplete
    │   └── RunFormat                written by another version
    ├── NonFinite                    NaN or infinity in weights, dynamics or loss
    ├── SolveFailed                  an integration that did not finish; carries its partial `solution`
    └── RenderingUnavailable         no off-screen OpenGL here

A false mathematical claim is not an error: it gets a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class CtrlnetError(Exception):
    """Root of the tree: catch it to catch everything that ctrlnet raises on purpose."""


class UsageError(CtrlnetError, ValueError):
    """A call that cannot be meant."""


class ShapeError(UsageError):
    """A tensor, box or function output of the wrong shape or dtype."""


class NameNotFound(UsageError):
    """A name that nothing answers to; the message gives the nearest one and all that exist."""


class TraceError(UsageError):
    """A function that cannot be turned into a graph."""


class UnsupportedOperation(TraceError):
    """An operation without a rule; the message names it and the user's line."""


class LyingTrace(TraceError):
    """A traced graph whose values differ from those of the function it was traced from."""


class PluginError(CtrlnetError):
    """A plug-in that is installed but cannot be used."""


class BrokenPlugin(PluginError):
    """A plug-in whose import failed; the cause is chained."""


class DuplicatePlugin(PluginError):
    """One name, two distributions."""


class ContractMismatch(PluginError):
    """A plug-in written for another version of the contract, or for none."""


class Nonconforming(PluginError):
    """A plug-in that breaks the contract it declares.

    Attributes:
        report: every check with its outcome.
    """

    def __init__(self, message: str, report: Any = None) -> None:
        super().__init__(message, report)
        self.report = report

    def __str__(self) -> str:
        return str(self.args[0])


class RunError(CtrlnetError):
    """A run folder that cannot be used."""


class RunExists(RunError):
    """A run folder that is already there and was not to be overwritten."""


class RunUnfinished(RunError):
    """A run whose training was interrupted or is still under way."""


class RunDamaged(RunError):
    """A run folder that is truncated, edited or incomplete."""


class RunFormat(RunError):
    """A run folder of another format version."""


class NonFinite(CtrlnetError):
    """NaN or infinity in weights, dynamics or loss."""


class SolveFailed(CtrlnetError):
    """An integration that did not finish.

    Attributes:
        solution: the part that was computed, with its status.
    """

    def __init__(self, message: str, solution: Any = None) -> None:
        super().__init__(message, solution)
        self.solution = solution

    def __str__(self) -> str:
        return str(self.args[0])


class RenderingUnavailable(CtrlnetError):
    """No off-screen OpenGL; the message names the packages to install."""


def nearest(name: str, names: Iterable[str]) -> str:
    """The sentence "Did you mean 'ralston'?" for the closest of `names`, or "" when none is close."""
    close = get_close_matches(name.lower(), list(names), n=1)
    return f"Did you mean '{close[0]}'?" if close else ""
