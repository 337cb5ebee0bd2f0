"""Writes the tables of these pages that repeat what the code says: python docs/tables.py

A table stands between the lines `<!-- table: NAME -->` and `<!-- end -->`; a test compares it with the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = ("proving.md", "mathematics.md")
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

# Of every primitive its value and its derivative with respect to each argument; f is the value, f̄ an adjoint.
FORMULAS = {
    "input": ("x, or (x, d)", ""),
    "constant": ("exact numbers: floats or rationals", "0"),
    "take": ("the entries named", "entries"),
    "concatenate": ("a, b, ... joined", "parts"),
    "linear": ("W a", "W"),
    "sum": ("sums of consecutive equal parts", "1"),
    "add": ("a + b", "1, 1"),
    "sub": ("a - b", "1, -1"),
    "mul": ("a b", "b, a"),
    "div": ("a / b; undefined where b can be 0", "1/b, -f/b"),
    "maximum": ("max(a, b)", "step(a - b), 1 - step(a - b)"),
    "minimum": ("min(a, b)", "step(b - a), 1 - step(b - a)"),
    "neg": ("-a", "-1"),
    "square": ("a²", "2 a"),
    "sin": ("sin a", "cos a"),
    "cos": ("cos a", "-sin a"),
    "exp": ("eᵃ", "f"),
    "tanh": ("tanh a", "1 - f²"),
    "relu": ("max(a, 0)", "step(a)"),
    "abs": ("absolute value of a", "2 step(a) - 1"),
    "floor": ("the greatest whole number <= a; of a whole number k both k - 1 and k", "jump(a - f)"),
    "power": ("aᵖ, p an integer from 3 to 64", "p aᵖ⁻¹"),
    "sqrt": ("√a; undefined where a can be negative", "1/(2f), unbounded where a can be 0"),
    "log": ("ln a; undefined where a can be 0 or less", "1/a"),
    "atan": ("arctan a", "1/(1 + a²)"),
    "softplus": ("ln(1 + eᵃ)", "1/2 + tanh(a/2)/2"),
    "erf": ("erf a", "bell(a)"),
    "norm": ("Euclidean norms of consecutive equal parts", "unit(a)"),
    "select": ("a where c > 0, b where c < 0, both where c = 0", "of c: (a - b) jump(c); of a, b: those of the branch"),
    "step": ("[0, 1] where a can be 0, else 0 or 1", "jump(a)"),
    "jump": ("unbounded where a can be 0, else 0", "jump(a)"),
    "bell": ("2/√π exp(-a²)", "-2 a f"),
    "unit": ("a divided by its norm, within [-1, 1]", "(f̄ - f (f·f̄)) / norm"),
}

# Of every group of operations its name for users, and the table of the tracer that holds it.
GROUPS = {
    "arithmetic and elementary functions": "ARITHMETIC",
    "rounding and remainders": "ROUNDING",
    "comparisons, logic and choices": "COMPARISONS",
    "sums, extrema and norms": "REDUCTIONS",
    "orders and running values": "ORDERING",
    "distances": "DISTANCES",
    "activations": "ACTIVATIONS",
    "matrix products": "MATRICES",
    "convolution and pooling": "CONVOLUTION",
    "small linear systems": "SOLVING",
    "normalisation, in `eval` mode": "NORMALIZATION",
    "linear maps of entries": "LINEAR",
    "moving, copying, indexing": "MOVEMENTS",
    "constants": "FACTORIES",
}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(header)
    lines = [names, ["---"] * len(names), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def primitives() -> str:
    """Every primitive: arguments, value, derivative, and whether a certificate may hold it."""
    from ctrlnet.checker.graph import ARITY, MANY
    from ctrlnet.graph import PRIMITIVES

    rows = []
    for name, primitive in PRIMITIVES.items():
        count = {None: "", MANY: "1 or more"}.get(ARITY.get(name), str(ARITY.get(name)))
        held = "yes" if primitive.certificate else "no"
        rows.append((f"`{name}`", count or "1", *FORMULAS[name], held))
    return table(("primitive", "arguments", "value", "derivative", "in certificates"), rows)


def bands() -> str:
    """Of every function of one variable how a strip of first order is found: its band's docstring."""
    from ctrlnet.prover.bands import BANDS

    rows = [(f"`{name}`", _paragraph(band.__doc__ or "")) for name, band in BANDS.items() if band.__doc__]
    return table(("function", "slope s, and where f(z) - s z is least and largest"), rows)


def statements() -> str:
    """Every kind of statement with its theorem, from the docstrings of the checker."""
    import sys

    from ctrlnet.checker.verification import STATEMENTS

    rows = []
    for kind, statement in STATEMENTS.items():
        module = sys.modules[statement.__module__].__doc__ or ""
        theorem = re.search(r"^Theorem\. (.*?)(?:\n\n| Proof\.)", module, re.DOTALL | re.MULTILINE)
        opening = _paragraph(module).partition(": ")[2]
        told = f"{_sentence(opening)} {_line(theorem[1]) if theorem else ''}"
        rows.append(
            (f"`{kind}`", told.strip(), f"[{statement.__module__.rpartition('.')[2]}.py]({_source(statement)})")
        )
    return table(("kind", "theorem", "proof"), rows)


def trusted() -> str:
    """The assumptions that the checker prints with every theorem."""
    from ctrlnet.checker.verification import ASSUMPTIONS, EXACT, NUMPY

    sentences = [*ASSUMPTIONS, *NUMPY, *(f"With `--exact` instead of the one before: {one}" for one in EXACT)]
    return "".join(f"{number}. {sentence}\n" for number, sentence in enumerate(sentences, 1))


def operations() -> str:
    """What the tracer has a rule for, by groups; private names as torch's users know them."""
    rows = [(words, ", ".join(f"`{name}`" for name in sorted(_names(group)))) for words, group in GROUPS.items()]
    return table(("group", "operations"), rows)


def _names(group: str) -> set[str]:
    """The public names of a group of operations, without those of derivatives."""
    from ctrlnet.graph import aten
    from ctrlnet.graph.aten import movements

    holder = movements if hasattr(movements, group) else aten
    found = {str(operation).removeprefix("aten.") for operation in getattr(holder, group)}
    private = re.compile(r"^_?(native_|unsafe_|efficient)?|(_kernel|_forward|_interface|_ex|_with_indices|_)$")
    public = {private.sub("", name) for name in found}
    return {name for name in public if "backward" not in name}


def _source(statement: type) -> str:
    return f"../{statement.__module__.replace('.', '/')}.py"


def _sentence(text: str) -> str:
    """With a capital where it begins with a word; a symbol (h, x', V) stays as it is."""
    word = re.match(r"(a|[a-z]{2,})\b(?!')", text)
    return text[:1].upper() + text[1:] if word else text


def _paragraph(text: str) -> str:
    return _line(text.strip().split("\n\n")[0])


def _line(text: str) -> str:
    """On one line, fit for a cell."""
    return " ".join(text.split()).replace("|", "\\|")


TABLES: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (primitives, bands, statements, trusted, operations)
}


def rewritten(page: str) -> str:
    """The text of a page with its tables as the code has them now."""
    return MARKED.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", page)


def main() -> None:
    for name in PAGES:
        path = DOCS / name
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
