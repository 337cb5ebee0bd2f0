"""Stopping a training between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, final

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A training that a signal has stopped, after its checkpoint was written.

    Attributes:
        number: of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@final
class StopFlag:
    """The signal that asks for an end, 0 while there is none."""

    number = 0


@contextmanager
def stoppable() -> Iterator[StopFlag]:
    """Within the block, SIGINT and SIGTERM only raise the flag; a second one of them ends the program as ever.

    Outside of the main thread Python takes no signals, and the flag stays down.
    """
    flag, before = StopFlag(), dict[signal.Signals, Any]()

    def raise_flag(number: int, frame: FrameType | None) -> None:
        flag.number = number
        for one, handler in before.items():
            signal.signal(one, handler)

    if threading.current_thread() is threading.main_thread():
        before |= {one: signal.signal(one, raise_flag) for one in SIGNALS}
    try:
        yield flag
    finally:
        for one, handler in before.items():
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
