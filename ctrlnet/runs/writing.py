"""Files that are either whole or not there."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ctrlnet.errors import UsageError


def write_aside(path: str | Path, data: bytes) -> None:
    """Write a file under another name in the same folder, flush it to the disk, then rename it to `path`.

    A full disk, Ctrl-C or loss of power leaves the old file or the new one, never a part of one. Missing parent
    folders are made.

    Raises:
        UsageError: `path` is a folder, or its parent is a file; nothing is written.
        OSError: the disk is full, or the place cannot be written; `path` is as it was.
    """
    path = Path(path)
    _check_place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".aside", dir=path.parent)
    try:
        with naming(path), os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(allowed(0o666))
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError of the block that names no file, such as that of a full disk, names this one."""
    try:
        yield
    except OSError as cause:
        if cause.errno is not None:
            cause.filename = cause.filename or str(path)
        raise


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it, such as {path / 'name'}.")
    blocking = next((one for one in path.parents if one.exists() and not one.is_dir()), None)
    if blocking is not None:
        raise UsageError(f"{path} cannot be written: {blocking} is a file, no folder. Name another place.")


def sync_folder(folder: Path) -> None:
    """Flush a folder's own entries, so that a rename survives a loss of power; nothing where that cannot be done."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def digest_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def allowed(mode: int) -> int:
    """The permissions of `mode` that a new file gets here; those of a temporary one are the owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    return mode & ~mask
