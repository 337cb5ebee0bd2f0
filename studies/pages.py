"""Pages and figures of the studies: tables between marks in pages of docs, figures beside them."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any, TypeVar

from digits import Outcome, Training, train
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
PAGE = "studies"  # docs/studies.md
FIGURES = DOCS / "figures"
K = TypeVar("K")


def train_all(tasks: Mapping[K, Training]) -> dict[K, Outcome]:
    """Every training, one process a core, each of one thread: the numbers do not depend on how many there are."""
    return dict(zip(tasks, in_processes(train, list(tasks.values())), strict=True))


def in_processes(function: Any, arguments: Sequence[Any]) -> list[Any]:
    """The values of a function, computed in as many processes as there are cores, the costliest first."""
    with ProcessPoolExecutor(cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, arguments))


def write_table(name: str, rows: Iterable[Mapping[str, Any]], page: str = PAGE) -> None:
    """Replace the table of this name in a page by these rows, whose keys are the heads of the columns."""
    lines = list(rows)
    heads = list(lines[0])
    table = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    table += ["| " + " | ".join(said(line[head]) for head in heads) + " |" for line in lines]
    pattern = re.compile(rf"(<!-- study: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    path = DOCS / f"{page}.md"
    text = path.read_text()
    if not pattern.search(text):
        raise SystemExit(f"{path} has no place for the table {name!r}: <!-- study: {name} --> ... <!-- end -->")
    path.write_text(pattern.sub(lambda found: found[1] + "\n".join(table) + "\n" + found[2], text))


def write_figure(name: str, figure: Figure) -> None:
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png", dpi=80, bbox_inches="tight")


def median(outcomes: Iterable[Any], attribute: str) -> float:
    """Of an attribute of several outcomes."""
    return statistics.median(getattr(outcome, attribute) for outcome in outcomes)


def said(value: Any) -> str:
    """A number to three digits, a share as it is, never for never."""
    if isinstance(value, float):
        return "never" if math.isinf(value) else "–" if math.isnan(value) else f"{value:.3g}"
    return str(value)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"
