"""The certificate file, format 1: what was proved and all that is needed to check it, in one document.

The first line names the format and the SHA-256 of every byte after it; the rest is one JSON document with the
statement, the traced graphs of V and F (or of a margin), the proof trees and the box at the equilibrium, the
assumptions and the provenance. Numbers are exact: hexadecimal floats or fractions. The independent checker reads
nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

from ctrlnet.errors import UsageError
from ctrlnet.graph import Constant, Graph

FORMAT = 1
LONGEST_RATIONAL = 6000  # bits; the checker reads numbers of 2000 characters
Json = dict[str, Any]


def certificate_bytes(
    statement: Json, graphs: Json, proof: Json, provenance: Mapping[str, Any], notes: Sequence[str] = ()
) -> bytes:
    """The file; `notes` are sentences that it adds to what the checker says of its assumptions."""
    document = {
        "statement": statement,
        "graphs": graphs,
        "proof": proof,
        "assumptions": list(notes),
        "provenance": dict(provenance),
    }
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return f"ctrlnet-certificate {FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode() + body


def graph_document(graph: Graph, output: int) -> Json:
    """The nodes that `output` needs, renumbered."""
    kept = graph.reachable([output])
    new = {number: position for position, number in enumerate(kept)}
    nodes = []
    for number in kept:
        node = graph.nodes[number]
        nodes.append([node.operation, [new[argument] for argument in node.arguments], _attribute(node.attribute)])
    return {"nodes": nodes, "output": new[output]}


def _attribute(attribute: Any) -> Any:
    if isinstance(attribute, Constant):
        return _array(attribute)
    if isinstance(attribute, np.ndarray):
        return {"rows": attribute.shape[0], "weight": _array(Constant(attribute))}
    return list(attribute) if isinstance(attribute, tuple) else attribute


def _array(held: Constant) -> Json:
    if held.floats is None:
        return {"q": [number(value) for value in held.fractions]}
    with np.errstate(over="ignore"):
        short = held.floats.astype(np.float32)
    fits = bool((short.astype(np.float64) == held.floats).all())
    data = short.astype("<f4") if fits else held.floats.astype("<f8")
    return {"f4" if fits else "f8": base64.b64encode(data.tobytes()).decode()}


def number(value: Fraction | float) -> str:
    """A float as hexadecimal, a rational as "p/q".

    Errors: UsageError for a rational that is too long to be read again.
    """
    if isinstance(value, float):
        return value.hex()
    if value.numerator.bit_length() + value.denominator.bit_length() > LONGEST_RATIONAL:
        raise UsageError(
            "An exact constant has more than 1900 digits. Declare decimals with fewer, or round powers of them."
        )
    return str(Fraction(value))


def corners(lower: Tensor, upper: Tensor) -> Json:
    return {"lower": [value.hex() for value in lower.tolist()], "upper": [value.hex() for value in upper.tolist()]}
