"""Where the rest of a form comes from, and what that of a scalar amounts to in the end.

Let rho be what a value differs by from the polynomial of its form. Every rule of taylor.py says how this difference of
its arguments a enters that of its result, and bounds what it adds itself:

    rho = sum_a J_a rho_a + eps,   |eps| <= own,   with float64 matrices J_a, one for each box.

J_a is the matrix of a linear map, the slope of a smooth function, the centre of the other factor of a product. So, with
lambda = 1 at a scalar form, and lambda_a the sum of lambda_v J_a over the forms v of which a is an argument,

    rho = sum_v lambda_v eps_v,   |rho| <= sum_v |lambda_v| own_v   over all forms v on the way.

The rest of a form, at least sum_a |J_a| rest_a + own, takes magnitudes at every step: behind layers of a network, far
more than what their signs leave.

Rounding. With lambda computed in K rounded operations the sum errs by less than gamma(K) times that over all paths of
magnitudes, which is at most the rest of the scalar. An underflow in lambda_v counts for less than TINY rest_v.

Source: reverse differentiation (Griewank, Walther, Evaluating Derivatives, 2nd ed., ch. 3), here of errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple, Protocol

import numpy as np

from ctrlnet.checker.interval import TINY, Array, Matrix, gamma

_numbers = count()


class Influence(Protocol):
    """J of one argument."""

    def spread(self, rest: Array) -> Array:
        """|J| rest, or a little more, (B, size of the result)."""
        ...

    def adjoint(self, weight: Array) -> Array:
        """lambda J, (B, k, size of the argument), for k rows lambda, (B, k, size of the result)."""
        ...


class Origin:
    """Of one form: its rest if no other is known of the arguments, what its rule added, (B, size), and the origins of
    the arguments with their influence."""

    def __init__(self, rest: Array, own: Array, arguments: Sequence[tuple[Origin, Influence]] = ()) -> None:
        self.rest, self.own, self.arguments = rest, own, arguments
        self.number = next(_numbers)  # those of the arguments are less


def settled(form: Origin) -> Array:
    """The rest (B, k) of a form of size k by adjoints, or as it is where that is less."""
    waiting = {form.number: (form, np.eye(form.rest.shape[1])[None])}
    total, steps = np.zeros_like(form.rest), 0
    while waiting:
        origin, weight = waiting.pop(max(waiting))
        total = total + (np.abs(weight) @ origin.own[:, :, None])[:, :, 0] + TINY * origin.rest.sum(1, keepdims=True)
        steps += 2 * origin.rest.shape[1] + len(origin.arguments) + 8
        for argument, influence in origin.arguments:
            _, others = waiting.get(argument.number, (argument, 0.0))
            waiting[argument.number] = argument, others + influence.adjoint(weight)
    found = total * (1 + gamma(steps)) + (gamma(steps) * form.rest + TINY)
    return np.where(found < form.rest, found, form.rest)  # NaN is no less


class Factor(NamedTuple):
    """A diagonal (B, size)."""

    values: Array

    def spread(self, rest: Array) -> Array:
        return np.asarray(np.abs(self.values) * rest)

    def adjoint(self, weight: Array) -> Array:
        return np.asarray(weight * self.values[:, None])


ONE, MINUS_ONE = Factor(np.ones((1, 1))), Factor(-np.ones((1, 1)))


class Weights(NamedTuple):
    """The centre of a matrix."""

    matrix: Matrix

    def spread(self, rest: Array) -> Array:
        return np.asarray((rest @ self.matrix.magnitude) * (1 + gamma(rest.shape[1])))

    def adjoint(self, weight: Array) -> Array:
        rows = weight.reshape(-1, weight.shape[2]) @ self.matrix.centre.T
        return rows.reshape(*weight.shape[:2], -1)


class Chosen(NamedTuple):
    """Some of `size` entries."""

    which: Any
    size: int

    def spread(self, rest: Array) -> Array:
        return rest[:, self.which]

    def adjoint(self, weight: Array) -> Array:
        result = np.zeros((*weight.shape[:2], self.size))
        for place, entry in enumerate(np.arange(self.size)[self.which].tolist()):
            result[:, :, entry] += weight[:, :, place]
        return result


class Sums(NamedTuple):
    """Sums over consecutive parts of equal length."""

    length: int

    def spread(self, rest: Array) -> Array:
        return np.asarray(rest.reshape(len(rest), -1, self.length).sum(2) * (1 + gamma(self.length)))

    def adjoint(self, weight: Array) -> Array:
        return np.repeat(weight, self.length, 2)


class Part(NamedTuple):
    """The place [start, stop) of an argument among `size` entries."""

    start: int
    stop: int
    size: int

    def spread(self, rest: Array) -> Array:
        result = np.zeros((len(rest), self.size))
        result[:, self.start : self.stop] = rest
        return result

    def adjoint(self, weight: Array) -> Array:
        return weight[:, :, self.start : self.stop]
