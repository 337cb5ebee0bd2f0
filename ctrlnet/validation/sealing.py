"""JSON documents that notice an edit: each holds the SHA-256 of its own content, under the key "digest"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_KEY = "digest"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with its digest; it is over the values, so that spaces and the order of keys do not matter."""
    return {**content, _KEY: _digest(content)}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether the digest in a document fits the rest of it."""
    content = {key: value for key, value in document.items() if key != _KEY}
    return document.get(_KEY) == _digest(content)


def _digest(content: Mapping[str, Any]) -> str:
    plain = json.loads(json.dumps(content))  # tuples become lists, as they are when the file is read
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
