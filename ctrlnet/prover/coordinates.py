"""Linear coordinates in which a level set is about a ball.

Boxes of y cover a ball of y well, boxes of x a thin slanted ellipsoid badly: in four dimensions that decides whether
a proof is found at all. The change must be exact, or what is proved is about other functions: T and T⁻¹ have float64
entries whose products are the identity in rational arithmetic, and a proof reads such entries as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, final

import torch
from torch import Tensor

from ctrlnet.conditions import (
    BarrierInvariance,
    DiscreteDecrease,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    UltimateBound,
)
from ctrlnet.errors import ShapeError, UsageError
from ctrlnet.rationals import Exact
from ctrlnet.sets import Box, Number, check_states
from ctrlnet.systems import ClosedLoop, DiscreteMap, Disturbed, Quantity, System, Timed
from ctrlnet.systems.rows import dtype_of

Function = Callable[[Tensor], Tensor]
Point = Sequence[Number] | Tensor

DIGITS = 5  # binary digits after the point in the unit triangular factor of T⁻¹; fewer where T needs it
ROOM = 1.1  # of the extent of the level set

_WITH_POINT, _WITH_V = (ExponentialStability, DiscreteDecrease), (UltimateBound,)
_WITH_H = (BarrierInvariance, NagumoInvariance, HighOrderInvariance)


@final
class Coordinates:
    """Coordinates y of the states x = x* + T y, in which {(x - x*)ᵀP(x - x*) <= level} is about a ball.

        y = Coordinates.of(V, at)
        verdict = certify(y.condition(condition), y.system(system), y.box(level))

    proves a theorem about y. In x it reads: rates, levels, disturbances are the same, as are the values of V and h; the
    box Y is the parallelepiped X = {x* + T y : y in Y}, {y in Y : V(x* + T y) <= level} is {x in X : V(x) <= level},
    and a solution y(t) is the solution x* + T y(t). The state x* is y = 0. A state that a verdict shows is in y;
    `y.x(verdict.limiting_state)` is in x.

    T⁻¹ is the Cholesky factor of P with its diagonal rounded to powers of two, and its rows divided by that to a few
    binary digits: a unit triangular matrix, so that both T and T⁻¹ are exact. TᵀPT is within a factor of two or so of
    the identity.

    Args:
        P: symmetric, positive definite, (n, n).
        at: x*, n numbers; the origin when None. Numbers may be `exact("0.1")`.

    Raises:
        UsageError: P is no such matrix (ShapeError: sizes).
    """

    def __init__(self, P: Tensor, at: Point | None = None) -> None:
        self.P = _checked(P)
        self.inverse, self.T = _exact_pair(torch.linalg.cholesky(self.P).T)
        self.at = _numbers(at, self.dimension)

    @classmethod
    def of(cls, V: Function, at: Point | None = None) -> Coordinates:
        """The coordinates for a V (..., n) to (...): P is half its Hessian at x*.

        Args:
            V: twice differentiable at x*, where its Hessian is positive definite.
            at: x*; for a candidate that has an equilibrium of its own None is that one.
        """
        center = getattr(V, "at", None) if at is None else at
        if center is None:
            raise UsageError("x* is not known; give at=..., the state of n numbers about which V grows.")
        numbers = _numbers(center, len(center))
        state = _tensor(numbers, torch.empty(0, dtype=dtype_of(V)))
        return cls(0.5 * torch.func.hessian(V)(state).detach().double(), numbers)

    @property
    def dimension(self) -> int:
        """Size of the state, n."""
        return len(self.P)

    def x(self, y: Tensor) -> Tensor:
        """x* + T y, (..., n)."""
        check_states(y, self.dimension, "y")
        x = torch.nn.functional.linear(y, self.T.to(y))
        return x + _tensor(self.at, y) if any(self.at) else x

    def y(self, x: Tensor) -> Tensor:
        """T⁻¹(x - x*), (..., n)."""
        check_states(x, self.dimension)
        return self.velocity(x - _tensor(self.at, x) if any(self.at) else x)

    def velocity(self, velocity: Tensor) -> Tensor:
        """T⁻¹x': the velocity y' at which y moves, (..., n)."""
        return torch.nn.functional.linear(velocity, self.inverse.to(velocity))

    def condition(self, condition: Any) -> Any:
        """The same condition on functions of y, its equilibrium moved along; of a tuple, each one.

        Raises:
            UsageError: a condition about a box of x, which is no box of y.
        """
        if isinstance(condition, (tuple, list)):
            return tuple(self.condition(part) for part in condition)
        if isinstance(condition, _WITH_POINT):
            return replace(condition, V=self._after(condition.V), at=self._moved(condition.at))
        if isinstance(condition, _WITH_V):
            return replace(condition, V=self._after(condition.V))
        if isinstance(condition, _WITH_H):
            return replace(condition, h=self._after(condition.h))
        known = ", ".join(kind.__name__ for kind in (*_WITH_POINT, *_WITH_V, *_WITH_H))
        raise UsageError(
            f"Coordinates change {known}; got {condition!r}. A box of x is no box of y: certify StayWithin in x."
        )

    def system(self, system: Any) -> Any:
        """The same system in y: y' = T⁻¹F(x* + T y), or y⁺ = T⁻¹(f(x* + T y) - x*), disturbance and hold kept."""
        if isinstance(system, DiscreteMap):
            if system.disturbance is None:
                return DiscreteMap(lambda y: self.y(system(self.x(y))))
            return DiscreteMap(lambda y, d: self.y(system(self.x(y), d)), system.disturbance)
        if isinstance(system, Disturbed):
            return Disturbed(lambda y, d: self.velocity(system(self.x(y), d)), system.disturbance)
        if isinstance(system, ClosedLoop) and system.period is not None:
            return ClosedLoop(self._plant(system.plant), self._after(system.policy), system.period)
        if isinstance(system, (System, Timed)) or not callable(system):
            raise UsageError(
                f"The system is {system!r}; give a closed loop: a function F of states (..., n), a ClosedLoop, a "
                "Disturbed or a DiscreteMap."
            )
        if isinstance(system, ClosedLoop) and system.disturbance is not None:
            return Disturbed(lambda y, d: self.velocity(system(self.x(y), d)), system.disturbance)
        return lambda y: self.velocity(system(self.x(y)))

    def box(self, level: Number, room: Number = ROOM) -> Box:
        """The box of y about {(x - x*)ᵀP(x - x*) <= level}, `room` times as large.

        The level set of a V that is not quadratic may reach further: then give more room.

        Args:
            level: in units of V, positive.
            room: above 1.
        """
        if not (float(level) > 0 and float(room) > 1):
            raise UsageError(f"level is {level} and room is {room}; give a level above 0 and a room above 1.")
        shape = self.T.T @ self.P @ self.T
        half = float(room) * (float(level) * torch.linalg.inv(shape).diagonal()).sqrt()
        return Box(-half, half)

    def __repr__(self) -> str:
        return f"Coordinates(P={self.P.tolist()}, at={[str(value) for value in self.at]})"

    def _after(self, function: Function) -> Function:
        return lambda y: function(self.x(y))

    def _moved(self, at: Point | None) -> tuple[Exact, ...] | None:
        """T⁻¹(at - x*) in rationals; None, the origin, where that is zero."""
        differences = [a - b for a, b in zip(_numbers(at, self.dimension), self.at, strict=True)]
        rows = self.inverse.tolist()
        moved = [sum((Fraction(w) * d for w, d in zip(row, differences, strict=True)), Fraction(0)) for row in rows]
        return tuple(Exact(value) for value in moved) if any(moved) else None

    def _plant(self, plant: System) -> System:
        return System(
            lambda y, *d: self.velocity(plant.f(self.x(y), *d)),
            lambda y, *d: self.inverse.to(y) @ plant.g(self.x(y), *d),
            state=[Quantity(f"y{i}", "1") for i in range(self.dimension)],
            control=plant.control,
            limits=plant.limits,
            disturbance=plant.disturbance,
        )


def _checked(P: Tensor) -> Tensor:
    if not isinstance(P, Tensor) or P.ndim != 2 or P.shape[0] != P.shape[1] or not P.numel():
        raise ShapeError(f"P is {P!r}; give a matrix (n, n), or take Coordinates.of(V, at) for a function V.")
    P = P.detach().to("cpu", torch.float64)
    if int(torch.linalg.cholesky_ex(P)[1]) or not torch.allclose(P, P.T, rtol=1e-6, atol=0.0):
        raise UsageError(
            f"P = {P.tolist()} is not symmetric and positive definite. Where the Hessian of V is not, give a P whose "
            "ellipsoids are about the level sets of V: Coordinates(P, at)."
        )
    return 0.5 * (P + P.T)


def _exact_pair(factor: Tensor) -> tuple[Tensor, Tensor]:
    """An upper triangular matrix near the factor, and its inverse, both exact."""
    for candidate in _roundings(factor):
        inverse = _inverse(candidate)
        floats = torch.tensor([[float(value) for value in row] for row in inverse], dtype=torch.float64)
        if [[Fraction(value) for value in row] for row in floats.tolist()] == inverse:
            return candidate, floats
    raise AssertionError("a diagonal of powers of two has an exact inverse")


def _roundings(factor: Tensor) -> Iterator[Tensor]:
    """D U with powers of two in D and a unit triangular U of ever fewer digits; at last D alone."""
    diagonal = factor.diagonal()
    scale = 2.0 ** torch.log2(diagonal).round()
    for digits in range(DIGITS, -1, -1):
        yield scale[:, None] * (factor / diagonal[:, None] * 2**digits).round() / 2**digits
    yield torch.diag(scale)


def _inverse(triangular: Tensor) -> list[list[Fraction]]:
    """The inverse of an upper triangular matrix in rationals, by substitution from the last row."""
    rows = [[Fraction(value) for value in row] for row in triangular.tolist()]
    n = len(rows)
    inverse = [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]
    for i in reversed(range(n)):
        for j in range(n):
            rest = sum((rows[i][k] * inverse[k][j] for k in range(i + 1, n)), Fraction(0))
            inverse[i][j] = (inverse[i][j] - rest) / rows[i][i]
    return inverse


def _numbers(at: Point | None, n: int) -> tuple[Exact, ...]:
    """n exact numbers; zeros for None."""
    given: Sequence[Any] = (0,) * n if at is None else at.tolist() if isinstance(at, Tensor) else at
    if len(given) != n:
        raise ShapeError(f"at has {len(given)} entries and P {n} rows; give one number a coordinate.")
    return tuple(Exact(value) for value in given)


def _tensor(numbers: Sequence[Exact], like: Tensor) -> Tensor:
    """The numbers as a tensor of the same kind, which a trace knows to be these."""
    return torch.stack([number.tensor() for number in numbers]).to(like)
