"""Forms of second order over many boxes: a polynomial in the sides of a box, and a bound of what it leaves out.

Over the box x = m + h e, |e_i| <= 1, an expression has, at every e, the value

    c + sum_i A_i e_i + sum_{i <= j} Q_ij e_i e_j + rho,   |rho| <= rest,

c, A, Q and rest being the float64 numbers held. Where it is smooth, `rest` is of third order in h. Where it has several
values (a switch, Clarke's derivatives at a kink), all are within `rest` of the polynomial.

Every rule says where its `rest` comes from (origins.py); what is rounded is in polynomials.py.

Source: Makino, Berz, Taylor models and other validated functional inclusion methods, Int. J. Pure Appl. Math. 4 (2003).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ctrlnet.checker.interval import TINY, Array, Interval, Mask, Matrix, gamma
from ctrlnet.checker.origins import MINUS_ONE, ONE, Chosen, Factor, Origin, Part, Weights
from ctrlnet.checker.polynomials import ERROR as ERROR
from ctrlnet.checker.polynomials import Form as Form
from ctrlnet.checker.polynomials import Products, made, moved
from ctrlnet.checker.polynomials import around as around
from ctrlnet.checker.polynomials import fat as fat
from ctrlnet.checker.polynomials import grouped_sum as grouped_sum
from ctrlnet.checker.polynomials import total as total


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
    result = made(terms, ERROR * total(terms), a.n, (a, ONE), (b, ONE))
    if a.products is None and b.products is None:
        return result
    (p, first), (q, second) = (x.products or Products(x, ()) for x in (a, b))
    without = made(terms, ERROR * total(terms), a.n, (p, ONE), (q, ONE))
    return replace(result, products=Products(without, first + second))


def negative(a: Form) -> Form:
    """-a."""
    return moved(-a.terms, a.n, (a, MINUS_ONE))


def entries(a: Form, which: Any) -> Form:
    """Some of its entries."""
    return moved(a.terms[:, :, which], a.n, (a, Chosen(which, a.rest.shape[1])))


def linear(a: Form, matrix: Matrix) -> Form:
    """W a: products of matrices add in some order, with an error below gamma |W| |a|. Of a = M b it is (W M) b: the
    magnitudes of W and M, of a change of coordinates and its inverse say, are not multiplied."""
    if a.image is not None:
        return linear(a.image[0], a.image[1].then(matrix))
    error = gamma(a.terms.shape[2])
    own = (error * a.size) @ matrix.magnitude
    if matrix.radius is not None:
        own += a.size @ matrix.radius
    result = made(a.terms @ matrix.centre, own * (1 + error), a.n, (a, Weights(matrix)))
    return replace(result, image=(a, matrix))


def concatenate(forms: list[Form]) -> Form:
    """Side by side."""
    rows, boxes = (max(a.terms.shape[k] for a in forms) for k in (0, 1))
    terms = np.zeros((rows, boxes, sum(a.terms.shape[2] for a in forms)))
    places: list[Part] = []
    for a in forms:
        start = places[-1].stop if places else 0
        places.append(Part(start, start + a.terms.shape[2], terms.shape[2]))
        terms[: len(a.terms), :, start : places[-1].stop] = a.terms
    return moved(terms, forms[0].n, *zip(forms, places, strict=True))


def multiply(a: Form, b: Form) -> Form:
    """(a0 + A + P + rho)(b0 + B + R + sigma), P and R quadratic, but for A R + P B, which is of third order, P R, and
    (A + P + rho) sigma + (B + R) rho."""
    terms = plus(a.terms[0] * b.terms, b.terms[0] * a.terms)
    terms[0] *= 0.5
    own = ERROR * (a.size * b.size) + (a.first + a.second + a.rest) * b.rest + (b.first + b.second) * a.rest
    arguments = (a, Factor(b.terms[0].copy())), (b, Factor(a.terms[0].copy()))
    if len(a.terms) == 1 or len(b.terms) == 1:
        return made(terms, own, a.n, *arguments)
    terms = bent(terms, crossed(a.linear, b.linear), a.n)
    own += a.second * b.second
    result = made(terms, own + (a.first * b.second + a.second * b.first), a.n, *arguments)
    if not (len(a.quadratic) or len(b.quadratic)):
        return result
    return replace(result, products=Products(made(terms, own, a.n, *arguments), ((a, b),)))


def crossed(a: Array, b: Array) -> Array:
    """Q of (sum_i a_i e_i) (sum_j b_j e_j)."""
    n, place = len(a), len(a)
    result = np.empty((n * (n + 1) // 2, *np.broadcast_shapes(a.shape[1:], b.shape[1:])))
    np.multiply(a, b, out=result[:n])
    for i in range(n - 1):
        rows = result[place : place + n - 1 - i]
        np.multiply(a[i], b[i + 1 :], out=rows)
        rows += a[i + 1 :] * b[i]
        place += len(rows)
    return result


def squared(a: Array, factor: Array) -> Array:
    """Q of factor (sum_i a_i e_i)^2."""
    n, place, scaled = len(a), len(a), factor * a
    result = np.empty((n * (n + 1) // 2, *scaled.shape[1:]))
    np.multiply(scaled, a, out=result[:n])
    scaled *= 2
    for i in range(n - 1):
        np.multiply(scaled[i], a[i + 1 :], out=result[place : place + n - 1 - i])
        place += n - 1 - i
    return result


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
    own = radius + ERROR * (share * a.size + b.size + np.abs(centre))
    return made(terms, own, a.n, (a, Factor(share)), (b, Factor(other)))


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
    d, s = a.terms[0] - at, a.second + a.rest
    slope, reach = p1 + 2 * p2 * d, np.abs(d) + a.first + s + TINY
    own = rest + (np.abs(p2) * s) * (2 * a.first + s)
    own += ERROR * (np.abs(p0) + (np.abs(p1) + np.abs(p2) * reach + TINY) * reach)
    terms = np.concatenate([(p0 + d * (p1 + p2 * d))[None], a.terms[1:] * slope])
    if len(terms) > 1:
        terms = bent(terms, squared(a.linear, p2), a.n)
    return made(terms, own, a.n, (a, Factor(slope)))


def unbounded(a: Form, where: Mask) -> Form:
    """Nothing is known where the mask holds."""
    return made(a.terms, np.where(where, np.inf, 0.0), a.n, (a, ONE))


def within(a: Form, bounds: Interval) -> Form:
    """The form, or the constant that `bounds` are where these are narrower; undefined where these are."""
    centre, radius = around(bounds)
    wide = ~(a.rest <= radius)
    if not wide.any():
        return a
    terms = np.where(wide, 0.0, a.terms)
    terms[0] = np.where(wide, centre, terms[0])
    rest = np.where(wide, radius, a.rest)
    kept = [(a.origin, Factor(np.where(wide, 0.0, 1.0)))]
    plain = np.where(wide, radius, a.origin.rest)
    return Form(terms, rest, a.n, Origin(plain, np.where(wide, radius, 0.0), kept))
