"""What becomes of a verb: its exit status, or one clear paragraph on stderr."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from importlib import import_module

from ctrlnet.cli import VERBS
from ctrlnet.cli.console import Console
from ctrlnet.errors import CtrlnetError, UsageError, nearest

__all__ = ["guarded"]

BAD_INPUT, INTERRUPTED, READER_LEFT = 2, 130, 141


def guarded(verb: str, arguments: list[str], json: bool) -> int:
    """Run a verb; errors of ctrlnet's tree and of the file system become a paragraph and status 2.

    Any other exception is a fault of ctrlnet or of a plug-in and keeps its traceback.
    """
    console = Console(json)
    try:
        return _verb(verb)(arguments, json)
    except (CtrlnetError, OSError) as error:
        return _failed(console, error)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD_INPUT * bool(stop.code)
    except KeyboardInterrupt as stop:
        return _interrupted(console, stop)


def _verb(name: str) -> Callable[[list[str], bool], int]:
    if not name:
        raise UsageError(f"'ctrlnet --json' needs a verb: {', '.join(VERBS)}. See 'ctrlnet --help'.")
    if name not in VERBS:
        known = ", ".join(VERBS)
        raise UsageError(f"ctrlnet has no verb {name!r}. {nearest(name, VERBS)} Verbs: {known}.".replace("  ", " "))
    main: Callable[[list[str], bool], int] = import_module(f"ctrlnet.cli.{name}").main
    return main


def _failed(console: Console, error: Exception) -> int:
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left: nothing to flush at exit
        return READER_LEFT
    text = _sentence(error)
    console.event("error", kind=type(error).__name__, message=text)
    _paragraph(f"ctrlnet: {text}")
    return BAD_INPUT


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, CtrlnetError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        kept = "" if isinstance(error, FileNotFoundError) else " Nothing that stood there before was changed."
        return " ".join((f"{error.strerror}{place}.{kept}", *getattr(error, "__notes__", [])))
    return str(error) or type(error).__name__


def _interrupted(console: Console, stop: KeyboardInterrupt) -> int:
    """Say what was kept; an exception with the `number` of a signal says itself what became of the work."""
    kept, number = getattr(stop, "__notes__", []), getattr(stop, "number", 0)
    told = f"Kept: {'; '.join(kept)}." if kept else "Nothing was written; nothing that was there before is lost."
    text = str(stop) if number else f"stopped by Ctrl-C. {told}"
    console.event("interrupted", kept=kept, message=text)
    _paragraph(f"ctrlnet: {text}")
    return 128 + number if number else INTERRUPTED


def _paragraph(text: str) -> None:
    lines = (textwrap.fill(line, 110, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
    sys.stderr.write("\n".join(lines) + "\n")
