"""Interval matrices: what is called definite is, for every member; near-singular ones are decided exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ctrlnet.checker.definite import positive_definite
from ctrlnet.checker.interval import Interval


def test_the_verdict_on_random_matrices_equals_that_of_all_vertices() -> None:
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(200):
        n = int(rng.integers(1, 4))
        R = rng.normal(size=(n, n))
        centre = R @ R.T + 0.1 * np.eye(n)
        radius = np.abs(rng.normal(size=(n, n))) * rng.choice([0.0, 0.02, 0.1, 0.5])
        verdict = positive_definite(Interval(centre - radius, centre + radius))
        worst = np.inf
        for signs in itertools.product((-1, 1), repeat=n):
            s = np.outer(signs, signs)
            worst = min(worst, np.linalg.eigvalsh(centre - s * (radius + radius.T) / 2)[0])
        assert verdict == (worst > 0) or abs(worst) < 1e-9
        verdicts.append(verdict)
    assert 40 < sum(verdicts) < 180


def test_more_rows_than_sign_vectors_are_tried_for() -> None:
    rng = np.random.default_rng(0)
    n = 9
    R = rng.normal(size=(n, n))
    centre = R @ R.T + n * np.eye(n)
    assert positive_definite(Interval(centre - 0.01, centre + 0.01))
    assert not positive_definite(Interval(centre - 100, centre + 100))
    assert not positive_definite(Interval(-centre, -centre))


def test_the_boundary_is_exact() -> None:
    singular = np.array([[1.0, 1.0], [1.0, 1.0]])
    assert not positive_definite(Interval(singular, singular))
    above = singular + np.diag([0.0, 2.0**-52])
    assert positive_definite(Interval(above, above))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_definite(bad: float) -> None:
    matrix = np.eye(2)
    matrix[0, 1] = bad
    assert not positive_definite(Interval(np.eye(2), matrix))
    assert not positive_definite(Interval(matrix, np.eye(2)))


def test_the_symmetric_part_counts() -> None:
    skew = np.array([[1.0, 100.0], [-100.0, 1.0]])
    assert positive_definite(Interval(skew, skew))
