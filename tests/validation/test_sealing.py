"""Documents that notice an edit."""

from __future__ import annotations

import json

import pytest

from ctrlnet.validation.sealing import is_sealed, sealed

CONTENT = {"a": 0.1, "b": [1, -0.0, 1e-300], "c": {"d": None, "θ": "ω"}, "e": ((1.5, 2), "x")}


def test_it_survives_the_file_and_any_order_of_keys() -> None:
    document = json.loads(json.dumps(sealed(CONTENT), indent=3))
    assert is_sealed(document)
    assert is_sealed(dict(reversed(document.items())))


@pytest.mark.parametrize("change", [{"a": 0.1000000000000001}, {"a": "0.1"}, {"c": {}}, {"new": 1}, {"digest": ""}])
def test_an_edit_is_noticed(change: dict) -> None:
    assert not is_sealed({**json.loads(json.dumps(sealed(CONTENT))), **change})


def test_without_a_digest_it_is_not_sealed() -> None:
    assert not is_sealed(CONTENT)
