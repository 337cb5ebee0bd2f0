"""Changed certificates: the hash finds any changed byte; with the hash redone, the mathematics finds what is false."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from ctrlnet.checker import check_bytes
from ctrlnet.checker.verification import STATEMENTS
from tests.prover.attack import Document, violation
from tests.prover.known import FALSE, PARTS, SUBJECTS, TRUE, Changed, certificate, changed
from tests.prover.mutations import BROKEN, KEPT, Change, nudged, opened, parts, rehashed

SEEDS, NUDGES = 3, 20
LARGE = ("neural loop",)
"""Subjects of larger graphs, which get fewer changes."""


def named(rows: Iterable[Change]) -> dict[str, Change]:
    return {row.__name__: row for row in rows}


def falsified(subject: str) -> Iterator[Changed]:
    """The changes of a subject that made the statement false, or its proof none."""
    for name, (place, change) in PARTS.items() if subject == "conjunction" else ():
        yield from changed(subject, {name: change}, SEEDS, place)
    yield from changed(subject, {**FALSE.get(subject, {}), **named(BROKEN)}, SEEDS)


def kept(subject: str) -> Iterator[Changed]:
    """Those that left it true."""
    return changed(subject, {**TRUE[subject], **named(KEPT)}, SEEDS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_unchanged_certificate_is_confirmed(subject: str) -> None:
    assert check_bytes(rehashed(opened(certificate(subject)))).ok


def test_200_changed_bits_are_found_by_the_hash() -> None:
    draw, original = random.Random(0), certificate("neural loop")
    for _ in range(200):
        data = bytearray(original)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        assert check_bytes(bytes(data)).status == "unreadable"
    for end in (0, 1, 10, 100, len(original) - 1):
        assert check_bytes(original[:end]).status == "unreadable"


def test_there_are_more_than_500_changes_and_some_of_every_kind() -> None:
    """With the hash redone: counted are those that made a statement, or its proof, false, and those that did not."""
    count: Counter[str] = Counter()
    for subject in SUBJECTS:
        kind = opened(certificate(subject))["statement"]["kind"]
        count[kind] += sum(1 for _ in falsified(subject))
        assert sum(1 for _ in kept(subject)) >= 10
    assert set(count) == set(STATEMENTS)
    assert min(count.values()) >= 25 and count.total() >= 700, count


@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_became_false_is_not_confirmed(subject: str) -> None:
    for name, seed, document in falsified(subject):
        assert not check_bytes(rehashed(document)).ok, (name, seed)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_stayed_true_is_confirmed(subject: str) -> None:
    for name, seed, document in kept(subject):
        report = check_bytes(rehashed(document))
        assert report.ok, (name, seed, report.reason)


def survivors(subject: str, count: int) -> tuple[int, int]:
    """How many nudged certificates there are and how many are confirmed, each of them after an attack in vain."""
    nudges, confirmed = 0, 0
    for place in range(len(parts(opened(certificate(subject))))):
        for _, seed, document in changed(subject, {"nudged": nudged}, count, place):
            nudges += 1
            if not check_bytes(rehashed(document)).ok:
                continue
            confirmed += 1
            for part in parts(document):
                state = violation(part, seed)
                assert state is None, (subject, seed, state, part["statement"])
    return nudges, confirmed


@pytest.mark.parametrize("subject", [subject for subject in SUBJECTS if subject not in LARGE])
def test_a_nudged_certificate_is_confirmed_only_if_no_state_refutes_it(subject: str) -> None:
    nudges, confirmed = survivors(subject, NUDGES)
    assert 0 < confirmed < nudges


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_nudged_certificates(subject: str) -> None:
    survivors(subject, 15 * NUDGES)


REFUTABLE = ("-F", "-h", "-margin", "2 F", "-f", "2 f")
"""Changes after which single states refute the statement."""


@pytest.mark.parametrize("subject", FALSE)
def test_the_attack_finds_what_is_false(subject: str) -> None:
    """It sees violations where there are some: -V, -h or -F, in the same file."""
    found = [
        violation(part, 0) is not None
        for name, change in FALSE[subject].items()
        if name in REFUTABLE
        for _, _, document in changed(subject, {name: change}, 1)
        for part in parts(document)
    ]
    assert found and all(found)


def test_a_certificate_as_it_is_withstands_the_attack() -> None:
    for subject in SUBJECTS:
        document: Document = opened(certificate(subject))
        for part in parts(document):
            assert violation(part, 1) is None, subject
