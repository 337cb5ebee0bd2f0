"""Forms of second order over many boxes: a polynomial in the sides of a box, and a bound of what it leaves out.

Over the box x = m + h e, |e_i| <= 1, an expression has, at every e, the value

    c + sum_i A_i e_i + sum_{i <= j} Q_ij e_i e_j + rho,   |rho| <= rest,

c, A, Q and rest being the float64 numbers held. Where it is smooth, `rest` is of third order in h. Where it has several
values (a switch, Clarke's derivatives at a kink), all are within `rest` of the polynomial.

Rounding. A computed coefficient is a sum of at most 16 products of at most 8 rounded factors, so it errs by less than
ERROR times the sum of the magnitudes of its products, or TINY; that goes to `rest`. `rest` itself is a sum of less than
2^11 terms >= 0, computed up to the share FAT. NaN and infinity stay, and prove nothing.

Source: Makino, Berz, Taylor models and other validated functional inclusion methods, Int. J. Pure Appl. Math. 4 (2003).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ctrlnet.checker.interval import TINY, Array, Interval, Mask, Matrix, gamma

ERROR, FAT = 2.0**-48, 2.0**-40


class Form(NamedTuple):
    """In n variables, of shape (B, size), where B is 1 for what all boxes share.

    `terms` (K, B, size) are c, then A_i, then Q_ii, then Q_ij for i < j; those that are not there are zero.
    """

    terms: Array
    rest: Array
    n: int

    @property
    def linear(self) -> Array:
        """A_i, as rows."""
        return self.terms[1 : 1 + self.n]

    @property
    def quadratic(self) -> Array:
        """Q_ii, then Q_ij, as rows."""
        return self.terms[1 + self.n :]

    def over(self, box: Interval) -> Form:
        """With all terms, for each of the boxes."""
        n, boxes, (rows, _, size) = self.n, len(box.lo), self.terms.shape
        terms = np.zeros((1 + n + n * (n + 1) // 2, boxes, size))
        terms[:rows] = self.terms
        return Form(terms, np.broadcast_to(self.rest, (boxes, size)), n)

    def of(self, boxes: Mask) -> Form:
        """Some of the boxes."""
        return self._replace(terms=self.terms[:, boxes], rest=self.rest[boxes])

    @property
    def size(self) -> Array:
        """More than every magnitude of the value, (B, size), and than zero."""
        return total(self.terms) + (self.rest + TINY)

    def matrices(self) -> Array:
        """Q (B, n, n), symmetric, of forms of size 1 with all terms."""
        k, (i, j) = np.arange(self.n), np.triu_indices(self.n, 1)
        Q = np.zeros((self.terms.shape[1], self.n, self.n))
        Q[:, k, k] = self.quadratic[: self.n, :, 0].T
        Q[:, i, j] = Q[:, j, i] = 0.5 * self.quadratic[self.n :, :, 0].T
        return Q


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


def variables(box: Interval) -> Form:
    """The sides of boxes (B, n) themselves."""
    centre, radius = around(box)
    n = centre.shape[1]
    terms, i = np.zeros((1 + n, *centre.shape)), np.arange(n)
    terms[0], terms[1 + i, :, i] = centre, radius.T
    return Form(terms, np.zeros_like(centre), n)


def constant(a: Interval, n: int) -> Form:
    """Whatever is in an interval (B, size)."""
    centre, radius = around(a)
    return Form(centre[None], radius, n)


def plus(a: Array, b: Array) -> Array:
    """The sum of terms; either may have fewer rows, or be shared by all boxes."""
    if len(a) < len(b):
        a, b = b, a
    if len(a) == len(b):
        return a + b
    result = np.empty((len(a), *np.broadcast_shapes(a.shape[1:], b.shape[1:])))
    result[len(b) :] = a[len(b) :]
    np.add(a[: len(b)], b, out=result[: len(b)])
    return result


def add(a: Form, b: Form) -> Form:
    """a + b."""
    terms = plus(a.terms, b.terms)
    return Form(terms, fat(a.rest + b.rest + ERROR * total(terms)), a.n)


def negative(a: Form) -> Form:
    """-a."""
    return Form(-a.terms, a.rest, a.n)


def entries(a: Form, which: Any) -> Form:
    """Some of its entries."""
    return Form(a.terms[:, :, which], a.rest[:, which], a.n)


def linear(a: Form, matrix: Matrix) -> Form:
    """W a: products of matrices add in some order, with an error below gamma |W| |a|."""
    size, error = a.size, gamma(a.terms.shape[2])
    rest = (a.rest + error * size) @ matrix.magnitude
    if matrix.radius is not None:
        rest += size @ matrix.radius
    return Form(a.terms @ matrix.centre, fat(rest * (1 + error)), a.n)


def grouped_sum(a: Form, count: int) -> Form:
    """Sums over `count` consecutive parts of equal length."""
    terms = a.terms.reshape(*a.terms.shape[:2], count, -1)
    error = gamma(terms.shape[3])
    rest = (a.rest + error * a.size).reshape(len(a.rest), count, -1).sum(2)
    return Form(terms.sum(3), fat(rest * (1 + error)), a.n)


def concatenate(forms: list[Form]) -> Form:
    """Side by side."""
    rows, boxes = (max(a.terms.shape[k] for a in forms) for k in (0, 1))
    terms = np.zeros((rows, boxes, sum(a.terms.shape[2] for a in forms)))
    place = 0
    for a in forms:
        end = place + a.terms.shape[2]
        terms[: len(a.terms), :, place:end] = a.terms
        place = end
    rest = np.concatenate([np.broadcast_to(a.rest, (boxes, a.rest.shape[1])) for a in forms], 1)
    return Form(terms, rest, forms[0].n)


def multiply(a: Form, b: Form) -> Form:
    """(a0 + A + P + rho)(b0 + B + R + sigma), P and R quadratic: A R + P B + P R is left out."""
    terms = plus(a.terms[0] * b.terms, b.terms[0] * a.terms)
    terms[0] *= 0.5
    p, q = a.size, b.size
    rest = p * b.rest + q * a.rest + ERROR * (p * q)
    if len(a.terms) > 1 and len(b.terms) > 1:
        terms = bent(terms, crossed(a.linear, b.linear), a.n)
        rest += total(a.linear) * total(b.quadratic) + total(a.quadratic) * (total(b.linear) + total(b.quadratic))
    return Form(terms, fat(rest), a.n)


def crossed(a: Array, b: Array) -> Array:
    """Q of (sum_i a_i e_i) (sum_j b_j e_j)."""
    i, j = np.triu_indices(len(a), 1)
    return np.concatenate([a * b, a[i] * b[j] + a[j] * b[i]])


def bent(terms: Array, quadratic: Array, n: int) -> Array:
    """More Q; `terms` may be overwritten."""
    if len(terms) == 1 + n:
        return np.concatenate([terms, quadratic])
    terms[1 + n :] += quadratic
    return terms


def mixed(share: Array, a: Form, b: Form, more: Interval) -> Form:
    """share a + (1 - share) b and what is anywhere in `more`; shares in [0, 1], both (B, size)."""
    other, (centre, radius) = 1 - share, around(more)
    terms = plus(share * a.terms, other * b.terms)
    terms[0] += centre
    rest = share * a.rest + other * b.rest + radius + ERROR * (share * a.size + b.size + np.abs(centre))
    return Form(terms, fat(rest), a.n)


def either(a: Form, b: Form, first: Mask, second: Mask) -> Form:
    """a where `first`, b where `second`, else whatever is between."""
    open_ = ~(first | second)
    share = np.where(first, 1.0, np.where(second, 0.0, 0.5))
    apart = np.where(open_, fat(0.5 * add(a, negative(b)).size), 0.0)
    return mixed(share, a, b, Interval(-apart, apart))


def polynomial(a: Form, at: Array, p: tuple[Array, Array, Array], rest: Array) -> Form:
    """p0 + p1 z + p2 z^2 + rho, |rho| <= rest, of z = a - at = d + L + s: d constant, L linear, s all else;

    z^2 = d^2 + 2 d (L + s) + L^2 + s (2 L + s), of which the last is left out. A factor that is large comes first, so
    that no underflow is magnified.
    """
    p0, p1, p2 = p
    d, one = a.terms[0] - at, total(a.linear)
    s = total(a.quadratic) + a.rest
    slope, reach = p1 + 2 * p2 * d, np.abs(d) + one + s + TINY
    rest = rest + np.abs(slope) * a.rest + (np.abs(p2) * s) * (2 * one + s)
    rest += ERROR * (np.abs(p0) + (np.abs(p1) + np.abs(p2) * reach + TINY) * reach)
    terms = np.concatenate([(p0 + d * (p1 + p2 * d))[None], a.terms[1:] * slope])
    if len(terms) > 1:
        terms = bent(terms, crossed(p2 * a.linear, a.linear), a.n)
    return Form(terms, fat(rest), a.n)


def unbounded(a: Form, where: Mask) -> Form:
    """Nothing is known where the mask holds."""
    return Form(a.terms, np.where(where, np.inf, a.rest), a.n)


def within(a: Form, bounds: Interval) -> Form:
    """The form, or the constant that `bounds` are where these are narrower; undefined where these are."""
    centre, radius = around(bounds)
    wide = ~(a.rest <= radius)
    if not wide.any():
        return a
    terms = np.where(wide, 0.0, a.terms)
    terms[0] = np.where(wide, centre, terms[0])
    return Form(terms, np.where(wide, radius, a.rest), a.n)
