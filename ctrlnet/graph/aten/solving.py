"""Determinants, inverses and linear systems of small matrices, by cofactors (Cramer's rule).

A⁻¹ = adj(A) / det A is the exact inverse, undefined only where det A = 0, whatever pivots an elimination would meet.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch

from ctrlnet.graph.aten import traced as t
from ctrlnet.graph.aten.traced import Handler, Traced
from ctrlnet.graph.expression import Graph

aten = torch.ops.aten
LARGEST = 6  # rows of a matrix; its minors number 2^rows for every row left out


class Matrices:
    """A batch of square matrices, its entries traced one by one: entry(i, j) is a tensor over the batch."""

    def __init__(self, graph: Graph, a: Traced):
        if a.shape[-1] > LARGEST:
            raise NotImplementedError(f"a matrix of {a.shape[-1]} rows; cofactors are for at most {LARGEST}")
        self.graph, self.batch, self.rows = graph, a.shape[:-2], a.shape[-1]
        count = math.prod(self.batch)
        self.count = count
        step = self.rows * self.rows
        self.entries = [Traced(graph.take(a.node, [b * step + k for b in range(count)]), (count,)) for k in range(step)]

    def entry(self, i: int, j: int) -> Traced:
        return self.entries[i * self.rows + j]

    def minors(self, left_out: int | None) -> Any:
        """The function of columns that gives the determinant of these columns in the last rows but `left_out`."""
        rows = [i for i in range(self.rows) if i != left_out]

        @cache
        def minor(columns: tuple[int, ...]) -> Traced:
            """Laplace's expansion along the first of the rows."""
            if not columns:
                return t.filled(self.graph, 1, (self.count,))
            row = rows[len(rows) - len(columns)]
            terms = []
            for k, column in enumerate(columns):
                term = t.mul(self.graph, self.entry(row, column), minor(columns[:k] + columns[k + 1 :]))
                terms.append(t.neg(self.graph, term) if k % 2 else term)
            return t.total(self.graph, terms)

        return minor

    def determinant(self) -> Traced:
        return Traced(self.minors(None)(tuple(range(self.rows))).node, self.batch)

    def adjugate(self) -> Traced:
        """The matrix of entries (-1)^(i+j) M_ji, shape (*batch, rows, rows)."""
        n, nodes = self.rows, []
        minors = [self.minors(row) for row in range(n)]
        for i in range(n):
            columns = tuple(j for j in range(n) if j != i)
            for j in range(n):
                cofactor = minors[j](columns)
                nodes.append((t.neg(self.graph, cofactor) if (i + j) % 2 else cofactor).node)
        order = [k * self.count + b for b in range(self.count) for k in range(n * n)]
        return Traced(self.graph.take(self.graph.concatenate(nodes), order), (*self.batch, n, n))


def determinant(graph: Graph, a: Traced) -> Traced:
    return Matrices(graph, a).determinant()


def inverse(graph: Graph, a: Traced) -> Traced:
    matrices = Matrices(graph, a)
    below = matrices.determinant()
    return t.div(graph, matrices.adjugate(), Traced(below.node, (*below.shape, 1, 1)))


def _solve(graph: Graph, a: Traced, b: Traced, left: bool = True) -> Traced:
    """A⁻¹ B, or B A⁻¹; a right side of one dimension less than A is a vector."""
    vector = len(b.shape) == 1 or (len(b.shape) == len(a.shape) - 1 and b.shape == a.shape[:-1])
    right = Traced(b.node, (*b.shape, 1)) if vector else b
    factors = (inverse(graph, a), right) if left else (right, inverse(graph, a))
    solved = multiplied(graph, *factors)
    return Traced(solved.node, solved.shape[:-1]) if vector else solved


def _solve_triangular(
    graph: Graph, a: Traced, b: Traced, upper: bool, left: bool = True, unitriangular: bool = False
) -> Traced:
    """A⁻¹ B or B A⁻¹ with one triangle of A alone, the other read as zeros."""
    if unitriangular:
        raise NotImplementedError("a diagonal read as ones, unitriangular=True")
    numbers = torch.arange(1, 1 + math.prod(a.shape)).reshape(a.shape)
    triangle = (numbers.triu() if upper else numbers.tril()).reshape(-1).tolist()
    node = graph.take(graph.concatenate([graph.constant([0]), a.node]), triangle)
    return _solve(graph, Traced(node, a.shape), b, left)


def multiplied(graph: Graph, a: Traced, b: Traced) -> Traced:
    """A B over batches: Σ_k a_ik b_kj."""
    rows = Traced(a.node, (*a.shape, 1))
    columns = Traced(b.node, (*b.shape[:-2], 1, *b.shape[-2:]))
    products = t.mul(graph, rows, columns)  # (..., i, k, j)
    index = torch.arange(math.prod(products.shape)).reshape(products.shape).transpose(-1, -2)
    shape = tuple(index.shape[:-1])
    return Traced(graph.sum(graph.take(products.node, index.reshape(-1).tolist()), math.prod(shape)), shape)


def _log_determinant(graph: Graph, a: Traced) -> Any:
    value = determinant(graph, a)
    return t.positive(graph, value, 1, -1), t.log(graph, t.absolute(graph, value)), None, None


SOLVING: dict[Any, Handler] = {
    aten.linalg_solve_triangular: _solve_triangular,
    aten._linalg_det: lambda graph, a: (determinant(graph, a), None, None),
    aten._linalg_slogdet: _log_determinant,
    aten.linalg_inv_ex: lambda graph, a, check_errors=False: (inverse(graph, a), None),
    aten._linalg_solve_ex: lambda graph, a, b, left=True, check_errors=False: (
        _solve(graph, a, b, left),
        None,
        None,
        None,
    ),
}
