"""The loss of a training: a region of attraction, as large as can be, on which the conditions hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import torch
from torch import Tensor

from ctrlnet.conditions import ExponentialStability, trajectory_violation, violation
from ctrlnet.training.pool import HardStates
from ctrlnet.training.region import Within
from ctrlnet.training.states import StateSampler
from ctrlnet.types import Field


@final
@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; a term with weight 0 is not evaluated.

    Attributes:
        violation: of the conditions, relative to V, within the level set.
        containment: of faces of the box that the level set reaches.
        growth: of states that the level set leaves out; decays to a tenth in the course of training.
        gain: of the deviation from the linear feedback near the equilibrium.
        trajectories: of the violation along trajectories.
    """

    violation: float = 20.0
    containment: float = 10.0
    growth: float = 0.3
    gain: float = 0.005
    trajectories: float = 0.0


@final
@dataclass(frozen=True)
class Batch:
    """How many states each step samples.

    Attributes:
        uniform: over the box.
        near: around the equilibrium, on a logarithmic scale of distance.
        hard: from the pool of violating states.
        faces: on the faces of the box.
        pool: size of the pool.
        refresh: steps between two refreshments of the pool.
    """

    uniform: int = 256
    near: int = 64
    hard: int = 192
    faces: int = 128
    pool: int = 2048
    refresh: int = 10


@final
@dataclass(frozen=True)
class Trajectories:
    """Trajectories in the loss.

    Attributes:
        count: of initial states, uniform over the box.
        horizon: [s].
        instants: at which the conditions are asked for.
        method: integrator plug-in.
    """

    count: int = 32
    horizon: float = 2.0
    instants: int = 21
    method: str = "rk4"


@final
class RegionObjective:
    """Losses that make {V <= level} large, keep it in the box, and make the conditions hold on it.

        violation    mean hinge of the conditions at rate·(1 + margin), relative to V, within {V <= (1 + band) level}
        containment  mean max(0, (1 + band) - V/level)  on the faces of the box
        growth       mean max(0, log(V/level))  over the box
        gain         see `LinearFeedback.deviation`
        trajectories the violation along trajectories

    Args:
        conditions: what is wanted.
        system: the closed loop, (..., n) to (..., n).
        states: where to look.
        weights, batch, trajectories: see there.
        level: of V, the same for all.
        margin: by which the rate is exceeded; a proof needs slack.
        band: by which the level is exceeded, relative.
        gain_term: gives the gain term at near states, (k, n) to a scalar; None where there is none.
    """

    def __init__(
        self,
        conditions: Mapping[str, ExponentialStability],
        system: Field,
        states: StateSampler,
        *,
        weights: LossWeights,
        batch: Batch,
        trajectories: Trajectories,
        level: float = 1.0,
        margin: float = 0.5,
        band: float = 0.1,
        gain_term: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.conditions = tuple(conditions.values())
        self.system, self.states, self.level, self.band = system, states, level, band
        self.weights, self.batch, self.trajectories, self.gain_term = weights, batch, trajectories, gain_term
        top = (1 + 1.5 * band) * level  # above where the faces are held, so that the whole region is inside
        self._asked = tuple(Within(_faster(one, margin), one.V, top) for one in self.conditions)
        self._kept = tuple(Within(_faster(one, 0.2 * margin), one.V, top) for one in self.conditions)
        self._hard = HardStates(states, batch.pool)
        self._watched = states.uniform(4096)

    def __call__(self, step: int, share: float) -> dict[str, Tensor]:
        """The weighted terms of one step, `share` of the training in [0, 1] being over."""
        if step % self.batch.refresh == 1:
            self._hard.refresh(partial(self._worst, self._asked))
        uniform, near = self.states.uniform(self.batch.uniform), self.states.near(self.batch.near)
        x = torch.cat([uniform, near, self._hard.draw(self.batch.hard)])
        terms: dict[str, Callable[[], Tensor]] = {
            "violation": lambda: violation(self._asked, self.system, x, relative=True),
            "containment": self._containment,
            "growth": lambda: (1 - 0.9 * share) * self._growth(uniform),
            "trajectories": self._along_trajectories,
        }
        if (gain_term := self.gain_term) is not None:
            terms["gain"] = lambda: gain_term(near)
        wanted = {name: getattr(self.weights, name) for name in terms}
        return {name: wanted[name] * terms[name]() for name in terms if wanted[name]}

    def seek(self, count: int) -> int:
        """Make the worst of many fresh states the hard states; how many of them lack a fifth of the margin."""
        worst = self._hard.seek(partial(self._worst, self._asked), count)
        return int((self._worst(self._kept, worst) > 0).sum())

    def watch(self) -> dict[str, float]:
        """Shares, over fixed uniform states: `inside` {V <= level}, and `violating` among those, at the rate itself."""
        x = self._watched
        with torch.no_grad():
            inside = torch.stack([one.V(x) <= self.level for one in self.conditions]).all(0)
            broken = [clause.margin(x) <= 0 for one in self.conditions for clause in one.clauses(self.system)]
            violating = torch.stack(broken).any(0) & inside
        return {
            "violating": float(violating.sum() / inside.sum().clamp(min=1)),
            "inside": float(inside.double().mean()),
        }

    def _containment(self) -> Tensor:
        x = self.states.faces(self.batch.faces)
        return self._over_V(lambda V: torch.relu(1 + self.band - V(x) / self.level))

    def _growth(self, x: Tensor) -> Tensor:
        tiny = torch.finfo(x.dtype).tiny
        return self._over_V(lambda V: torch.relu(torch.log(V(x) / self.level + tiny) + self.band / 2))

    def _over_V(self, term: Callable[[Field], Tensor]) -> Tensor:
        return torch.stack([term(one.V).mean() for one in self.conditions]).sum()

    def _along_trajectories(self) -> Tensor:
        options = self.trajectories
        times = torch.linspace(0, options.horizon, options.instants, dtype=torch.float64)
        x0 = self.states.uniform(options.count)
        return trajectory_violation(self._asked, self.system, x0, times, method=options.method, relative=True)

    def _worst(self, asked: Sequence[Within], x: Tensor) -> Tensor:
        """Largest relative violation at each state, (k, n) to (k,), negative where there is slack."""
        with torch.no_grad():
            found = []
            for clause in (clause for one in asked for clause in one.clauses(self.system)):
                scale = 1.0 if clause.scale is None else clause.scale(x) + 1e-12
                found.append(-clause.margin(x) / scale)
            return torch.stack(found).amax(0)


def _faster(condition: ExponentialStability, margin: float) -> ExponentialStability:
    return replace(condition, rate=condition.rate * (1 + margin))
