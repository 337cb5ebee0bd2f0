"""Changed certificates: the hash finds any changed byte; with the hash redone, the mathematics finds what is false."""

from __future__ import annotations

import base64
import copy
import random
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from ctrlnet import Box, ExponentialStability, Verdict, certify, exact
from ctrlnet.checker import check_bytes
from tests.prover.attack import Document, violation
from tests.prover.known import FALSE, PARTS, SUBJECTS, TRUE, certificate, changed
from tests.prover.mutations import BROKEN, KEPT, Change, end, nudged, opened, parts, rehashed
from tests.prover.plants import neural_loop, policy_network, quadratic

BOX = Box([-3.0, -12.0], [3.0, 12.0])


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    found = certify(ExponentialStability(quadratic, exact("0.1")), neural_loop(policy_network(0)), BOX)
    assert found.status == "certified"
    return found


def document(verdict: Verdict) -> Document:
    return opened(verdict.certificate)


def test_the_unchanged_document_is_confirmed(verdict: Verdict) -> None:
    assert check_bytes(rehashed(document(verdict))).ok


def test_200_raw_changes_are_found_by_the_hash(verdict: Verdict) -> None:
    draw = random.Random(0)
    for _ in range(200):
        data = bytearray(verdict.certificate)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        assert check_bytes(bytes(data)).status == "unreadable"
    for cut in (0, 1, 10, 100, len(data) - 1):
        assert check_bytes(verdict.certificate[:cut]).status == "unreadable"


def level_up(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    changed["statement"]["level"] = (verdict.sampled_level * draw.uniform(1.005, 3)).hex()


def rate_up(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """The linearised loop decays at most at 100 per second."""
    changed["statement"]["rate"] = str(Fraction(draw.randint(100, 10_000)))


def sign(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """-V, or -F."""
    graph = changed["graphs"][draw.choice("VF")]
    graph["nodes"].append(["neg", [graph["output"]], None])
    graph["output"] = len(graph["nodes"]) - 1


def another_value(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """V of x₂ alone: not positive, and it does not fall on the whole set."""
    weight = base64.b64encode(np.array([0.0, draw.uniform(0.1, 1)]).tobytes()).decode()
    nodes = [["input", [], 2], ["linear", [0], {"rows": 1, "weight": {"f8": weight}}], ["square", [1], None]]
    changed["graphs"]["V"] = {"nodes": nodes, "output": 2}


def another_field(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """x' = a x with a > 0."""
    weight = base64.b64encode((draw.uniform(0.01, 3) * np.eye(2)).tobytes()).decode()
    changed["graphs"]["F"] = {
        "nodes": [["input", [], 2], ["linear", [0], {"rows": 2, "weight": {"f8": weight}}]],
        "output": 1,
    }


def moved_field(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """F + a constant of 1e-9 or less: x* is no equilibrium."""
    graph = changed["graphs"]["F"]
    count = len(graph["nodes"])
    graph["nodes"] += [
        ["constant", [], {"q": ["0", f"1/{10 ** draw.randint(9, 300)}"]}],
        ["add", [graph["output"], count], None],
    ]
    graph["output"] = count + 1


def smaller_box(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """A box that cuts the level set."""
    side = draw.choice(("lower", "upper"))
    axis = draw.randrange(2)
    bound = float.fromhex(changed["statement"]["box"][side][axis])
    changed["statement"]["box"][side][axis] = (bound * draw.uniform(1e-3, 0.1)).hex()


def dropped_subtree(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    tree = changed["proof"]["interior"]
    start = draw.choice([i for i, letter in enumerate(tree) if letter.isupper()])
    changed["proof"]["interior"] = tree[:start] + tree[end(tree, start) :]


def merged_subtree(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """A whole tree replaced by one leaf: no longer a proof."""
    changed["proof"]["interior"] = draw.choice("pxe")


def leaf_kind(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    """A proved leaf well inside the level set declared to lie above it or in the neighbourhood."""
    leaves = verdict.leaves
    middle = 0.5 * leaves.lower + 0.5 * leaves.upper
    inside = [i for i, k in enumerate(leaves.kind) if k == "proved" and quadratic(middle[i]) < 0.5 * verdict.level]
    tree, order = changed["proof"]["interior"], _leaf_positions(changed["proof"]["interior"], BOX)
    chosen = draw.choice(inside)
    position = order[tuple(leaves.lower[chosen].tolist())]
    changed["proof"]["interior"] = tree[:position] + draw.choice("xe") + tree[position + 1 :]


def face_leaf(changed: Document, verdict: Verdict, draw: random.Random) -> None:
    faces = changed["proof"]["faces"]
    axis, side = draw.randrange(2), draw.randrange(2)
    faces[axis][side] = faces[axis][side].replace("x", "p", 1)


def _leaf_positions(tree: str, box: Box) -> dict[tuple[float, ...], int]:
    """Where each leaf, known by its lower corner, stands in the string."""
    found: dict[tuple[float, ...], int] = {}
    pending = [(box.lower.tolist(), box.upper.tolist())]
    for position, letter in enumerate(tree):
        lower, upper = pending.pop()
        if not letter.isupper():
            found[tuple(lower)] = position
            continue
        axis = ord(letter) - ord("A")
        middle = 0.5 * lower[axis] + 0.5 * upper[axis]
        below, above = upper.copy(), lower.copy()
        below[axis], above[axis] = middle, middle
        pending += [(above, upper), (lower, below)]
    return found


MUTATIONS: list[Callable[[Document, Verdict, random.Random], None]] = [
    level_up,
    rate_up,
    sign,
    another_value,
    another_field,
    moved_field,
    smaller_box,
    dropped_subtree,
    merged_subtree,
    leaf_kind,
    face_leaf,
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_rehashed_changes_that_made_the_statement_or_its_proof_false_are_not_confirmed(
    mutate: Any, verdict: Verdict
) -> None:
    original = document(verdict)
    for seed in range(20):  # 11 kinds, 220 in all
        changed = copy.deepcopy(original)
        mutate(changed, verdict, random.Random(seed))
        assert changed != original
        report = check_bytes(rehashed(changed))
        assert not report.ok, (mutate.__name__, seed)


def test_a_changed_weight_is_confirmed_only_if_it_is_still_true(verdict: Verdict) -> None:
    """Small changes of a weight may leave the statement true; large ones reverse the control and must be rejected."""
    original = document(verdict)
    for index, node in enumerate(original["graphs"]["F"]["nodes"]):
        if node[0] != "linear":
            continue
        changed = copy.deepcopy(original)
        weight = changed["graphs"]["F"]["nodes"][index][2]["weight"]
        ((kind, data),) = weight.items()
        values = np.frombuffer(base64.b64decode(data), "<f8" if kind == "f8" else "<f4")
        weight[kind] = base64.b64encode((-values).tobytes()).decode()
        assert not check_bytes(rehashed(changed)).ok
    assert torch.isfinite(torch.tensor(verdict.level))


# ---- every kind ------------------------------------------------------------------------------------------------------


# ---- every kind ------------------------------------------------------------------------------------------------------


def named(rows: Iterable[Change]) -> dict[str, Change]:
    return {row.__name__: row for row in rows}


@pytest.mark.parametrize("subject", FALSE)
def test_what_became_false_is_not_confirmed(subject: str) -> None:
    for name, seed, document in changed(subject, {**FALSE[subject], **named(BROKEN)}, 3):
        assert not check_bytes(rehashed(document)).ok, (name, seed)


def test_a_conjunction_with_one_part_false_is_not_confirmed() -> None:
    for name, (place, change) in PARTS.items():
        for _, seed, document in changed("conjunction", {name: change}, 3, place):
            assert not check_bytes(rehashed(document)).ok, (name, seed)


@pytest.mark.parametrize("subject", TRUE)
def test_what_stayed_true_is_confirmed(subject: str) -> None:
    for name, seed, document in changed(subject, {**TRUE[subject], **named(KEPT)}, 3):
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


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_nudged_certificate_is_confirmed_only_if_no_state_refutes_it(subject: str) -> None:
    nudges, confirmed = survivors(subject, 20)
    assert 0 < confirmed < nudges


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS)
def test_many_nudged_certificates(subject: str) -> None:
    survivors(subject, 300)


@pytest.mark.parametrize("subject", FALSE)
def test_the_attack_finds_what_is_false(subject: str) -> None:
    """It sees violations where there are some: -V, -h or -F, in the same file."""
    found = [
        violation(part, 0) is not None
        for name, change in FALSE[subject].items()
        if name in ("-F", "-h", "-margin", "2 F")
        for _, _, document in changed(subject, {name: change}, 1)
        for part in parts(document)
    ]
    assert found and all(found)
