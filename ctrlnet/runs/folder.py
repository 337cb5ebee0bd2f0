"""A run folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from ctrlnet.errors import RunExists, UsageError
from ctrlnet.runs.document import NAME, UNFINISHED, document, unfinished
from ctrlnet.runs.writing import sync_folder, write_aside

try:
    import fcntl

    _LOCKS = True
except ImportError:
    _LOCKS = False  # a system without them

CHECKPOINTS = "checkpoints"


@contextmanager
def staged(
    target: str | Path,
    overwrite: bool = False,
    *,
    resume: bool = False,
    settings: Mapping[str, Any] | None = None,
    accept: Callable[[Path], object] = lambda folder: None,
) -> Iterator[Path]:
    """The folder `target`.partial to write into; it becomes `target` when the block ends without an error.

    With an error, Ctrl-C included, it is removed, unless it holds checkpoints; what stood at `target` is untouched. A
    run that is overwritten is removed only after the new one has taken its place.

    Args:
        target: the run.
        overwrite: replace a run that is there, and throw away an unfinished one.
        resume: go on with the unfinished one that is there.
        settings: kept in the folder as unfinished.toml.
        accept: looks at the folder that is to be gone on with, before anything in it is changed; refuses by an error.

    Raises:
        RunExists: `target` is there already and `overwrite` is false, or it is no run; an unfinished training of it is
            there and `resume` is false; another process is at work on it. All before the block.
    """
    target = Path(target).absolute()
    check_free(target, overwrite)
    folder = unfinished(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _held(folder):
        _check_unfinished(folder, overwrite, resume)
        if resume:
            accept(folder)
        try:
            _begin(folder, resume, settings or {})
            yield folder
            check_free(target, overwrite)
            _swap(folder, target)
        except BaseException:
            if not holds_checkpoints(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
    clear_remains(target)


def holds_checkpoints(folder: Path) -> bool:
    """Whether an unfinished run can go on from somewhere."""
    return any((folder / CHECKPOINTS).glob("*.checkpoint"))


def clear_remains(run: Path) -> None:
    """Remove what a finished run needs no longer, and a run that it has replaced."""
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)
    (run / UNFINISHED).unlink(missing_ok=True)
    for old in run.parent.glob(f".{escape(run.name)}.*.old"):
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes out of it as long as this one lives, where the system can."""
    folder.mkdir(exist_ok=True)
    if not _LOCKS:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _locked(handle) or not folder.exists() or os.fstat(handle).st_ino != folder.stat().st_ino:
            raise RunExists(f"Another process is at work on {folder}. Wait for it, or name another folder.")
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock an open folder until it is closed; False where another process has done so."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _check_unfinished(folder: Path, overwrite: bool, resume: bool) -> None:
    ours = any((folder / name).exists() for name in (UNFINISHED, CHECKPOINTS))
    if not ours and any(not _is_litter(one) for one in folder.iterdir()):
        raise RunExists(f"{folder} is there already and is no unfinished run. Name another folder for the run.")
    if holds_checkpoints(folder) and not (overwrite or resume):
        raise RunExists(
            f"{folder} is there already, a training that was interrupted. Go on with it: resume=True, or --resume on "
            "the command line; or throw it away: overwrite=True, or --overwrite."
        )


def _is_litter(path: Path) -> bool:
    """Whether a file is the remains of one that was being written when its process was killed."""
    return path.name.startswith(".") and path.name.endswith(".aside")


def _begin(folder: Path, resume: bool, settings: Mapping[str, Any]) -> None:
    if not resume:
        for one in folder.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    for litter in filter(_is_litter, folder.rglob(".*")):
        litter.unlink()
    (folder / NAME).unlink(missing_ok=True)  # it was about to become the run
    write_aside(folder / UNFINISHED, document(settings, {}))


def check_choice(overwrite: bool, resume: bool) -> None:
    """Refuse to go on with a training and to throw it away.

    Raises:
        UsageError: both are asked for.
    """
    if overwrite and resume:
        raise UsageError(
            "Both resume and overwrite (--resume and --overwrite) were given: the one goes on with an interrupted "
            "training, the other throws it away. Give one of them; a training that was begun with overwrite goes on by "
            "resume alone."
        )


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
