"""Environments whose policies have a state of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import toy_environments as toys
from torch import nn

from ctrlnet import Box, DynamicPolicy, Memory, NeuralCandidate, Quantity, mlp, train
from ctrlnet.tasks import rebuild

OWN = Memory((Quantity("z", "m"),), box=Box((-3.0,), (3.0,)), rates=Box((-5.0,), (5.0,)), at=(0.5,))


@dataclass(frozen=True)
class Pondering(toys.Cart):
    """The cart under a policy with a state of its own, which rests at 0.5."""

    name = "toy_pondering"

    @property
    def memory(self) -> Memory:
        return OWN

    def policy(self, seed: int = 0) -> nn.Module:
        readout, motion = mlp((3, 4, 1), seed=seed), mlp((3, 4, 1), seed=seed + 1)
        return DynamicPolicy(readout, motion, self.whole.system, at=(0.0, 0.0), control_at=(0.0,))

    def candidates(self, seed: int = 0) -> dict[str, nn.Module]:
        shape = self.linear_feedback()[1]
        return {"V": NeuralCandidate(mlp((3, 4, 4), seed=seed + 2), shape, at=self.whole.equilibrium)}

    def conditions(self, candidates):
        (found,) = super().conditions(candidates).values()
        return {"stability": type(found)(found.V, found.rate, at=(0.0, 0.0, 0.5))}


def test_without_a_memory_the_whole_is_the_plant() -> None:
    cart = toys.Cart()
    assert cart.whole.system is cart.system and cart.whole.box == cart.box
    assert cart.whole.equilibrium.tolist() == [0.0, 0.0] and cart.whole.control_equilibrium.tolist() == [0.0]


def test_with_one_they_are_joined() -> None:
    whole = Pondering().whole
    assert whole is not Pondering().whole and (whole.system.n, whole.system.m) == (3, 2)
    assert whole.box == Box((-2, -2, -3), (2, 2, 3))
    assert (whole.equilibrium.tolist(), whole.control_equilibrium.tolist()) == ([0.0, 0.0, 0.5], [0.0, 0.0])


def test_by_default_the_linear_feedback_leaves_the_memory_alone() -> None:
    """z' = w at the cost of z² + w² is best left to decay at the rate of 1, and the cart to its own feedback."""
    K, P = Pondering().linear_feedback()
    k, p = toys.Cart().linear_feedback()
    torch.testing.assert_close(K, torch.block_diag(k, torch.ones(1, 1)))
    torch.testing.assert_close(P, torch.block_diag(p, torch.ones(1, 1)))


def test_a_training_is_the_same_again_and_is_rebuilt(tmp_path: Path) -> None:
    runs = [train(Pondering(), seed=3, out=tmp_path / name) for name in ("one", "other")]
    weights = [run.policy_weights() for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    statement = rebuild(runs[0]).statements["stability"]
    assert statement.system(torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64)).tolist() == [0.0, 0.0, 0.0]
    assert statement.system.plant.memory is OWN
