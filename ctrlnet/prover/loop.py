"""A closed loop with its candidate and its equilibrium, in exact arithmetic: what the proof near x* is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from torch import Tensor

from ctrlnet.graph import Graph, jacobian
from ctrlnet.prover.advice import curvature, not_zero
from ctrlnet.prover.equilibrium import Neighbourhood, neighbourhood, refuted
from ctrlnet.prover.interval import interval_bounds
from ctrlnet.prover.model import Model
from ctrlnet.prover.ray_refutation import ray_refutation
from ctrlnet.prover.rays import Claim, Corners, ray_claim, ray_neighbourhood


@dataclass(frozen=True)
class Loop:
    """x' = F(x, d) with a decay rate, or x⁺ = F(x, d) with a share kappa lost in a step; the other one is None.

    value, field: the nodes of V and F in the model's graph.
    """

    model: Model
    value: int
    field: int
    equilibrium: tuple[Fraction, ...]
    rate: Fraction | None = None
    kappa: Fraction | None = None

    @property
    def graph(self) -> Graph:
        return self.model.graph

    @property
    def about(self) -> Tensor:
        """x* in float64."""
        return torch.tensor([float(value) for value in self.equilibrium], dtype=torch.float64)

    @cached_property
    def slope(self) -> int:
        """∇V."""
        return self.model.slope(self.value)

    @cached_property
    def hessian(self) -> list[int]:
        """The rows of Hess V."""
        return [self.graph.take(row, range(self.model.n)) for row in jacobian(self.graph, self.slope)]

    @cached_property
    def jacobian(self) -> list[int]:
        """The rows of ∂F/∂x, in Clarke's sense."""
        return [self.graph.take(row, range(self.model.n)) for row in jacobian(self.graph, self.field)]

    @cached_property
    def remains(self) -> dict[str, int]:
        """What has to be zero at the equilibrium, for every d: F (or F - x*), V, ∇V; nodes of the graph at x*."""
        graph = self.at_equilibrium
        field, value, slope = self.there([self.field, self.value, self.slope])
        if self.kappa is None:
            return {"F(x*)": field, "V(x*)": value, "∇V(x*)": slope}
        return {
            "F(x*) - x*": graph.binary("sub", field, graph.constant(self.equilibrium)),
            "V(x*)": value,
            "∇V(x*)": slope,
        }

    def there(self, nodes: Sequence[int]) -> list[int]:
        """Nodes of the graph at x*, for every d, as nodes of `at_equilibrium`."""
        graph = self.at_equilibrium
        rest = graph.take(graph.input, range(self.model.n, graph.dimension))
        return self.graph.copy_into(graph, nodes, graph.concatenate([graph.constant(self.equilibrium), rest]))

    @cached_property
    def at_equilibrium(self) -> Graph:
        """An empty graph of the same inputs, for `remains`; that all is defined at x* is left to the clause on R."""
        return Graph(self.graph.dimension, defined=True)

    @property
    def kinked(self) -> bool:
        """Whether the gradient of V is not known to exist at x*, because of a kink."""
        graph = self.at_equilibrium
        return any(
            graph.nodes[i].operation in ("step", "unit", "jump") for i in graph.reachable([self.remains["∇V(x*)"]])
        )

    def unsettled(self) -> tuple[str, bool] | None:
        """What is not identically zero at the equilibrium, in words, and whether it certainly is not zero.

        None when all vanish: x* is substituted into the graph, and what remains cancels exactly. A gradient that a kink
        of V leaves open is no matter here.
        """
        graph = self.at_equilibrium
        for name, node in self.remains.items():
            if self.vanishes(name, node):
                continue
            (found,) = interval_bounds(graph, [node], self.model.lower[None], self.model.upper[None])
            certain = bool(((found.lower > 0) | (found.upper < 0)).any())
            moved = name.startswith("F") and self.disturbed_rest
            return f"{name} {self._moved}" if moved else not_zero(self, name, node, found, certain), certain
        return None

    def vanishes(self, name: str, node: int) -> bool:
        """Whether one of `remains` is identically zero; the gradient need not be where a kink leaves it open."""
        held = self.at_equilibrium.held(node)
        return (held is not None and held.all_equal(0)) or (name == "∇V(x*)" and self.kinked)

    @property
    def _moved(self) -> str:
        """What to do where the disturbance moves x*."""
        at = ", ".join(str(value) for value in self.equilibrium)
        return (
            f"depends on the disturbance at x* = ({at}), which then is no equilibrium. Prove an UltimateBound, or "
            "write what is disturbed so that it cancels there."
        )

    @property
    def disturbed_rest(self) -> bool:
        """Whether F at x* depends on the disturbance."""
        graph = self.at_equilibrium
        field = next(iter(self.remains.values()))
        return any(graph.nodes[i].operation == "input" for i in graph.reachable([field]))

    def neighbourhood(self) -> Neighbourhood | None:
        """A box around x* on which the proof holds: by matrix inequalities, or by rays where V has a kink at x*."""
        return self._by_rays() if self.kinked else neighbourhood(self)

    @property
    def sought(self) -> str:
        """What was not found where there is no neighbourhood."""
        if self.kinked:
            return "V has a kink there, and no box around it was found on which the claim holds along all rays"
        return curvature(self) or "no box around it satisfies the matrix inequalities"

    def refuted(self) -> tuple[str, Tensor] | None:
        """Why no level is true, and a state near x* that shows it."""
        return ray_refutation(*self._rays) if self.kinked else refuted(self)

    def _by_rays(self) -> Neighbourhood | None:
        found = ray_neighbourhood(*self._rays)
        return None if found is None else Neighbourhood(found.lower, found.upper, found.trees)

    @property
    def _rays(self) -> tuple[Claim, Corners]:
        """The claim along rays from x*, and the box."""
        box, D = self.model.box, self.model.disturbance
        disturbance = None if D is None else (D.lower, D.upper)
        about = self.graph, self.value, self.field, self.equilibrium
        return ray_claim(*about, disturbance, self.rate, self.kappa), (box.lower, box.upper)
