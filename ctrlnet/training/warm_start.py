"""A policy that starts as the saturated linear feedback of the linearised plant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ctrlnet.policies import DynamicPolicy, Feedback, FlowPolicy
from ctrlnet.training.finite import check_finite
from ctrlnet.training.states import StateSampler
from ctrlnet.types import Field


@final
@dataclass(frozen=True)
class LinearFeedback:
    """The feedback  u* - K (x - x*),  as a start for policies and as their measure near the equilibrium.

    Attributes:
        gain: K, (m, n).
        at: x*, (n,).
        control_at: u*, (m,).
        limit: half the range of each control, or another typical size of it, (m,).
    """

    gain: Tensor
    at: Tensor
    control_at: Tensor
    limit: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Controls (..., m) at states (..., n)."""
        return self.control_at - (x - self.at) @ self.gain.T

    def imitated(self, policy: nn.Module, states: StateSampler, *, steps: int, batch: int) -> float:
        """Fit a policy to the feedback cut off at twice the limits; the last mean square error over limit².

        A network fits the cut-off feedback better than the unlimited one, whose values far out never act. States are
        drawn over the box and near the equilibrium, two to one.

        Raises:
            NonFinite: the error is NaN or infinite.
        """
        raw, error = unsaturated(policy), torch.zeros(())
        optimizer = torch.optim.Adam(policy.parameters(), lr=5e-3)
        for step in range(1, steps + 1):
            x = torch.cat([states.uniform(batch - batch // 3), states.near(batch // 3)])
            low, high = self.control_at - 2 * self.limit, self.control_at + 2 * self.limit
            wanted = torch.maximum(torch.minimum(self(x), high), low)
            error = ((raw(x) - wanted) / self.limit).square().mean()
            check_finite({"imitation": error}, step)
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        return error.item()

    def deviation(self, policy: nn.Module, x: Tensor, shrink: float = 0.025) -> Tensor:
        """Mean of `deviations` over the states x, (k, n): a scalar."""
        return self.deviations(policy, x, shrink).mean()

    def deviations(self, policy: nn.Module, x: Tensor, shrink: float = 0.025) -> Tensor:
        """|π(y) - u* + K (y - x*)|² / |y - x*|²  at  y = x* + shrink (x - x*); x is (k, n), the result (k,).

        It holds the linearised loop near the linear feedback. Without it nothing keeps a trained gain from growing
        until no real control rate can follow it.
        """
        step = shrink * (x - self.at)
        error = unsaturated(policy)(self.at + step) - self(self.at + step)
        return error.square().sum(-1) / step.square().sum(-1)


def unsaturated(policy: nn.Module) -> Field:
    """The policy before its saturation, sharing its weights, where it is one of ctrlnet's; otherwise the policy itself.

    A saturated control has no gradient, so a policy that starts with the wrong sign could never leave its limit.
    """
    return policy.unsaturated if isinstance(policy, (DynamicPolicy, Feedback, FlowPolicy)) else policy
