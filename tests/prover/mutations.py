"""Changes of certificates, whatever their kind, with the hash redone."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tests.prover.attack import Document, array, numbers, rational

Change = Callable[[Document, random.Random], object]


def rehashed(document: Document) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    return f"ctrlnet-certificate 1 {hashlib.sha256(body).hexdigest()}\n".encode() + body


def opened(certificate: bytes) -> Document:
    return json.loads(certificate.split(b"\n", 1)[1])


# ---- parts of a file ------------------------------------------------------------------------------------------------


def parts(document: Document) -> list[Document]:
    """The parts of a conjunction, or the document itself: each has statement, graphs and proof."""
    return document["statement"].get("parts", [document])


# ---- changes of a part -----------------------------------------------------------------------------------------------


Place = str | int
"""A key of an object, or a position in a list."""


def inside(value: Any, names: Sequence[Place]) -> Any:
    """The part of a JSON value that is reached by these keys."""
    for name in names:
        value = value[name]
    return value


def says(*names: Place, low: float, high: float) -> Change:
    """A number of the statement, or a bound of a box in it, drawn from [low, high]."""
    return drawn("statement", *names, low=low, high=high)


def drawn(*names: Place, low: float, high: float) -> Change:
    """A number anywhere, drawn from [low, high]."""

    def change(part: Document, draw: random.Random) -> None:
        inside(part, names[:-1])[names[-1]] = draw.uniform(low, high).hex()

    return change


def followed(name: str, *nodes: Any) -> Change:
    """Nodes appended to a graph; -1 stands for its output, -2 and on for the appended ones in their order."""

    def change(part: Document, draw: random.Random) -> None:
        graph = part["graphs"][name]
        places = [graph["output"], *range(len(graph["nodes"]), len(graph["nodes"]) + len(nodes))]
        for operation, arguments, attribute in nodes:
            graph["nodes"].append([operation, [places[-1 - a] for a in arguments], attribute])
        graph["output"] = places[-1]

    return change


def negated(name: str) -> Change:
    return followed(name, ("neg", [-1], None))


def times(name: str, size: int, factor: str) -> Change:
    return followed(name, ("constant", [], {"q": [factor] * size}), ("mul", [-1, -2], None))


def plus(name: str, *terms: str) -> Change:
    return followed(name, ("constant", [], {"q": list(terms)}), ("add", [-1, -2], None))


def replaced(name: str, *nodes: Any) -> Change:
    """Another graph."""

    def change(part: Document, draw: random.Random) -> None:
        part["graphs"][name] = {"nodes": [list(node) for node in nodes], "output": len(nodes) - 1}

    return change


def reversed_weights(part: Document, draw: random.Random) -> None:
    """One matrix of F times -1."""
    node = draw.choice([node for node in part["graphs"]["F"]["nodes"] if node[0] == "linear"])
    node[2]["weight"] = {"q": [str(-Fraction(value)) for value in array(node[2]["weight"]).tolist()]}


def exchanged(part: Document, draw: random.Random) -> None:
    """V or h in place of F, and F in place of V or h."""
    first, second = list(part["graphs"])[:2]
    part["graphs"][first], part["graphs"][second] = part["graphs"][second], part["graphs"][first]


NUMBERS = ("lower", "upper", "gain", "control")
"""The fields of a proof that hold numbers."""


def trees(part: Document) -> list[tuple[Any, Any]]:
    """Where the trees of a proof are: container and key."""
    found: list[tuple[Any, Any]] = []
    pending: list[tuple[Any, Any]] = [(part, "proof")]
    while pending:
        container, key = pending.pop()
        item = container[key]
        if isinstance(item, str):
            found.append((container, key))
        else:
            keys = [key for key in item if key not in NUMBERS] if isinstance(item, dict) else range(len(item))
            pending += [(item, key) for key in keys]
    return found


def end(tree: str, start: int) -> int:
    """Where the subtree that begins at `start` ends."""
    pending, i = 1, start
    while pending:
        pending += 1 if tree[i].isupper() else -1
        i += 1
    return i


def cut(part: Document, draw: random.Random) -> None:
    """A subtree left out."""
    container, key = draw.choice(trees(part))
    tree = container[key]
    start = draw.randrange(len(tree))
    container[key] = tree[:start] + tree[end(tree, start) :]


def grown(part: Document, draw: random.Random) -> None:
    """A leaf too many."""
    container, key = draw.choice(trees(part))
    place = draw.randrange(len(container[key]) + 1)
    container[key] = container[key][:place] + draw.choice("px") + container[key][place:]


def strange_leaf(part: Document, draw: random.Random) -> None:
    """A leaf of a kind that no tree has."""
    container, key = draw.choice(trees(part))
    tree = container[key]
    place = draw.choice([i for i, letter in enumerate(tree) if letter.islower()])
    container[key] = tree[:place] + draw.choice("abqz") + tree[place + 1 :]


def split_too_far(part: Document, draw: random.Random) -> None:
    """A split along a dimension that does not exist."""
    container, key = draw.choice(trees(part))
    place = draw.choice([i for i, letter in enumerate(container[key]) if letter.islower()])
    letter = container[key][place]
    container[key] = container[key][:place] + "Z" + 2 * letter + container[key][place + 1 :]


def whole(letter: str, *names: Place) -> Change:
    """A tree that is one leaf."""

    def change(part: Document, draw: random.Random) -> None:
        inside(part["proof"], names[:-1])[names[-1]] = letter

    return change


def excluded_inside(part: Document, draw: random.Random) -> None:
    """The leaf at a state well inside the set is said to be outside."""
    said, tree = part["statement"], part["proof"]["interior"]
    lower, upper = numbers(said["box"]["lower"]), numbers(said["box"]["upper"])
    d = said.get("disturbance", {"lower": [], "upper": []})
    lower, upper = np.append(lower, numbers(d["lower"])), np.append(upper, numbers(d["upper"]))
    target = INSIDE[said["kind"]](len(said["box"]["lower"])) * draw.uniform(0.9, 1.0)
    target = np.append(target, 0.5 * lower[len(target) :] + 0.5 * upper[len(target) :])
    place = _leaf_at(tree, lower, upper, target)
    part["proof"]["interior"] = tree[:place] + "x" + tree[place + 1 :]


INSIDE: dict[str, Callable[[int], Any]] = {
    "exponential_stability": lambda n: np.full(n, 0.45),
    "ultimate_bound": lambda n: np.full(n, 0.45),
    "discrete_decrease": lambda n: np.full(n, 0.4),
    "discrete_ultimate_bound": lambda n: np.full(n, 0.4),
    "barrier_invariance": lambda n: np.full(n, 0.1),
    "nagumo_invariance": lambda n: np.full(n, 0.35),
    "high_order_invariance": lambda n: np.full(n, 0.1),
    "positivity": lambda n: np.full(n, 0.1),
    "sampled_stability": lambda n: np.full(n, 0.4),
    "admissible_control": lambda n: np.full(n, 0.4),
}
"""A state of the set on which the claim of leaves 'p' is made; those of Nagumo are near h = 0."""


def _leaf_at(tree: str, lower: Any, upper: Any, x: Any) -> int:
    place = 0
    while tree[place].isupper():
        axis, middle = ord(tree[place]) - ord("A"), 0.5 * lower + 0.5 * upper
        if x[axis] < middle[axis]:
            upper, place = np.where(np.arange(len(x)) == axis, middle, upper), place + 1
        else:
            lower, place = np.where(np.arange(len(x)) == axis, middle, lower), end(tree, place + 1)
    return place


def larger_neighbourhood(low: float, high: float) -> Change:
    """R beyond the set on which its clause is true."""

    def change(part: Document, draw: random.Random) -> None:
        size = draw.uniform(low, high)
        block = part["proof"]["equilibrium"]
        block["lower"], block["upper"] = ([(s * size).hex()] * len(block["lower"]) for s in (-1, 1))

    return change


def without_rays(part: Document, draw: random.Random) -> None:
    """The matrix inequalities are to hold instead: they do not at a kink."""
    del part["proof"]["equilibrium"]["rays"]


def fewer_rays(part: Document, draw: random.Random) -> None:
    part["proof"]["equilibrium"]["rays"].pop()


def without_side_condition(part: Document, draw: random.Random) -> None:
    part["statement"]["where"].pop()
    part["graphs"].pop("where0")


def a_face_proved(part: Document, draw: random.Random) -> None:
    """A leaf of a face said to be proved, where the claim is that V exceeds the level."""
    faces, axis, side = part["proof"]["faces"], draw.randrange(len(part["proof"]["faces"])), draw.randrange(2)
    faces[axis][side] = faces[axis][side].replace("x", "p", 1)


def fewer_faces(part: Document, draw: random.Random) -> None:
    part["proof"]["faces"].pop(draw.randrange(len(part["proof"]["faces"])))


BROKEN: list[Change] = [cut, grown, strange_leaf, split_too_far]
"""Changes that make any proof none."""


# ---- changes that keep the truth -------------------------------------------------------------------------------------


def numbers_respelled(part: Document, draw: random.Random) -> None:
    """Hex floats as rationals, rationals that are float64 values as hex floats, others not in lowest terms."""
    pending: list[Any] = [part["statement"], part["proof"]]
    while pending:
        item = pending.pop()
        for key in item if isinstance(item, dict) else range(len(item)):
            value = item[key]
            if isinstance(value, (dict, list)):
                pending.append(value)
            elif isinstance(value, str) and value.lstrip("-")[:1].isdigit():
                item[key] = _respelled(value)


def _respelled(text: str) -> str:
    value = rational(text)
    if "0x" in text:
        return str(value)
    if Fraction(float(value)) == value:
        return float(value).hex()
    return f"{3 * value.numerator}/{3 * value.denominator}"


def arrays_respelled(part: Document, draw: random.Random) -> None:
    """Every constant and weight as rationals, or as the widest floats that hold it."""
    for graph in part["graphs"].values():
        for node in graph["nodes"]:
            if node[0] == "constant":
                node[2] = _encoded(node[2], draw)
            elif node[0] == "linear":
                node[2]["weight"] = _encoded(node[2]["weight"], draw)


def _encoded(value: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    ((kind, content),) = value.items()
    values = [rational(text) for text in content] if kind == "q" else [Fraction(v) for v in array(value).tolist()]
    floats = np.array([float(v) for v in values])
    if any(Fraction(f) != v for f, v in zip(floats.tolist(), values, strict=True)) or draw.random() < 0.5:
        return {"q": [str(v) for v in values]}
    width = "f4" if np.array_equal(floats.astype("<f4").astype(float), floats) and draw.random() < 0.5 else "f8"
    return {width: base64.b64encode(floats.astype("<" + width).tobytes()).decode()}


def renumbered(part: Document, draw: random.Random) -> None:
    """An unused constant first, and an unused copy of the last node."""
    for graph in part["graphs"].values():
        nodes = [[op, [a + 1 for a in arguments], attribute] for op, arguments, attribute in graph["nodes"]]
        spare = [node for node in nodes[-1:] if node[0] != "input"]
        graph["nodes"] = [["constant", [], {"q": ["1/3"]}], *nodes, *spare]
        graph["output"] += 1


def permuted(part: Document, draw: random.Random) -> None:
    """The nodes of every graph in another order in which arguments come first."""
    for graph in part["graphs"].values():
        nodes, places = graph["nodes"], dict[int, int]()
        while len(places) < len(nodes):
            ready = [i for i, node in enumerate(nodes) if i not in places and all(a in places for a in node[1])]
            places[draw.choice(ready)] = len(places)
        graph["nodes"] = [
            [operation, [places[a] for a in arguments], attribute]
            for operation, arguments, attribute in (nodes[i] for i in places)
        ]
        graph["output"] = places[graph["output"]]


def negated_twice(part: Document, draw: random.Random) -> None:
    """-(-a) for the output of every graph."""
    for name in part["graphs"]:
        followed(name, ("neg", [-1], None), ("neg", [-2], None))(part, draw)


def duplicated(part: Document, draw: random.Random) -> None:
    """One argument of one node takes a copy of the node that it took."""
    for graph in part["graphs"].values():
        nodes = graph["nodes"]
        places = [
            (i, k) for i, node in enumerate(nodes) for k, a in enumerate(node[1]) if nodes[a][0] not in ("input",)
        ]
        if not places:
            continue
        i, k = draw.choice(places)
        copied = nodes[i][1][k]
        moved = [[op, [a + (a >= i) for a in arguments], attribute] for op, arguments, attribute in nodes]
        moved[i][1][k] = i
        graph["nodes"] = [*moved[:i], moved[copied], *moved[i:]]
        graph["output"] += graph["output"] >= i


def split_leaf(part: Document, draw: random.Random) -> None:
    """A leaf as two leaves of its kind."""
    wide = [
        (container, key)
        for container, key in trees(part)
        if container is not None and (key == "interior" or key == "inner")
    ]
    if not wide:
        return
    container, key = draw.choice(wide)
    place = draw.choice([i for i, letter in enumerate(container[key]) if letter.islower()])
    axis, leaf = draw.choice("AB"[: len(part["statement"]["box"]["lower"])]), container[key][place]
    container[key] = container[key][:place] + axis + 2 * leaf + container[key][place + 1 :]


def smaller(*names: Place, low: float = 0.2) -> Change:
    """A number of the statement times a factor below 1."""

    def change(part: Document, draw: random.Random) -> None:
        place, last = inside(part["statement"], names[:-1]), names[-1]
        place[last] = (float(rational(place[last]) * Fraction(draw.uniform(low, 1.0)))).hex()

    return change


def doubled(name: str, *numbers_: str) -> Change:
    """V, and its levels, times 2; a barrier times 2."""

    def change(part: Document, draw: random.Random) -> None:
        times(name, 1, "2")(part, draw)
        for said in numbers_:
            part["statement"][said] = str(2 * rational(part["statement"][said]))

    return change


def calmer(part: Document, draw: random.Random) -> None:
    """A smaller box of the disturbance."""
    box = part["statement"]["disturbance"]
    for i, (a, b) in enumerate(zip(numbers(box["lower"]), numbers(box["upper"]), strict=True)):
        share = draw.uniform(0.3, 0.7)
        box["lower"][i], box["upper"][i] = (a + share * 0.1 * (b - a)).hex(), (b - share * 0.1 * (b - a)).hex()


KEPT: list[Change] = [
    numbers_respelled,
    arrays_respelled,
    renumbered,
    permuted,
    duplicated,
    negated_twice,
    split_leaf,
]
"""Changes that leave every statement, and its proof, as they are."""


def nudged(part: Document, draw: random.Random) -> None:
    """One number of the statement, of R or of a graph times 1 ± 10^u, u in [-3, 1]: nobody knows whether it is true."""
    factor = Fraction(1 + draw.choice((-1, 1)) * 10 ** draw.uniform(-3, 1))
    places = [*_numbers_in(part["statement"]), *_numbers_in(part["proof"].get("equilibrium", {}))]
    arrays = [
        (node[2], "weight") if node[0] == "linear" else (node, 2)
        for graph in part["graphs"].values()
        for node in graph["nodes"]
        if node[0] in ("linear", "constant")
    ]
    container, key = draw.choice(places + arrays)
    if isinstance(container[key], str):
        container[key] = (float(rational(container[key]) * factor) or float(factor) * 1e-3).hex()
        return
    values = array(container[key])
    values = np.where(np.arange(len(values)) == draw.randrange(len(values)), values * float(factor), values)
    container[key] = {"q": [str(Fraction(value)) for value in values.tolist()]}


def _numbers_in(item: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key in item if isinstance(item, dict) else range(len(item)):
        if isinstance(item[key], (dict, list)):
            found += _numbers_in(item[key])
        elif item[key].lstrip("-")[:1].isdigit():
            found.append((item, key))
    return found
