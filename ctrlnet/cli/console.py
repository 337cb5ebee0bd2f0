"""Where a verb speaks: JSON lines for machines, progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Console", "keeping"]

Advance = Callable[..., None]
ARTEFACTS = ("policy.safetensors", "metrics.csv", "certificates/*.cert", "validation.json", "video.mp4", "report.html")
QUARTERS = 4


class Console:
    """One voice for every verb.

    Args:
        json: speak only JSON, one object a line on stdout; people's lines and bars are silent then.
    """

    def __init__(self, json: bool = False) -> None:
        self.silent = int(os.environ.get("RANK", "0")) > 0  # one of several that torchrun started; the first speaks
        self.json = json
        self.terminal = sys.stderr.isatty() and not json and not self.silent

    def event(self, event: str, **facts: Any) -> None:
        """One JSON object on stdout, `{"event": ..., facts}`; non-finite numbers become null. Silent without --json."""
        if self.json and not self.silent:
            sys.stdout.write(json.dumps({"event": event, **finite(facts)}, default=str) + "\n")
            sys.stdout.flush()

    def say(self, text: str = "") -> None:
        """Lines for people, on stdout. Silent with --json."""
        if not (self.json or self.silent):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, title: str) -> Iterator[Advance]:
        """A bar on a terminal, a line a quarter elsewhere: yields advance(done, total, note="")."""
        if self.json:
            yield self._events(title)
        elif self.terminal:
            with _bar(title) as advance:
                yield advance
        else:
            yield _quarters(title, self.say)

    def _events(self, title: str) -> Advance:
        def advance(done: int, total: int, note: str = "") -> None:
            self.event("progress", stage=title, done=done, total=total, note=note)

        return _thinned(advance)


def finite(value: Any) -> Any:
    """The same nested value with every NaN and infinity replaced by None, which JSON can say."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """On Ctrl-C, note on the exception what lies complete in `folder`: every file is written aside and then renamed."""
    from ctrlnet.runs import holds_checkpoints, unfinished

    try:
        yield
    except KeyboardInterrupt as stop:
        kept = [path.relative_to(folder).as_posix() for pattern in ARTEFACTS for path in sorted(folder.glob(pattern))]
        if kept:
            stop.add_note(f"{folder} ({', '.join(kept)})")
        if holds_checkpoints(unfinished(folder)):
            stop.add_note(f"{unfinished(folder)} (checkpoints; go on: ctrlnet train --resume {folder})")
        raise


def _thinned(advance: Advance, interval: float = 0.5) -> Advance:
    """Calls at most one `advance` an interval [s], and always the last."""
    last = -math.inf

    def sometimes(done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= interval or done >= total:
            last = now
            advance(done, total, note)

    return sometimes


def _quarters(title: str, say: Callable[[str], None], interval: float = 2.0) -> Advance:
    """Lines at 25, 50 and 75 %, for work that lasts: none before an interval [s] has passed since the last."""
    said, last = 0, time.monotonic()

    def advance(done: int, total: int, note: str = "") -> None:
        nonlocal said, last
        quarter = QUARTERS * done // max(total, 1)
        if said < quarter < QUARTERS and time.monotonic() - last >= interval:
            said, last = quarter, time.monotonic()
            say(f"  {title:<9} {100 * done // total:>3} %     {note}".rstrip())

    return advance


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description:<9}"), BarColumn(bar_width=36), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), TextColumn("{task.fields[note]}"), transient=True,
                  console=Terminal(stderr=True)) as bars:  # fmt: skip
        bar = bars.add_task(title, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bars.update(bar, completed=done, total=total, note=note)

        yield advance
