"""A run folder that appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctrlnet.errors import RunExists
from ctrlnet.runs.document import NAME
from ctrlnet.runs.writing import allowed, sync_folder


@contextmanager
def staged(target: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """A new folder beside `target` to write into; it becomes `target` when the block ends without an error.

    With an error, Ctrl-C included, it is removed, and what stood at `target` is untouched. A run that is overwritten
    is removed only after the new one has taken its place.

    Raises:
        RunExists: `target` is there already and `overwrite` is false, or it is no run; raised before the block.
    """
    target = Path(target).absolute()
    check_free(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".aside", dir=target.parent))
    try:
        folder.chmod(allowed(0o777))
        yield folder
        check_free(target, overwrite)
        _swap(folder, target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def check_free(target: Path, overwrite: bool) -> None:
    """Refuse a place that is taken: a run unless `overwrite`, anything that is no run always.

    Raises:
        RunExists: it is taken.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / NAME).exists():
        raise RunExists(f"{target} is there already and is no run (it has no {NAME}). Name another folder.")
    if not overwrite:
        raise RunExists(
            f"The run {target} is there already. Name another folder, or replace it: "
            "overwrite=True, or --overwrite on the command line."
        )


def _swap(folder: Path, target: Path) -> None:
    """Put `folder` at `target`; what stood there goes aside first and back again if that fails."""
    if not target.exists():
        folder.rename(target)
    else:
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
        kept = old / target.name
        try:
            target.rename(kept)
            folder.rename(target)
        except BaseException:
            if kept.exists() and not target.exists():
                kept.rename(target)
            raise
        finally:
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
    sync_folder(target.parent)
