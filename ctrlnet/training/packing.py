"""Nested states as bytes: tensors in safetensors, everything else in its JSON header. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, TypeAlias

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ctrlnet.errors import RunDamaged, RunFormat, UsageError

State: TypeAlias = dict[str, Any]
FORMAT = 1
_HEAD = re.compile(rb"ctrlnet-checkpoint (\d{1,9}) ([0-9a-f]{64})\n")


def packed(state: State) -> bytes:
    """A first line with format and SHA-256 of the rest, then safetensors whose metadata holds the structure.

    Args:
        state: nested dicts (with str or int keys), lists and tuples of tensors, numbers, strings, booleans and None.

    Raises:
        UsageError: something else in it.
    """
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_encoded(state, "state", tensors))
    body: bytes = save(tensors, metadata={"state": structure})
    return f"ctrlnet-checkpoint {FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def unpacked(data: bytes, place: str) -> State:
    """The state that `packed` made bytes of.

    Args:
        place: named in errors.

    Raises:
        RunDamaged: truncated or edited.
        RunFormat: another version wrote it.
    """
    head = _HEAD.match(data)
    body = data[head.end() :] if head else b""
    if head is None or hashlib.sha256(body).hexdigest() != head[2].decode():
        raise RunDamaged(f"{place} was truncated or edited: its hash does not fit.")
    if int(head[1]) != FORMAT:
        raise RunFormat(f"{place} has format {int(head[1])}; this ctrlnet reads {FORMAT}. Use the one that wrote it.")
    try:
        tensors, length = load(body), int.from_bytes(body[:8], "little")
        structure = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["state"])
        state: State = _decoded(structure, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError) as cause:
        raise RunDamaged(f"{place} cannot be read: {cause}.") from cause
    return state


def _encoded(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[place] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": place}
    if isinstance(value, dict) and all(type(key) in (str, int) for key in value):
        return {"dict": [[key, _encoded(one, f"{place}.{key}", tensors)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encoded(one, f"{place}.{number}", tensors) for number, one in enumerate(value)]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise UsageError(
        f"A checkpoint cannot hold {place}, a {type(value).__name__}; it holds tensors, numbers, strings, booleans, "
        "None, and dicts, lists and tuples of those."
    )


def _decoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decoded(one, tensors) for key, one in content}
    listed = [_decoded(one, tensors) for one in content]
    return tuple(listed) if kind == "tuple" else listed
