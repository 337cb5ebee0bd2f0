"""Fields that offer an integrator more than their values: a separable pair, a split, an energy.

Each is a field too: it maps states (..., n) to (..., n) and can be used wherever a field can. A method says in its
`needs` which of them it works on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.systems.fields import Time, Timed
from ctrlnet.systems.velocity import checked_velocity
from ctrlnet.types import Field

Part: TypeAlias = "Field | Timed"


class Structured:
    """A field whose `rate(t, x)` is x'; as a plain function of x where no part of it depends on time."""

    parts: tuple[Part, ...] = ()

    def rate(self, t: Time, x: Tensor) -> Tensor:
        """x' at (t, x), (..., n)."""
        raise NotImplementedError

    def __call__(self, x: Tensor) -> Tensor:
        if any(isinstance(part, Timed) for part in self.parts):
            raise UsageError(f"This {type(self).__name__} depends on time: integrate it by solve, or call rate(t, x).")
        return self.rate(0.0, x)


class Separable(Structured):
    """q' = velocity(p),  p' = force(q),  the state x = (q, p) with the two halves along the last dimension.

    A Hamiltonian H = T(p) + V(q) gives velocity = ∇T and force = -∇V. Either part may be `timed`.

    Args:
        velocity: maps p (..., n/2) to q' (..., n/2).
        force: maps q (..., n/2) to p' (..., n/2).

    Raises:
        ShapeError: in use, a state has an odd number of coordinates, or a part does not keep shape and dtype.
    """

    def __init__(self, velocity: Part, force: Part) -> None:
        self.parts = (_function(velocity, "velocity"), _function(force, "force"))

    def velocity(self, t: Time, p: Tensor) -> Tensor:
        """q' (..., n/2)."""
        return checked_velocity(evaluated(self.parts[0], t, p), p, "velocity of this Separable")

    def force(self, t: Time, q: Tensor) -> Tensor:
        """p' (..., n/2)."""
        return checked_velocity(evaluated(self.parts[1], t, q), q, "force of this Separable")

    @staticmethod
    def halves(x: Tensor) -> tuple[Tensor, Tensor]:
        """q and p, (..., n/2) each."""
        return halves(x)

    def rate(self, t: Time, x: Tensor) -> Tensor:
        q, p = halves(x)
        return torch.cat([self.velocity(t, p), self.force(t, q)], -1)


class Split(Structured):
    """x' = first(x) + second(x).

    Args:
        first, second: fields, either of them `timed`; or `first` a matrix L (n, n), which stands for the linear field
            L x and serves the methods that treat a stiff linear part implicitly.
    """

    def __init__(self, first: Part | Tensor, second: Part) -> None:
        self.matrix = _matrix(first) if isinstance(first, Tensor) else None
        part = (lambda x: x @ self.linear(x).T) if isinstance(first, Tensor) else _function(first, "first")
        self.parts = (part, _function(second, "second"))

    def linear(self, x: Tensor) -> Tensor:
        """L (n, n), as precise as x and beside it.

        Raises:
            UsageError: the first part is no matrix.
            ShapeError: it is one for states of another size.
        """
        if self.matrix is None:
            raise UsageError("The first part of this Split is a function; give the matrix L (n, n) of L x instead.")
        return _for_states(self.matrix, x)

    def first(self, t: Time, x: Tensor) -> Tensor:
        """The first part of x' (..., n)."""
        return checked_velocity(evaluated(self.parts[0], t, x), x, "first part of this Split")

    def second(self, t: Time, x: Tensor) -> Tensor:
        """The second part of x' (..., n)."""
        return checked_velocity(evaluated(self.parts[1], t, x), x, "second part of this Split")

    def rate(self, t: Time, x: Tensor) -> Tensor:
        return self.first(t, x) + self.second(t, x)


@runtime_checkable
class Potential(Protocol):
    """A function H of the state with its gradient and its mean gradient along a chord."""

    def __call__(self, x: Tensor) -> Tensor:
        """H(x), (..., n) to (...)."""
        ...

    def gradient(self, x: Tensor) -> Tensor:
        """∇H(x), (..., n)."""
        ...

    def mean_gradient(self, x: Tensor, end: Tensor) -> Tensor:
        """∫₀¹ ∇H((1-s) x + s end) ds, (..., n), so that its product with end - x is H(end) - H(x)."""
        ...


class Energy(Structured):
    """x' = S ∇H(x), with S antisymmetric (H is conserved) or negative semidefinite (H decreases).

    Args:
        potential: H, with `gradient` and `mean_gradient`, such as `ctrlnet.NetworkEnergy`.
        structure: S (n, n).
    """

    def __init__(self, potential: Potential, structure: Tensor) -> None:
        if not isinstance(potential, Potential):
            raise UsageError(
                f"{potential!r} has no gradient and mean_gradient; give an energy that has, such as "
                "ctrlnet.NetworkEnergy(A, b), or an object with __call__, gradient and mean_gradient."
            )
        self.potential, self.structure = potential, _matrix(structure)

    def rate(self, t: Time, x: Tensor) -> Tensor:
        return self.applied(self.potential.gradient(x))

    def applied(self, gradient: Tensor) -> Tensor:
        """S times a gradient, (..., n).

        Raises:
            ShapeError: S is a matrix for states of another size.
        """
        return gradient @ _for_states(self.structure, gradient).T


STRUCTURES: dict[str, type[Structured]] = {"Separable": Separable, "Split": Split, "Energy": Energy}
"""What an integrator can need besides a plain field, by the name of its `needs`."""


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """q and p, (..., n/2) each.

    Raises:
        ShapeError: n is odd.
    """
    if x.shape[-1] % 2:
        raise ShapeError(f"The state has {x.shape[-1]} coordinates; (q, p) needs an even number, q first.")
    q, p = x.chunk(2, -1)
    return q, p


def evaluated(part: Callable[..., Tensor], t: Time, x: Tensor) -> Tensor:
    """A part at (t, x), whether it depends on time or not."""
    if not isinstance(part, Timed):
        return part(x)
    return part(t if isinstance(t, Tensor) else x.new_tensor(t), x)


def _function(part: Part, name: str) -> Part:
    if not callable(part):
        raise UsageError(f"{name} is {part!r}; give a function of the state, or timed(f) of f(t, x).")
    return part


def _for_states(matrix: Tensor, x: Tensor) -> Tensor:
    """The matrix, as precise as x and beside it."""
    if matrix.shape[-1] != x.shape[-1]:
        n = x.shape[-1]
        raise ShapeError(
            f"The matrix is {tuple(matrix.shape)} and states have {n} coordinates; give one of ({n}, {n})."
        )
    return matrix.to(x)


def _matrix(matrix: Tensor) -> Tensor:
    square = isinstance(matrix, Tensor) and matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not (square and matrix.is_floating_point()):
        given = tuple(matrix.shape) if isinstance(matrix, Tensor) else matrix
        raise ShapeError(f"The matrix is {given}; give a floating-point tensor of shape (n, n).")
    return matrix
