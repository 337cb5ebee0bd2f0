"""Does a certificate speak of the system one has? Its graphs and statement against others, traced anew."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from ctrlnet.checker.document import document, number
from ctrlnet.checker.graph import Graph, read_graph
from ctrlnet.checker.report import Unreadable, printable
from ctrlnet.checker.statement import in_words, root


def compare(path: str | os.PathLike[str], graphs: Mapping[str, Any], statement: Mapping[str, Any]) -> list[str]:
    """Differences, in words, between the file and the graphs and statement given as JSON objects of its format.

    Numbers are compared as exact rationals and graphs as expressions, so numbering, encoding of arrays and nodes that
    are not used make no difference. Empty when both speak of the same. Raises `Unreadable`, OSError.
    """
    found = document(Path(path).read_bytes())
    if found.statement.keys() != statement.keys():
        return [f"statement: the file has the fields {_listed(found.statement)}, the run {_listed(statement)}"]
    n = len(root(found.statement.get("box"))[0])
    words = [_field(name, found.statement[name], statement[name]) for name in statement]
    words += [_graph(name, found.graphs, graphs, n) for name in sorted({*found.graphs, *graphs})]
    return [printable(line) for line in words if line]


def _listed(names: Iterable[str]) -> str:
    return printable(", ".join(sorted(names)), 200)


def _field(name: str, file: Any, run: Any) -> str:
    one, two = _flat(file), _flat(run)
    return "" if one == two else f"statement: '{name}' is {_short(one)} in the file, {_short(two)} in the run"


def _flat(value: Any) -> list[tuple[str, Any]]:
    """Leaves of a JSON value, each with its path; a number as its rational, whatever its spelling."""
    pending, found = [("", value)], list[tuple[str, Any]]()
    while pending:
        path, item = pending.pop()
        if isinstance(item, dict):
            pending += [(f"{path}.{key}", part) for key, part in item.items()]
        elif isinstance(item, list):
            pending += [(f"{path}[{i}]", part) for i, part in enumerate(item)]
        else:
            found.append((path, _exact(item)))
    return sorted(found, key=lambda leaf: leaf[0])


def _exact(value: Any) -> Any:
    try:
        return number(value, "")
    except Unreadable:
        return value


def _short(leaves: list[tuple[str, Any]]) -> str:
    return printable(" ".join(f"{path} {in_words(v) if isinstance(v, Fraction) else v}".strip() for path, v in leaves))


def _graph(name: str, file: Mapping[str, Any], run: Mapping[str, Any], n: int) -> str:
    if name not in file or name not in run:
        return f"graph '{name}' is only in the {'file' if name in file else 'run'}"
    a, b = read_graph(file[name], n, name), read_graph(run[name], n, name)
    return "" if a.digest == b.digest else f"graph '{name}': {_difference(a, b)}"


def _difference(a: Graph, b: Graph) -> str:
    """Where two different graphs differ first, walking both in order."""
    if len(a.needed) != len(b.needed):
        return f"{len(a.needed)} nodes in the file, {len(b.needed)} in the run"
    for i, j in zip(a.needed, b.needed, strict=True):
        if a.digests[i] != b.digests[j]:
            return f"node {i} of the file ({a.nodes[i].operation}) is not node {j} of the run ({b.nodes[j].operation})"
    return "the outputs differ"
