"""Does a certificate speak of the system one has? Its graphs and statement against others, traced anew."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from ctrlnet.checker.conjunction import parts
from ctrlnet.checker.document import document, number
from ctrlnet.checker.graph import MAX_DIMENSION, Graph, read_graph
from ctrlnet.checker.report import Unreadable, printable
from ctrlnet.checker.statement import in_words


def compare(path: str | os.PathLike[str], graphs: Mapping[str, Any], statement: Mapping[str, Any]) -> list[str]:
    """Differences, in words, between the file and the graphs and statement given as JSON objects of its format.

    Numbers are compared as exact rationals and graphs as expressions, so numbering, encoding of arrays and nodes that
    are not used make no difference; nor do the proofs in the parts of a conjunction. Empty when both speak of the same.
    Raises `Unreadable`, OSError.
    """
    found = document(Path(path).read_bytes())
    file, run = _parts(found.statement, found.graphs), _parts(statement, graphs)
    if len(file) != len(run) or _joined(found.statement) != _joined(statement):
        return [f"statement: {_counted(found.statement)} in the file, {_counted(statement)} in the run"]
    words = []
    for i, (one, two) in enumerate(zip(file, run, strict=True), start=1):
        label = f"part {i}: " * _joined(statement)
        words += [label + line for line in _differences(*one, *two)]
    return [printable(line) for line in words]


def _differences(
    file: Mapping[str, Any], file_graphs: Mapping[str, Any], run: Mapping[str, Any], run_graphs: Mapping[str, Any]
) -> list[str]:
    """Of one statement."""
    if file.keys() != run.keys():
        return [f"statement: the file has the fields {_listed(file)}, the run {_listed(run)}"]
    words = [_field(name, file[name], run[name]) for name in run]
    words += [_graph(name, file_graphs, run_graphs) for name in sorted({*file_graphs, *run_graphs})]
    return [line for line in words if line]


def _joined(statement: Mapping[str, Any]) -> bool:
    return statement.get("kind") == "conjunction"


def _parts(statement: Mapping[str, Any], graphs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Statement and graphs of each part; a statement that is no conjunction is its only part."""
    if not _joined(statement):
        return [(statement, graphs)]
    return [(part["statement"], part["graphs"]) for part in parts({**statement, "parts": _proved(statement)})]


def _proved(statement: Mapping[str, Any]) -> Any:
    """The parts, with an empty proof where a part has none: a run need not hold any."""
    items = statement.get("parts")
    if not isinstance(items, list):
        return items
    return [{"proof": {}, **item} if isinstance(item, dict) else item for item in items]


def _counted(statement: Mapping[str, Any]) -> str:
    kind = printable(str(statement.get("kind")), 60)
    return f"a conjunction of {len(_parts(statement, {}))}" if _joined(statement) else f"the kind '{kind}'"


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


def _graph(name: str, file: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    if name not in file or name not in run:
        return f"graph '{name}' is only in the {'file' if name in file else 'run'}"
    n, m = _inputs(file[name]), _inputs(run[name])
    if n != m:
        return f"graph '{name}' has {n} inputs in the file, {m} in the run"
    a, b = read_graph(file[name], n, name), read_graph(run[name], n, name)
    return "" if a.digest == b.digest else f"graph '{name}': {_difference(a, b)}"


def _inputs(graph: Any) -> int:
    """As its own node says; 0 where the graph depends on no input, or is none."""
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    found = (
        [node[2] for node in nodes if isinstance(node, list) and node[:1] == ["input"] and len(node) == 3]
        if (isinstance(nodes, list))
        else []
    )
    return found[0] if found and type(found[0]) is int and 0 < found[0] <= MAX_DIMENSION else 0


def _difference(a: Graph, b: Graph) -> str:
    """Where two different graphs differ first, walking both in order."""
    if len(a.needed) != len(b.needed):
        return f"{len(a.needed)} nodes in the file, {len(b.needed)} in the run"
    for i, j in zip(a.needed, b.needed, strict=True):
        if a.digests[i] != b.digests[j]:
            return f"node {i} of the file ({a.nodes[i].operation}) is not node {j} of the run ({b.nodes[j].operation})"
    return "the outputs differ"
