"""`prove`: a margin is positive on the part of a box that side conditions leave."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ctrlnet.checker import check_bytes
from ctrlnet.errors import UsageError
from ctrlnet.graph import Graph, evaluate, trace
from ctrlnet.prover.budget import Budget, budget_of
from ctrlnet.prover.certificate import certificate_bytes, corners, graph_document
from ctrlnet.prover.forest import EXCLUDED, OPEN, PROVED, Forest
from ctrlnet.prover.points import upper_bounds
from ctrlnet.prover.search import BATCH
from ctrlnet.prover.slope import slope_bounds
from ctrlnet.prover.verdict import Verdict, leaves_of
from ctrlnet.sets import Box

Margin = Callable[[Tensor], Tensor]
STATES = 64


def prove(margin: Margin, box: Box, *, where: Sequence[Margin] = (), budget: Budget | None = None) -> Verdict:
    """Prove margin(x) > 0 for every x of the box with w(x) <= 0 for every w in `where`.

    Args:
        margin: maps (..., n) to (...), any torch function of the primitives.
        box: the region.
        where: side conditions, functions (..., n) to (...); none means the whole box.
        budget: limits of the search.

    Errors: UsageError, ShapeError, TraceError, NonFinite for what cannot be meant. A false claim is a verdict.
    """
    if not isinstance(box, Box):
        raise UsageError(f"box is {box!r}; give ctrlnet.Box(lower, upper).")
    if callable(where):
        raise UsageError("where is one function; give a sequence of them, as in where=(w,).")
    names = ["margin", *(f"where{i}" for i in range(len(where)))]
    graph, nodes = _traced((margin, *where), names, box)
    search = _Search(graph, nodes, box, budget_of(budget))
    search.run()
    sides = f" with {len(where)} side condition{'s' * (len(where) > 1)}" if where else ""
    return search.verdict(names, f"margin(x) > 0 for every x in {box}{sides}.")


def _traced(functions: Sequence[Margin], names: Sequence[str], box: Box) -> tuple[Graph, list[int]]:
    states = box.sample(STATES, torch.Generator().manual_seed(0))
    graph = Graph(box.dimension)
    nodes = []
    for function, name in zip(functions, names, strict=True):
        traced, output = trace(function, box.dimension, states, (), name)
        nodes += traced.copy_into(graph, [output], graph.input)
    return graph, nodes


class _Search:
    """Split every open box until none is left, a state refutes the claim, or the budget is spent."""

    def __init__(self, graph: Graph, nodes: list[int], box: Box, budget: Budget):
        self.graph, self.nodes, self.box, self.budget = graph, nodes, box, budget
        self.started, self.bounded, self.seconds = time.perf_counter(), 0, 0.0
        self.counterexample: Tensor | None = None
        self.forest = Forest(box.lower[None], box.upper[None])
        self.guide = torch.zeros(1, box.dimension, dtype=torch.float64)
        self._classify(torch.zeros(1, dtype=torch.int64))

    def run(self) -> None:
        while self.counterexample is None and len(boxes := self._open()) and self._affordable():
            axis = self.guide[boxes].masked_fill(~self.forest.splittable(boxes), -torch.inf).argmax(-1)
            children = self.forest.split(boxes, axis)
            self.guide = torch.cat((self.guide, self.guide[boxes].repeat_interleave(2, 0)))
            self._classify(children)
        self.seconds = time.perf_counter() - self.started

    def _open(self) -> Tensor:
        boxes = (self.forest.kind == OPEN).nonzero().flatten()
        return boxes[self.forest.splittable(boxes).any(-1)][-BATCH:]  # the newest first: the queue stays short

    def _affordable(self) -> bool:
        return time.perf_counter() - self.started < self.budget.seconds and self.bounded < self.budget.boxes

    def _classify(self, boxes: Tensor) -> None:
        lower, upper = self.forest.lower[boxes], self.forest.upper[boxes]
        margin, *sides = slope_bounds(self.graph, self.nodes, lower, upper)
        self.bounded += len(boxes)
        outside = torch.stack(
            [torch.zeros(len(boxes), dtype=torch.bool), *((s.range.lower[:, 0] > 0) for s in sides)]
        ).any(0)
        proved = margin.range.lower[:, 0] > 0
        kind = torch.where(proved, PROVED, torch.where(outside, EXCLUDED, OPEN))
        self.forest.kind[boxes] = kind.to(torch.int8)
        slopes = margin.terms[:, 1:, 0].abs().nan_to_num(0.0)
        share = (upper - lower) / (self.box.upper - self.box.lower)
        floor = margin.remainder.nan_to_num(0.0, 0.0, 0.0) + 0.1 * slopes.sum(-1, keepdim=True) + 1e-300
        self.guide[boxes] = slopes + floor * share
        rest = (kind == OPEN).nonzero().flatten()
        self._falsify(0.5 * lower[rest] + 0.5 * upper[rest])

    def _falsify(self, x: Tensor) -> None:
        """A sampled state that seems to refute the claim counts when interval arithmetic says so too."""
        if not len(x):
            return
        margin, *sides = (part[:, 0] for part in evaluate(self.graph, self.nodes, x))
        bad = torch.stack([margin <= 0, *(side <= 0 for side in sides)]).all(0)
        for state in x[bad][:16]:
            if all(bound <= 0 for bound in upper_bounds(self.graph, self.nodes, state)):
                self.counterexample = state
                return

    def verdict(self, names: Sequence[str], words: str) -> Verdict:
        verdict = Verdict("undecided", words, boxes=self.bounded, seconds=self.seconds, leaves=leaves_of(self.forest))
        if (x := self.counterexample) is not None:
            reason = f"The margin is not positive at x = {x.tolist()}."
            return replace(verdict, status="falsified", reason=reason, counterexample=x)
        if (self.forest.kind == OPEN).any():
            return replace(verdict, reason=f"Boxes were left open: {self.budget.spent(self.seconds, self.bounded)}.")
        data = self._certificate(names)
        report = check_bytes(data)
        if not report.ok:
            return replace(verdict, reason=f"The checker did not confirm the proof: {report.reason}", report=report)
        return replace(verdict, status="certified", statement=report.statement, report=report, certificate=data)

    def _certificate(self, names: Sequence[str]) -> bytes:
        box = corners(self.box.lower, self.box.upper)
        statement = {"kind": "positivity", "box": box, "where": list(names[1:])}
        graphs = {name: graph_document(self.graph, node) for name, node in zip(names, self.nodes, strict=True)}
        return certificate_bytes(statement, graphs, {"interior": self.forest.encode(0)}, {})
