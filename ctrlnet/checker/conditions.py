"""What a statement on the controls of a plant says: that V falls, at most once, and any number of barriers.

A decrease asks V' + rate V < 0 < V on {V <= level} but at x*, a barrier h' + rate h > 0 on {h >= 0}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from ctrlnet.checker.document import fields, number, numbers, sequence
from ctrlnet.checker.functions import Elementary
from ctrlnet.checker.graph import read_graph
from ctrlnet.checker.interval import Interval
from ctrlnet.checker.jets import Evaluator
from ctrlnet.checker.report import Rejected, Unreadable
from ctrlnet.checker.statement import corners, in_words

END = ", satisfies V(x(t)) <= exp(-{rate} t) V(x(0)), and converges to x* = ({at}), where f(x*{d}) + g(x*{d}) k(x*) = 0"
MAX_CONDITIONS = 256
TYPES = {"decrease": ("type", "equilibrium", "rate", "level"), "barrier": ("type", "rate")}


class Conditions(NamedTuple):
    """All rates, that of the decrease first; its x* and its level, None without a decrease."""

    rates: list[Fraction]
    at: list[Fraction]
    level: Fraction | None

    @staticmethod
    def of(value: Any, n: int) -> Conditions:
        """Read them."""
        items = [_condition(item, i) for i, item in enumerate(sequence(value, "conditions"))]
        if not 1 <= len(items) <= MAX_CONDITIONS:
            raise Unreadable(f"there are {len(items)} conditions; this checker reads 1 to {MAX_CONDITIONS}")
        rates, first = [number(item["rate"], "rate") for item in items], items[0]
        if first["type"] == "barrier":
            return Conditions(rates, [], None)
        return Conditions(rates, numbers(first["equilibrium"], "equilibrium", n), number(first["level"], "level"))

    @property
    def names(self) -> list[str]:
        """Those of the functions: V, if there is one, h0, h1, ..."""
        falling = ["V"] * (self.level is not None)
        return [*falling, *(f"h{i}" for i in range(len(self.rates) - len(falling)))]

    def check(self) -> None:
        """The signs of the numbers."""
        if any(rate < 0 for rate in self.rates) or (self.level is not None and not (self.level > 0 < self.rates[0])):
            raise Rejected("the rate and the level of V must be positive, no other rate negative")

    def words(self, d: str) -> dict[str, str]:
        """Parts of the theorem: `set`, `but`, `conditions`, `end`; d is ", d" where there is a disturbance."""
        bounds = [f"{name}(x) >= 0" for name in self.names if name != "V"]
        claims = [
            f"{name}' + {in_words(rate)} {name}(x) > 0" for name, rate in zip(self.names, self.rates, strict=True)
        ]
        if self.level is None:
            return {"set": ", ".join(bounds), "but": "", "conditions": ", ".join(claims), "end": ""}
        at, rate = ", ".join(map(in_words, self.at)), in_words(self.rates[0])
        bounds.insert(0, f"V(x) <= {in_words(self.level)}")
        claims[0] = f"V' + {rate} V(x) < 0 < V(x)"
        but, end = f", other than x* = ({at})", END.format(rate=rate, at=at, d=d)
        return {"set": ", ".join(bounds), "but": but, "conditions": ", ".join(claims), "end": end}


def box_of_controls(value: Any) -> Interval:
    """U, corners of shape (m,); it may have no width."""
    lower, upper = corners(value, "the controls")
    if not (lower <= upper).all():
        raise Unreadable("the box of the controls is empty: a lower corner is above its upper corner")
    return Interval(lower, upper)


def graphs(
    value: Mapping[str, Any], names: Sequence[str], n: int, k: int, m: int, elementary: Elementary
) -> dict[str, Evaluator]:
    """Functions by name, in the file's order: those of the conditions, of x; f of size n, g of size n m, of (x, d)."""
    sizes = {**dict.fromkeys(names, 1), "f": n, "g": n * m}
    inputs = {**dict.fromkeys(names, n), "f": n + k, "g": n + k}
    content = fields(value, sizes, "graphs")
    found = {name: read_graph(graph, inputs[name], name, n + k) for name, graph in content.items()}
    if any(graph.size != sizes[name] for name, graph in found.items()):
        raise Unreadable("f must have size n, g size n times m, V and each h size 1")
    return {name: Evaluator(graph, inputs[name], elementary) for name, graph in found.items()}


def _condition(item: Any, place: int) -> dict[str, Any]:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind == "barrier" or (kind == "decrease" and place == 0):
        return fields(item, TYPES[kind], f"condition {place + 1}")
    raise Unreadable("a condition is a 'barrier', or, as the first one only, a 'decrease'")
