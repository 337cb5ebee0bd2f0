"""The data of forms of second order (taylor.py): a polynomial in the sides of a box, and a bound of what it leaves out.

Rounding. A computed coefficient is a sum of at most 16 products of at most 8 rounded factors, so it errs by less than
ERROR times the sum of the magnitudes of its products, or TINY; that goes to `rest`. `rest` itself is a sum of less than
2^12 terms >= 0, computed up to the share FAT: in 26 variables a form has 378 coefficients, and 3276 of third order that
it leaves out. NaN and infinity stay, and prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ctrlnet.checker.interval import TINY, Array, Interval, Mask, Matrix, gamma
from ctrlnet.checker.origins import ONE, Influence, Origin, Sums, settled
from ctrlnet.checker.third_order import bounded, products

ERROR, FAT = 2.0**-48, 2.0**-40


@dataclass(frozen=True)
class Form:
    """In n variables, of shape (B, size), where B is 1 for what all boxes share.

    `terms` (K, B, size) are c, then A_i, then Q_ii, then Q_ij for i < j; those that are not there are zero.
    """

    terms: Array
    rest: Array
    n: int
    made: Origin | None = None
    products: Products | None = None
    image: tuple[Form, Matrix] | None = None

    @property
    def origin(self) -> Origin:
        """Where the rest comes from; from nowhere else, if nothing is known."""
        return self.made or Origin(self.rest, self.rest)

    @property
    def linear(self) -> Array:
        """A_i, as rows."""
        return self.terms[1 : 1 + self.n]

    @property
    def quadratic(self) -> Array:
        """Q_ii, then Q_ij, as rows."""
        return self.terms[1 + self.n :]

    @cached_property
    def first(self) -> Array:
        """Sum of |A_i|."""
        return total(self.linear)

    @cached_property
    def second(self) -> Array:
        """Sum of |Q_ij|."""
        return total(self.quadratic)

    def sharpened(self) -> Form:
        """With the least rest known."""
        rest = settled(self.origin)
        return replace(self, rest=np.where(rest < self.rest, rest, self.rest), made=self.origin, image=None)

    def over(self, box: Interval) -> Form:
        """One of size 1 with all terms, for each of the boxes, and the least rest known."""
        n, boxes, (rows, _, size) = self.n, len(box.lo), self.terms.shape
        whole = self if self.products is None else grouped_sum(self, size)
        terms = np.zeros((1 + n + n * (n + 1) // 2, boxes, size))
        terms[:rows] = whole.terms
        return Form(terms, np.broadcast_to(whole.sharpened().rest, (boxes, size)), n)

    def of(self, boxes: Mask) -> Form:
        """Some of the boxes."""
        return Form(self.terms[:, boxes], self.rest[boxes], self.n)

    @cached_property
    def size(self) -> Array:
        """More than every magnitude of the value, (B, size), and than zero."""
        return np.asarray(np.abs(self.terms[0]) + self.first + self.second + (self.rest + TINY))

    def matrices(self) -> Array:
        """Q (B, n, n), symmetric, of forms of size 1 with all terms."""
        k, (i, j) = np.arange(self.n), np.triu_indices(self.n, 1)
        Q = np.zeros((self.terms.shape[1], self.n, self.n))
        Q[:, k, k] = self.quadratic[: self.n, :, 0].T
        Q[:, i, j] = Q[:, j, i] = 0.5 * self.quadratic[self.n :, :, 0].T
        return Q


class Products(NamedTuple):
    """A form without the terms of third order of products a b that are among its terms, and these pairs."""

    without: Form
    pairs: tuple[tuple[Form, Form], ...]


def made(terms: Array, own: Array, n: int, *arguments: tuple[Form, Influence]) -> Form:
    """The form of these terms whose rule adds `own` to what the rests of the arguments become."""
    own, origins = fat(own), [(a.origin, influence) for a, influence in arguments]
    rest = plain = fat(sum((influence.spread(origin.rest) for origin, influence in origins), own))
    if any(a.rest is not origin.rest for (a, _), (origin, _) in zip(arguments, origins, strict=True)):
        rest = fat(sum((influence.spread(a.rest) for a, influence in arguments), own))
    return Form(terms, rest, n, Origin(plain, own, origins))


def moved(terms: Array, n: int, *arguments: tuple[Form, Influence]) -> Form:
    """The form of these terms where nothing is rounded, nor anything else added."""
    origins = [(a.origin, influence) for a, influence in arguments]
    first, *others = (influence.spread(a.rest) for a, influence in arguments)
    plain, *more = (influence.spread(origin.rest) for origin, influence in origins)
    return Form(terms, sum(others, first), n, Origin(sum(more, plain), np.zeros((1, terms.shape[2])), origins))


def total(rows: Array) -> Array:
    """Sum of magnitudes."""
    return np.asarray(np.abs(rows).sum(0))


def fat(a: Array) -> Array:
    """More than what was rounded to a >= 0."""
    return a + (a * FAT + TINY)


def around(a: Interval) -> tuple[Array, Array]:
    """Centres and radii."""
    centre = 0.5 * a.lo + 0.5 * a.hi
    return centre, fat(np.maximum(a.hi - centre, centre - a.lo))


def grouped_sum(a: Form, count: int) -> Form:
    """Sums over `count` consecutive parts of equal length."""
    if a.products is not None:
        return _sum_of_products(a.products, count)
    terms = a.terms.reshape(*a.terms.shape[:2], count, -1)
    sums = Sums(terms.shape[3])
    return made(terms.sum(3), sums.spread(gamma(sums.length) * a.size), a.n, (a, sums))


def _sum_of_products(a: Products, count: int) -> Form:
    """Sums of the form without terms of third order, and these. A coefficient has at most 6 products of each pair and
    entry, which are together at most |A||R| + |B||P| of all pairs and entries."""
    result, boxes = grouped_sum(a.without, count), len(a.without.rest)
    found: Array = np.zeros((1, 1, 1, 1))
    for p, q in a.pairs:
        for one, other in ((p, q), (q, p)):
            if len(other.quadratic):
                found = found + products(one.linear, other.quadratic, count)
    shift, left = bounded(found)
    size = sum((p.first * q.second + p.second * q.first for p, q in a.pairs), np.zeros((boxes, 1)))
    terms = result.terms.copy()
    terms[1 : 1 + result.n] += shift
    sums = Sums(size.shape[1] // count)
    error = gamma(6 * len(a.pairs) * sums.length + result.n)
    own = left + error * (sums.spread(size) + result.first)
    return made(terms, own, result.n, (result, ONE))
