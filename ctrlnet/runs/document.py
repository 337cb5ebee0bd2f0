"""run.toml: the settings of a run, the hashes of its files, and a digest over itself."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctrlnet.errors import RunDamaged, RunFormat, RunUnfinished
from ctrlnet.runs.toml import toml_text

FORMAT = 1
NAME = "run.toml"
UNFINISHED = "unfinished.toml"  # in its place while the training is under way
_HEAD = re.compile(rb'format = (\d{1,9})\ndigest = "([0-9a-f]{64})"\n')


def document(settings: Mapping[str, Any], files: Mapping[str, str]) -> bytes:
    """The bytes of run.toml: format, SHA-256 of everything below that line, settings, SHA-256 of each file.

    Raises:
        UsageError: a setting that TOML cannot hold.
    """
    body = "\n" + toml_text({**settings, "files": dict(files)})
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'format = {FORMAT}\ndigest = "{digest}"\n{body}'.encode()


def read_document(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Settings and file hashes of a run.toml, after the digest was compared.

    Raises:
        RunFormat: another version wrote it.
        RunDamaged: it is missing, truncated or edited (RunUnfinished: the training has not come to an end).
    """
    data = _bytes(path)
    head = _HEAD.match(data)
    version = int(head[1]) if head else _foreign_version(data)
    if version is not None and version != FORMAT:
        raise RunFormat(
            f"{path} has format {version}; this ctrlnet reads format {FORMAT}. "
            f"Use the ctrlnet that wrote it{' or upgrade this one' if version > FORMAT else ''}, or train again."
        )
    body = data[head.end() :] if head else b""
    if head is None or hashlib.sha256(body).hexdigest() != head[2].decode():
        raise RunDamaged(f"{path} was truncated or edited: its digest does not fit. Restore it, or train again.")
    settings: dict[str, Any] = tomllib.loads(body.decode())
    return settings, settings.pop("files", {})


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        if (folder := _under_way(path.parent)) is not None:
            raise RunUnfinished(
                f"The training of {path.parent} has not come to an end; it is under way, or was interrupted, in "
                f"{folder}. Go on with it: ctrlnet train --resume {path.parent}."
            ) from error
        if not path.parent.exists():
            raise RunDamaged(f"There is no run {path.parent}. Make one: ctrlnet train NAME --out FOLDER.") from error
        raise RunDamaged(f"{path.parent} is no run, or an incomplete one: it has no {NAME}.") from error
    except NotADirectoryError as error:
        raise RunDamaged(f"{path.parent} is a file; a run is a folder with a {NAME}.") from error


def unfinished(target: Path) -> Path:
    """Where the run `target` is while it is not finished."""
    target = target if target.name else target.absolute()
    return target.parent / f"{target.name}.partial"


def _under_way(folder: Path) -> Path | None:
    """The unfinished run that a folder is, or is to become."""
    return next((one for one in (folder, unfinished(folder)) if (one / UNFINISHED).exists()), None)


def _foreign_version(data: bytes) -> int | None:
    """The version in a document whose head is not ours, or None where there is none to be read."""
    try:
        version = tomllib.loads(data.decode()).get("format")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None
    return version if isinstance(version, int) else None
