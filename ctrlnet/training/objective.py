"""The loss of a training: a region of attraction, as large as can be, on which the conditions hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import torch
from torch import Tensor

from ctrlnet.conditions import ExponentialStability, Mean, lack, mean_inside, trajectory_violation, violation
from ctrlnet.errors import UsageError
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
        gain_term: gives the gain term at near states, (k, n) to (k,); None where there is none.
        shares: weights of the conditions by name among each other, 1 where none is given.
        seed: of the validation states.

    Raises:
        UsageError: a share of no condition.
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
        shares: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        self._shares = _shares(conditions, shares or {})
        self.conditions = tuple(conditions.values())
        self.system, self.states, self.level, self.band = system, states, level, band
        self.weights, self.batch, self.trajectories, self.gain_term = weights, batch, trajectories, gain_term
        top = (1 + 1.5 * band) * level  # above where the faces are held, so that the whole region is inside
        self._asked = tuple(Within(_faster(one, margin), one.V, top) for one in self.conditions)
        self._kept = tuple(Within(_faster(one, 0.2 * margin), one.V, top) for one in self.conditions)
        self._hard = HardStates(states, batch.pool)
        self._watched = states.uniform(4096)
        self._validation = StateSampler(states.box, states.at, seed, states.device), dict[int, Tensor]()

    def __call__(self, step: int, share: float) -> dict[str, Tensor]:
        """The weighted terms of one step, `share` of the training in [0, 1] being over."""
        return self.terms(self.draw(step), share)

    def draw(self, step: int) -> dict[str, Tensor]:
        """States of one step, each (k, n): uniform, near, hard, and those that the terms with a weight ask for."""
        if step % self.batch.refresh == 1:
            self._hard.refresh(partial(self._worst, self._asked))
        states = {"uniform": self.states.uniform(self.batch.uniform), "near": self.states.near(self.batch.near)}
        states["hard"] = self._hard.draw(self.batch.hard)
        if self.weights.containment:
            states["faces"] = self.states.faces(self.batch.faces)
        if self.weights.trajectories:
            states["starts"] = self.states.uniform(self.trajectories.count)
        return states

    def terms(self, states: Mapping[str, Tensor], share: float, mean: Mean = mean_inside) -> dict[str, Tensor]:
        """The weighted terms over the states of one step; `mean` makes every mean over states."""
        x = torch.cat([states["uniform"], states["near"], states["hard"]])
        terms: dict[str, Callable[[], Tensor]] = {
            "violation": lambda: self._violation(x, mean),
            "containment": lambda: self._containment(states["faces"], mean),
            "growth": lambda: (1 - 0.9 * share) * self._growth(states["uniform"], mean),
            "trajectories": lambda: self._along_trajectories(states["starts"], mean),
        }
        if (gain_term := self.gain_term) is not None:
            terms["gain"] = lambda: mean(gain_term(states["near"]), None)
        wanted = {name: getattr(self.weights, name) for name in terms}
        return {name: wanted[name] * terms[name]() for name in terms if wanted[name]}

    def seek(self, count: int) -> int:
        """Make the worst of many fresh states the hard states; how many of them lack a fifth of the margin."""
        worst = self._hard.seek(partial(self._worst, self._asked), count)
        return int((self._worst(self._kept, worst) > 0).sum())

    def validate(self, count: int) -> int:
        """How many of `count` fixed states, an eighth of them near the equilibrium, lack a fifth of the margin."""
        sampler, drawn = self._validation
        if count not in drawn:
            drawn[count] = torch.cat([sampler.uniform(count - count // 8), sampler.near(count // 8)])
        return int((self._worst(self._kept, drawn[count]) > 0).sum())

    def state_dict(self) -> dict[str, Tensor]:
        """The pool, the states watched and the state of the generator: what later steps depend on."""
        return {
            "pool": self._hard.states,
            "watched": self._watched,
            "generator": self.states.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on as the objective that gave `state`."""
        self._hard.states = state["pool"].clone()
        self._watched = state["watched"].to(self.states.device)
        self.states.generator.set_state(state["generator"])

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

    def _violation(self, x: Tensor, mean: Mean) -> Tensor:
        return self._over_conditions(lambda one: violation(one, self.system, x, relative=True, mean=mean))

    def _containment(self, x: Tensor, mean: Mean) -> Tensor:
        return self._over_V(lambda V: torch.relu(1 + self.band - V(x) / self.level), mean)

    def _growth(self, x: Tensor, mean: Mean) -> Tensor:
        tiny = torch.finfo(x.dtype).tiny
        return self._over_V(lambda V: torch.relu(torch.log(V(x) / self.level + tiny) + self.band / 2), mean)

    def _over_V(self, term: Callable[[Field], Tensor], mean: Mean) -> Tensor:
        return torch.stack([mean(term(one.V), None) for one in self.conditions]).sum()

    def _over_conditions(self, term: Callable[[Within], Tensor]) -> Tensor:
        return torch.stack([share * term(one) for share, one in zip(self._shares, self._asked, strict=True)]).sum()

    def _along_trajectories(self, x0: Tensor, mean: Mean) -> Tensor:
        options = self.trajectories
        times = torch.linspace(0, options.horizon, options.instants, dtype=torch.float64)
        return self._over_conditions(
            lambda one: trajectory_violation(
                one, self.system, x0, times, method=options.method, relative=True, mean=mean
            )
        )

    def _worst(self, asked: Sequence[Within], x: Tensor) -> Tensor:
        """Largest relative violation at each state, (k, n) to (k,), negative where there is slack."""
        with torch.no_grad():
            clauses = (clause for one in asked for clause in one.clauses(self.system))
            return torch.stack([lack(clause, x, relative=True) for clause in clauses]).amax(0)


def _shares(conditions: Mapping[str, object], shares: Mapping[str, float]) -> tuple[float, ...]:
    if unknown := shares.keys() - conditions.keys():
        raise UsageError(f"Shares are given for {', '.join(sorted(unknown))}; conditions: {', '.join(conditions)}.")
    return tuple(float(shares.get(name, 1.0)) for name in conditions)


def _faster(condition: ExponentialStability, margin: float) -> ExponentialStability:
    return replace(condition, rate=condition.rate * (1 + margin))
