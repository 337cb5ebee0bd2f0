"""Settings as TOML text; reading is the standard library's `tomllib`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctrlnet.errors import UsageError


def toml_text(settings: Mapping[str, Any]) -> str:
    """TOML of nested mappings of strings, numbers, booleans and lists of those; entries that are None are left out.

    Raises:
        UsageError: a value of another type, NaN or infinity.
    """
    return "\n".join(_table(settings, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and value is not None}
    if path and (plain or not table):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value, (*path, key))}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _table(value, (*path, key))


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _string(key)


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one, path) for one in value) + "]"
    raise UsageError(
        f"{'.'.join(path)} is {value!r}, which a run cannot keep; "
        "use strings, finite numbers, booleans and lists of those."
    )


def _string(text: str) -> str:
    # JSON escapes are TOML escapes, but for DEL, which TOML wants escaped too
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
