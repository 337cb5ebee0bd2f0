"""What to do about a V or an F that does not suit the proof: sentences, which decide nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ctrlnet.graph import Graph
from ctrlnet.prover.disturbances import joined
from ctrlnet.prover.interval import Interval, interval_bounds

if TYPE_CHECKING:
    from ctrlnet.prover.claims import Claim
    from ctrlnet.prover.loop import Loop
    from ctrlnet.prover.search import Search

ROUNDINGS = 1e-5  # what does not vanish and is smaller may come of numbers that were rounded to float32
SINGULAR = 1e-9  # of the largest eigenvalue; and of bounds that are taken for numbers
SWITCHES = ("step", "select", "floor")

ELSEWHERE = (
    "If the equilibrium is elsewhere, give it to the condition, at=(...), or shift the coordinates so that it is the "
    "origin."
)
ROUNDED = (
    "So small a rest comes of rounded numbers: a float32 0.1 is not the float64 0.1, and sin of a rounded π is not 0. "
    'Give all numbers in float64, or declare decimals, exact("0.1"), x* too; where neither helps shift the coordinates '
    "so that the equilibrium is the origin."
)
JUMPING = (
    "F jumps there, by a sign, a floor or a comparison, so no subtraction makes it 0: prove UltimateBound(V, inner), "
    "or write a steep continuous function in place of the jump, such as torch.clamp(k * x, -1, 1)."
)
MINIMUM = (
    "Write a V that has its minimum there, such as |net(x) - net(x*)|² + (x - x*)ᵀP(x - x*), or prove UltimateBound(V, "
    "inner)."
)
REMEDIES = {
    "F": f"{ELSEWHERE} Otherwise subtract the value at x* inside the function.",
    "V": f"Subtract the value at x* inside the function. {ELSEWHERE}",
    "∇": MINIMUM,
}
JUMPS = {
    "V": "and no such V is proved: keep wrapped angles within one turn, or give V smooth functions such as 1 - cos.",
    "F": "where the claim has to hold for all values between both sides.",
}


def not_zero(loop: Loop, name: str, node: int, found: Interval, certain: bool) -> str:
    """That one of `loop.remains` is not 0, or not known to be, and the remedy; `found` bounds it, (1, size)."""
    size = float(torch.maximum(found.upper, -found.lower).amax())
    at = f"at x* = ({', '.join(str(value) for value in loop.equilibrium)})"
    if not certain and name[0] == "F" and _jumps(loop.at_equilibrium, node):
        return f"{name} = 0 is not an identity {at}. {JUMPING}"
    remedy = ROUNDED if size < ROUNDINGS else REMEDIES[name[0]]
    if not certain:
        return f"{name} = 0 is not an identity {at}. {remedy}"
    if name[0] == "V":
        return f"{name} is {float(found.lower + found.upper) / 2:.3g} {at}, and has to be 0. {remedy}"
    also = ": x* is no minimum of V, and no subtraction makes it one" if name[0] == "∇" else ""
    return f"{name} is not 0 {at}; it is of size {size:.3g}{also}. {remedy}"


def _jumps(graph: Graph, output: int) -> bool:
    """Whether a step, a choice or a floor among the nodes of an output is taken of a constant at which it jumps."""
    for number in graph.reachable([output]):
        node = graph.nodes[number]
        held = graph.held(node.arguments[0]) if node.operation in SWITCHES else None
        whole = node.operation == "floor"
        if held is not None and any(value.denominator == 1 if whole else value == 0 for value in held.fractions):
            return True
    return False


def curvature(loop: Loop) -> str:
    """Why ∇²V(x*) satisfies no matrix inequality: it is singular, or has no value; "" where it is neither."""
    bounds = interval_bounds(
        loop.at_equilibrium, loop.there(loop.hessian), loop.model.lower[None], loop.model.upper[None]
    )
    lower, upper = (torch.cat(rows) for rows in zip(*bounds, strict=True))
    if not bool((upper - lower).isfinite().all()):
        return f"∇²V(x*) has no value{_rooted(loop)}"
    middle = 0.5 * (lower + upper)
    eigenvalues = torch.linalg.eigvalsh(0.5 * (middle + middle.mT))
    sizes = eigenvalues.abs()
    if bool(((upper - lower) > SINGULAR).any() or sizes.min() > SINGULAR * sizes.max()):
        return ""
    return (
        f"∇²V(x*) is singular, its eigenvalues between {eigenvalues[0]:.3g} and {eigenvalues[-1]:.3g}, and has to be "
        "positive definite; add a small ε|x - x*|² to V"
    )


def _rooted(loop: Loop) -> str:
    """What to write in place of a root of what is 0 at x*."""
    graph = loop.graph
    roots = [graph.nodes[i].arguments[0] for i in graph.reachable([loop.value]) if graph.nodes[i].operation == "sqrt"]
    held = [loop.at_equilibrium.held(node) for node in loop.there(roots)]
    if not any(constant is not None and 0 in constant.fractions for constant in held):
        return "; V has to be twice differentiable there"
    return (
        ", as a root has no derivative at 0; write torch.linalg.vector_norm((x - x*) @ R) with R Rᵀ = P for the root "
        "of (x - x*)ᵀP(x - x*), or prove the claim of V², which falls at twice the rate"
    )


def at_a_jump(claim: Claim, search: Search) -> str:
    """That V or F jumps in the open box of least V, where one does."""
    model, left = claim.model, search.open.of(search.open.least.argsort()[:1])
    lower, upper = (
        joined(inside[:, : model.n], whole[model.n :])
        for inside, whole in ((left.lower, model.lower), (left.upper, model.upper))
    )
    for name, remedy in JUMPS.items():
        if name in model.originals and _jump_within(*model.originals[name], lower, upper):
            return f" {name} jumps in an open box, {remedy}"
    return ""


def _jump_within(graph: Graph, output: int, lower: Tensor, upper: Tensor) -> bool:
    """Whether a step, a floor or a choice between values apart changes sides in one of the boxes (B, n + k)."""
    nodes = [node for i in graph.reachable([output]) if (node := graph.nodes[i]).operation in SWITCHES]
    asked = list(dict.fromkeys(argument for node in nodes for argument in node.arguments))
    bounds = interval_bounds(graph, asked, lower[:, : graph.dimension], upper[:, : graph.dimension])
    found = dict(zip(asked, bounds, strict=True))
    return any(
        bool(_changes(node.operation, *(found[argument] for argument in node.arguments)).any())
        for node in nodes
        if graph.depends(node.arguments[0])
    )


def _changes(operation: str, a: Interval, *branches: Interval) -> Tensor:
    """Which entries of a switch over a, and between branches, take values of both sides."""
    if operation == "floor":
        return a.upper.floor() >= a.lower.ceil()
    change = (a.lower <= 0) & (a.upper >= 0)
    if branches:
        one, other = branches
        change = change & ((one.lower > other.upper) | (other.lower > one.upper))
    return change
