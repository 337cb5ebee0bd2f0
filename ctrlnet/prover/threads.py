"""Chunks of boxes over the threads that torch may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def spread(work: Callable[[Part], Result], parts: Sequence[Part], on_cpu: bool = True) -> list[Result]:
    """The work on every part, in order: a thread takes a part at a time, and torch is given one thread inside.

    Operations on a part are too short to be shared among threads. What is computed for a part does not depend on
    their number.
    """
    _keep_freed_memory()
    threads = torch.get_num_threads()
    workers = min(threads, len(parts)) if on_cpu else 1
    if workers <= 1:
        return [work(part) for part in parts]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(work, parts))
    finally:
        torch.set_num_threads(threads)


@cache
def _keep_freed_memory() -> None:
    """Have the C library keep what is freed; else the system takes large temporaries back, and clears them anew.

    glibc does so for blocks up to the size of the largest one that was ever freed, if that is 32 MB or less
    (mallopt(3), M_MMAP_THRESHOLD). This one is freed untouched. With other libraries nothing happens.
    """
    torch.empty(24 << 20, dtype=torch.uint8)
