"""Any bytes get a report: changed files are found by their hash, malformed and monstrous ones refused cheaply."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import certificates as c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrlnet.checker import check, check_bytes
from ctrlnet.checker.document import array, number
from ctrlnet.checker.report import Unreadable

GOOD = c.sealed(c.spiral())


def sealed_text(body: str | bytes) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    return b"ctrlnet-certificate 1 " + hashlib.sha256(raw).hexdigest().encode() + b"\n" + raw


def test_200_files_with_a_byte_changed_are_unreadable() -> None:
    random.seed(1)
    for _ in range(200):
        data = bytearray(GOOD)
        data[random.randrange(len(data))] ^= random.randrange(1, 256)
        report = check_bytes(bytes(data))
        assert report.status == "unreadable" and report.exit_code == 2 and not report.ok and report.reason


def test_truncated_extended_and_foreign_files_are_unreadable() -> None:
    files = [b"", b"\n", b"ctrlnet-certificate 1 ", GOOD[:-1], GOOD + b" ", GOOD[:90], GOOD.replace(b" 1 ", b" 2 ", 1)]
    for data in files:
        assert check_bytes(data).status == "unreadable"
    assert "format 2" in check_bytes(files[-1]).reason


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.cert", tmp_path, "\0"):
        assert check(path).status == "unreadable"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_get_a_report(data: bytes) -> None:
    assert check_bytes(data).status == "unreadable"
    assert check_bytes(sealed_text(data)).status == "unreadable"


WORDS = ["1", "p", "0x1p+0", "input"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    return [here, *(p for key, item in items for p in paths(item, (*here, key)))]


SPIRAL = c.spiral()
TRUE_STATEMENT = check_bytes(GOOD).statement
PLACES = [p for p in paths(SPIRAL) if p and p[0] not in ("assumptions", "provenance")]


@given(st.sampled_from(PLACES), JSON)
@settings(max_examples=600, deadline=None)
def test_any_value_in_any_place_gets_a_report_and_never_a_failure_of_the_checker(
    place: tuple[Any, ...], value: Any
) -> None:
    def put(content: Any) -> None:
        for key in place[:-1]:
            content = content[key]
        content[place[-1]] = value

    report = check_bytes(c.changed(SPIRAL, put))
    assert "the checker failed" not in report.reason
    assert str(report)


@given(st.sampled_from(PLACES), st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_missing_or_doubled_part_is_never_confirmed(place: tuple[Any, ...], doubled: bool) -> None:
    def drop(content: Any) -> None:
        for key in place[:-1]:
            content = content[key]
        if doubled and isinstance(content, list):
            content.insert(place[-1], content[place[-1]])
        else:
            del content[place[-1]]

    report = check_bytes(c.changed(SPIRAL, drop))
    assert "the checker failed" not in report.reason
    assert not report.ok or (doubled and report.statement == TRUE_STATEMENT)  # a node that is not used may be doubled


def graph_edit(nodes: list[Any], output: int | None = None) -> bytes:
    return c.changed(
        SPIRAL,
        lambda d: d["graphs"].update(F={"nodes": nodes, "output": output if output is not None else len(nodes) - 1}),
    )


INPUT = ["input", [], 2]
BOMBS: dict[str, bytes] = {
    "deep JSON": sealed_text("[" * 10**6),
    "deep JSON in a field": sealed_text('{"statement":' + '{"a":' * 10**5 + "1" + "}" * 10**5 + "}"),
    "an integer of a million digits": sealed_text('{"statement": ' + "9" * 10**6 + "}"),
    "not a number": sealed_text('{"statement": NaN}'),
    "a repeated key": sealed_text(
        c.sealed(SPIRAL).split(b"\n", 1)[1].replace(b'"statement"', b'"statement": {}, "statement"', 1)
    ),
    "invalid UTF-8": sealed_text(b'{"statement": "\xff"}'),
    "take of 2e9": graph_edit([INPUT, ["take", [0], [2 * 10**9]]]),
    "negative index": graph_edit([INPUT, ["take", [0], [-1, 0]]]),
    "a hundred doublings": graph_edit([INPUT, *(["concatenate", [i, i], None] for i in range(100))]),
    "a wide concatenate": graph_edit([INPUT, ["concatenate", [0] * 10**6, None], ["concatenate", [1] * 10**4, None]]),
    "a cycle": graph_edit([INPUT, ["add", [2, 0], None], ["neg", [1], None]]),
    "itself": graph_edit([INPUT, ["neg", [1], None]]),
    "rows of 1e18": graph_edit([INPUT, ["linear", [0], {"rows": 10**18, "weight": c.array([1.0])}]]),
    "weights of another size": graph_edit([INPUT, ["linear", [0], {"rows": 2, "weight": c.array([1.0] * 3)}]]),
    "power of 1e9": graph_edit([INPUT, ["power", [0], 10**9]]),
    "power of true": graph_edit([INPUT, ["power", [0], True]]),
    "sum of none": graph_edit([INPUT, ["sum", [0], 0]]),
    "an empty node": graph_edit([INPUT, ["take", [0], []]]),
    "two inputs": graph_edit([INPUT, INPUT]),
    "an input of another dimension": graph_edit([["input", [], 3]]),
    "an unknown operation": graph_edit([INPUT, ["gamma", [0], None]]),
    "an attribute too many": graph_edit([INPUT, ["sin", [0], 1]]),
    "an argument too many": graph_edit([INPUT, ["sin", [0, 0], None]]),
    "a huge exponent": c.changed(SPIRAL, lambda d: d["statement"].update(level="0x1p+999999999999")),
    "a decimal exponent": c.changed(SPIRAL, lambda d: d["statement"].update(level="1e999999999")),
    "a long rational": c.changed(SPIRAL, lambda d: d["statement"].update(level="1" + "0" * 10**6)),
    "a rational beyond float64": c.changed(SPIRAL, lambda d: d["statement"].update(level="1" + "0" * 1000)),
    "a division by zero": c.changed(SPIRAL, lambda d: d["statement"].update(level="1/0")),
    "infinity": c.changed(SPIRAL, lambda d: d["statement"].update(level="inf")),
    "a corner that is no float64": c.changed(SPIRAL, lambda d: d["statement"]["box"].update(lower=["-1/3", "-1"])),
    "a box of a thousand dimensions": c.changed(
        SPIRAL, lambda d: d["statement"]["box"].update(lower=["0"] * 1000, upper=["1"] * 1000)
    ),
    "an empty box": c.changed(SPIRAL, lambda d: d["statement"]["box"].update(lower=["1", "1"])),
    "an array with a NaN": graph_edit([["constant", [], c.array([np.nan, 1.0])]]),
    "an array of seven bytes": graph_edit([["constant", [], {"f8": base64.b64encode(b"1234567").decode()}]]),
    "an array that is not base64": graph_edit([["constant", [], {"f8": "!!!!"}]]),
    "an array of two kinds": graph_edit([["constant", [], {"f8": "", "q": []}]]),
    "an unknown field": c.changed(SPIRAL, lambda d: d.update(more=1)),
    "an unknown statement": c.changed(SPIRAL, lambda d: d["statement"].update(kind="everything")),
    "one graph too many": c.changed(SPIRAL, lambda d: d["graphs"].update(W=d["graphs"]["V"])),
    "V of size 2": c.changed(SPIRAL, lambda d: d["graphs"].update(V=d["graphs"]["F"])),
}


@pytest.mark.parametrize("name", BOMBS)
def test_malformed_and_monstrous_files_are_refused_at_little_cost(name: str) -> None:
    tracemalloc.start()
    start = time.perf_counter()
    report = check_bytes(BOMBS[name])
    spent, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.status == "unreadable" and "the checker failed" not in report.reason
    assert peak < 300 * 2**20, f"{spent:.1f} s, {peak / 2**20:.0f} MiB"


def test_work_at_the_equilibrium_is_bounded() -> None:
    squares = [INPUT, *(["square", [i], None] for i in range(70))]
    report = check_bytes(c.changed(json.loads(json.dumps(SPIRAL).replace('"0x0.0p+0", "0x0.0p+0"', '"1/16", "1/16"')),
                                   lambda d: d["graphs"].update(F={"nodes": squares, "output": 70})))  # fmt: skip
    assert report.status == "rejected" and "too large" in report.reason


@pytest.mark.parametrize("value", [0.0, 1.0, -1.5, 5e-324, 1.7976931348623157e308, 0.1])
def test_hex_numbers_are_exact(value: float) -> None:
    assert number(value.hex(), "") == Fraction(value)


def test_short_hex_floats_are_read() -> None:
    assert [number(v, "") for v in ("0x1.8p-1", "-0x1.0p+0", "0x3p1")] == [Fraction(3, 4), -1, 6]


@pytest.mark.parametrize(
    "bad",
    [
        "0x1",
        "1.5",
        "0x1p-99999",
        "1/0",
        "1/00",
        "0xp+1",
        "0x1.p+1",
        "nan",
        "inf",
        "0x1.8P+0",
        " 1",
        "1/-2",
        "+1",
        "1_0",
        "١",
        "",
        "--1",
        "1/2/3",
    ],
)
def test_other_spellings_of_numbers_are_refused(bad: str) -> None:
    with pytest.raises(Unreadable):
        number(bad, "it")


@given(st.fractions())
@settings(max_examples=200)
def test_rational_arrays_are_enclosed(value: Fraction) -> None:
    found = array({"q": [str(value)]}, "it")
    assert Fraction(found.low[0]) <= value <= Fraction(found.high[0])
    assert found.exact() == [value]
    assert np.nextafter(found.low[0], np.inf) >= found.high[0]


def test_a_file_cannot_draw_the_answer_of_the_checker() -> None:
    forgery = {"assumptions": ["x\n\x1b[2J\rCONFIRMED\n\nTheorem.\ud800\u202e"], "provenance": {"\n": "\x1b[2J\ud800"}}
    forged = c.changed(SPIRAL, lambda d: (d["statement"].update(rate="512"), d.update(forgery)))
    shown = str(check_bytes(forged))
    assert shown.startswith("REJECTED") and not any(c in shown for c in ("\nCONFIRMED", "\x1b", "\u202e"))
    shown.encode()
