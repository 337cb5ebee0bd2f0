"""How much of the checker one has to read to trust a verdict: lines of code, without docstrings, comments and blanks.

A check runs a part of the checker only: the functions that it enters are counted whole. `SECOND_ORDER` are the files
that serve expansions of second order, by which proofs have fewer leaves.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path
from types import FrameType
from typing import Any

from checker import certificates

import ctrlnet.checker
from ctrlnet.checker import check_bytes

ROOT = Path(ctrlnet.checker.__file__).parent
SECOND_ORDER = ("origins", "polynomials", "smooth", "taylor", "taylor_ranges", "taylor_rules", "third_order")
_WORDLESS = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


def measure() -> dict[str, float]:
    files = {path.stem: lines_of_code(path) for path in sorted(ROOT.glob("*.py"))}
    found: dict[str, float] = {"lines in all": sum(map(len, files.values()))}
    for kind, certificate in certificates().items():
        run = {name: len(lines & entered) for name, lines, entered in _entered(certificate, files)}
        found[f"lines run, {kind}"] = sum(run.values())
        found[f"without the second order, {kind}"] = sum(run[name] for name in run if name not in SECOND_ORDER)
    return found


def lines_of_code(path: Path) -> set[int]:
    """The numbers of the lines that hold code."""
    tree = ast.parse(path.read_text())
    told = {
        line for node in ast.walk(tree) if (text := _docstring(node)) for line in range(text.lineno, _end(text) + 1)
    }
    with tokenize.open(path) as text:
        tokens = [token for token in tokenize.generate_tokens(text.readline) if token.type not in _WORDLESS]
    return {line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - told


def _entered(certificate: bytes, files: dict[str, set[int]]) -> list[tuple[str, set[int], set[int]]]:
    """Of every file its lines of code and those of the functions that the check of a certificate enters."""
    firsts: set[tuple[str, int]] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            firsts.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    sys.setprofile(watch)
    try:
        report = check_bytes(certificate)
    finally:
        sys.setprofile(None)
    assert report.ok, report.reason
    return [(name, lines, _bodies(ROOT / f"{name}.py", firsts)) for name, lines in files.items()]


def _bodies(path: Path, firsts: set[tuple[str, int]]) -> set[int]:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    starts = {min([node.lineno, *(one.lineno for one in node.decorator_list)]): node for node in functions}
    met = [range(start, _end(node) + 1) for start, node in starts.items() if (str(path), start) in firsts]
    return {line for lines in met for line in lines}


def _docstring(node: ast.AST) -> ast.Constant | None:
    body = node.body if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) else []
    first = body[0].value if body and isinstance(body[0], ast.Expr) else None
    return first if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _end(node: ast.expr | ast.stmt) -> int:
    return node.end_lineno or node.lineno
