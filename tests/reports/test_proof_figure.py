"""Figures of proofs: what is drawn tiles the slice, is counted as in the proof, and lies where V says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import QuadContourSet

from ctrlnet import (
    Box,
    Budget,
    Disturbed,
    ExponentialStability,
    NagumoInvariance,
    StayWithin,
    UltimateBound,
    UsageError,
    Verdict,
    certify,
    draw_proof,
    prove,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "stability-1.cert"
SQUARE = Box([-1, -1], [1, 1])


def field(x):
    return torch.stack([x[..., 1], -x[..., 0] - x[..., 1]], -1)


def V(x):
    return 1.5 * x[..., 0] ** 2 + x[..., 0] * x[..., 1] + x[..., 1] ** 2


def coupled(x):
    others = [x[..., 1] * x[..., 2], x[..., 0] * x[..., 2], x[..., 0] * x[..., 1]]
    return 1.9 * torch.stack(others, -1) - x


def squares(x):
    return x.square().sum(-1)


@pytest.fixture(scope="module")
def stable() -> Verdict:
    verdict = certify(ExponentialStability(V, rate=0.2), field, SQUARE)
    assert verdict.status == "certified"
    return verdict


@pytest.fixture(scope="module")
def cube() -> Verdict:
    verdict = certify(ExponentialStability(squares, rate=0.5), coupled, Box([-1, -2, -1], [1, 1, 1]))
    assert verdict.status == "certified" and len(verdict.leaves.kind) > 50
    return verdict


def drawn_area(axes) -> float:
    """Of all boxes, by the shoelace formula box by box."""
    total = 0.0
    for collection in axes.collections:
        if isinstance(collection, PathCollection):
            for path in collection.get_paths():
                corners = path.vertices.reshape(-1, 5, 2)
                total += float(np.prod(corners[:, 2] - corners[:, 0], axis=1).sum())
    return total


def labels(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_boxes_tile_the_box_and_are_counted(stable):
    (axes,) = draw_proof(stable).axes
    assert drawn_area(axes) == pytest.approx(4.0)
    for kind in ("proved", "equilibrium"):
        assert f"{kind} ({stable.leaves.kind.count(kind):,})" in labels(axes)


@pytest.mark.parametrize("at", [None, [0.0, 0.0, 0.0], [0.3, -0.7, 0.11], [1.0, 1.0, 1.0], [-1.0, -2.0, -1.0]])
@pytest.mark.parametrize(("plane", "area"), [((0, 1), 6.0), ((1, 2), 6.0), ((2, 0), 4.0)])
def test_every_slice_is_tiled_once(cube, plane, area, at):
    """Through faces and between boxes too, where a point belongs to several closed boxes."""
    (axes,) = draw_proof(cube, axes=plane, at=at).axes
    assert drawn_area(axes) == pytest.approx(area)
    assert (axes.get_xlabel(), axes.get_ylabel()) == tuple(f"x[{i}]" for i in plane)


def test_the_contour_is_the_level(cube):
    (axes,) = draw_proof(cube, axes=(0, 2), at=[0.0, 0.4, 0.0]).axes
    (contour,) = (one for one in axes.collections if isinstance(one, QuadContourSet))
    points = np.concatenate([path.vertices for path in contour.get_paths()])
    assert len(points) > 100
    assert np.square(points).sum(1) + 0.16 == pytest.approx(cube.level, abs=1e-3)


def test_a_file_gives_the_figure_of_its_verdict(stable, tmp_path):
    (one,), (other,) = draw_proof(stable).axes, draw_proof(stable.save(tmp_path / "a.cert")).axes
    assert labels(one) == labels(other) and drawn_area(one) == drawn_area(other)


def test_an_older_file_is_drawn():
    (axes,) = draw_proof(GOLDEN).axes
    assert drawn_area(axes) > 0 and "x*" in labels(axes)


def test_an_undecided_proof_shows_what_is_open():
    verdict = prove(lambda x: squares(x) + 1e-3 - x[..., 0] ** 2, SQUARE, budget=Budget(boxes=30))
    assert verdict.status == "undecided"
    (axes,) = draw_proof(verdict).axes
    assert drawn_area(axes) == pytest.approx(4.0)
    assert f"open ({verdict.leaves.kind.count('open'):,})" in labels(axes)
    assert axes.get_title().startswith("undecided")


def test_a_counterexample_is_marked():
    verdict = certify(ExponentialStability(V, rate=0.2), field, SQUARE, level=50)
    assert verdict.status == "falsified"
    (axes,) = draw_proof(verdict).axes
    (mark,) = (line for line in axes.lines if line.get_marker() == "X")
    assert [float(mark.get_xdata()[0]), float(mark.get_ydata()[0])] == verdict.counterexample.tolist()
    assert "counterexample" in labels(axes)


def test_a_slice_goes_through_the_counterexample():
    verdict = prove(lambda x: 0.5 - x[..., 2] + 0 * x[..., 0], Box([0, 0, 0], [1, 1, 1]))
    assert verdict.status == "falsified"
    (axes,) = draw_proof(verdict).axes
    assert f"x[2] = {float(verdict.counterexample[2]):.4g}" in axes.get_title()


def test_disturbances_are_coordinates():
    push = Disturbed(lambda x, d: field(x) + torch.cat([torch.zeros_like(d), d], -1), Box([-0.05], [0.05]))
    verdict = certify(UltimateBound(V, inner=0.1), push, SQUARE)
    assert verdict.status == "certified"
    (axes,) = draw_proof(verdict, axes=(0, 2)).axes
    assert axes.get_ylabel() == "d[0]" and drawn_area(axes) == pytest.approx(2 * 0.1)
    (axes,) = draw_proof(verdict, at=[0.1, 0.2]).axes
    assert "d[0] = 0" in axes.get_title() and len(labels(axes)) >= 4


def test_a_conjunction_is_drawn_part_by_part():
    inside = NagumoInvariance(lambda x: 0.5 - V(x))
    verdict = certify((inside, StayWithin(SQUARE)), lambda x: -x, SQUARE)
    assert verdict.status == "certified"
    first, second = draw_proof(verdict).axes
    assert "nagumo invariance" in first.get_title() and "h = 0" in labels(first)
    assert drawn_area(second) == 0 and labels(second) == ["face proved"]
    edges = [one for one in second.collections if isinstance(one, LineCollection)]
    assert sum(len(one.get_segments()) for one in edges) >= 4


def test_the_figure_is_saved_and_shown(stable, tmp_path):
    figure = draw_proof(stable, path=tmp_path / "proof.svg")
    assert b"<svg" in (tmp_path / "proof.svg").read_bytes()
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("axes", [(0,), (0, 0), (0, 2), (-1, 0), (0, 1, 1)])
def test_axes_that_are_none_are_refused(stable, axes):
    with pytest.raises(UsageError, match=r"0: x\[0\], 1: x\[1\]"):
        draw_proof(stable, axes=axes)


def test_a_point_of_the_wrong_shape_is_refused(stable):
    with pytest.raises(UsageError, match="give a state, 2 numbers"):
        draw_proof(stable, at=[0.0, 0.0, 0.0])


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no certificate that can be read"):
        draw_proof(tmp_path / "none.cert")
    with pytest.raises(UsageError, match="no boxes to draw"):
        draw_proof(Verdict("undecided", "words", "a reason"))
    faces = certify(StayWithin(SQUARE), field, SQUARE)
    assert faces.status != "certified"
    with pytest.raises(UsageError, match="faces of a box"):
        draw_proof(faces)
