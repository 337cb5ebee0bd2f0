"""Figures of proofs: what is drawn tiles the slice, is counted as in the proof, and lies where V says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.contour import QuadContourSet

from ctrlnet import (
    BarrierInvariance,
    Box,
    Budget,
    ClosedLoop,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    StayWithin,
    System,
    UltimateBound,
    UsageError,
    Verdict,
    certify,
    draw_proof,
    prove,
)
from ctrlnet.checker.kinds import KINDS
from ctrlnet.prover.verdict import Leaves
from ctrlnet.reports.proof_picture import EXCLUDED

GOLDEN = Path(__file__).parents[1] / "golden" / "stability-1.cert"
SQUARE = Box([-1, -1], [1, 1])


def field(x):
    return torch.stack([x[..., 1], -x[..., 0] - x[..., 1]], -1)


def V(x):
    return 1.5 * x[..., 0] ** 2 + x[..., 0] * x[..., 1] + x[..., 1] ** 2


def coupled(x):
    others = [x[..., 1] * x[..., 2], x[..., 0] * x[..., 2], x[..., 0] * x[..., 1]]
    return 1.9 * torch.stack(others, -1) - x


def cart(x):
    return torch.stack([x[..., 1], -8 * x[..., 0] - 8 * x[..., 1]], -1)


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
    assert set(labels(one)) - set(labels(other)) == {"limiting state"}, "the file does not hold that state"
    assert drawn_area(one) == drawn_area(other)


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


@pytest.mark.parametrize("level", [0.7, None])
def test_a_proof_that_is_open_shows_the_level_asked_for(level):
    verdict = certify(ExponentialStability(V, rate=0.2), field, SQUARE, level=level, budget=Budget(boxes=3))
    assert verdict.status == "undecided" and verdict.leaves is not None
    (axes,) = draw_proof(verdict).axes
    contours = [one for one in axes.collections if isinstance(one, QuadContourSet)]
    assert len(contours) == (level is not None) == ("V = 0.7 (level)" in labels(axes))
    for contour in contours:
        points = torch.tensor(np.concatenate([path.vertices for path in contour.get_paths()]))
        assert V(points).numpy() == pytest.approx(level, abs=1e-3)


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
    assert drawn_area(second) == 0 and labels(second) == ["face proved (4)"]
    edges = [one for one in second.collections if isinstance(one, LineCollection)]
    assert sum(len(one.get_segments()) for one in edges) >= 4


def test_parts_stand_in_rows_and_one_without_boxes_is_told_in_words():
    unstable = ExponentialStability(V, rate=50)
    inside = NagumoInvariance(lambda x: 0.5 - V(x))
    verdict = certify((inside, StayWithin(SQUARE), inside, unstable), lambda x: -x, SQUARE)
    assert verdict.status == "falsified" and verdict.parts[3].leaves is None
    figure = draw_proof(verdict)
    assert len(figure.axes) == 4 and figure.get_figwidth() < 20 and figure.get_figheight() > 10
    assert figure.axes[3].get_title().startswith("falsified: ") and drawn_area(figure.axes[2]) == pytest.approx(4.0)


@pytest.mark.parametrize("axes", [(0,), (0, 1)])
def test_one_coordinate_is_drawn_with_the_function(axes):
    verdict = certify(ExponentialStability(squares, rate=0.5), lambda x: x**3 - x, Box([-1.5], [1.5]))
    assert verdict.status == "certified"
    (drawn,) = draw_proof(verdict, axes=axes).axes
    (curve,) = (line for line in drawn.lines if len(line.get_xdata()) > 2)
    assert curve.get_ydata() == pytest.approx(np.square(curve.get_xdata()))
    assert drawn_area(drawn) == pytest.approx(3.0 * 1.5**2) and f"V = {verdict.level:.4g} (level)" in labels(drawn)
    assert "face excluded (2)" in labels(drawn)


def test_one_coordinate_without_function_is_drawn():
    verdict = certify(StayWithin(Box([-1], [1])), lambda x: -x, Box([-2], [2]))
    (axes,) = draw_proof(verdict).axes
    assert labels(axes) == ["face proved (2)"]


def many(tree: str, n: int) -> Verdict:
    """An unfinished proof with these boxes over [-1, 1]ⁿ."""
    corner = torch.ones(1, n)
    return Verdict("undecided", "words", "a reason", leaves=Leaves(-corner, corner, ["open"]), trees={"interior": tree})


def test_a_hundred_thousand_boxes_in_eight_dimensions_are_one_picture():
    tree = "o"
    for axis in range(17):
        tree = "ABCDEFGH"[axis % 8] + tree + tree
    (axes,) = draw_proof(many(tree, 8), axes=(2, 5)).axes
    assert "open (131,072)" in labels(axes) and drawn_area(axes) == pytest.approx(4.0)
    assert "16 of 131,072 boxes in this plane" in axes.get_title()
    assert sum(f"x[{i}] = 0" in axes.get_title() for i in range(8)) == 6


def test_a_chain_of_barriers_shows_both_boundaries():
    walls = HighOrderInvariance(lambda x: 1 - x[..., 0] ** 2, rates=(4, 4))
    verdict = certify(walls, cart, Box([-1.5, -2], [1.5, 2]))
    assert verdict.status == "certified"
    (axes,) = draw_proof(verdict).axes
    assert {"h = 0", "ψ₁ = 0"} <= set(labels(axes))
    chain = [one for one in axes.collections if isinstance(one, QuadContourSet)][1]
    points = np.concatenate([path.vertices for path in chain.get_paths()])
    psi = -2 * points[:, 0] * points[:, 1] + 4 * (1 - points[:, 0] ** 2)
    assert len(points) > 100 and psi == pytest.approx(0, abs=1e-3)


def test_a_chain_under_a_force_shows_both_boundaries_in_every_plane():
    walls = HighOrderInvariance(lambda x: 1 - x[..., 0] ** 2, rates=(4, 4))
    pushed = Disturbed(lambda x, d: cart(x) + torch.cat([torch.zeros_like(d), d], -1), Box([-2], [2]))
    verdict = certify(walls, pushed, Box([-1.5, -2], [1.5, 2]))
    assert verdict.status == "certified"
    (still,) = draw_proof(certify(walls, cart, Box([-1.5, -2], [1.5, 2]))).axes
    (axes,) = draw_proof(verdict).axes
    (other,) = draw_proof(verdict, axes=(0, 2), at=[0, 0.5, 1]).axes
    assert {"h = 0", "ψ₁ = 0"} <= set(labels(axes)) & set(labels(other))
    one, two = (
        [part for part in shown.collections if isinstance(part, QuadContourSet)][1].get_paths()[0].vertices
        for shown in (still, axes)
    )
    assert one == pytest.approx(two)


def test_both_trees_of_a_bound_from_step_to_step_are_drawn():
    push = Box([-0.05], [0.05])
    shaken = DiscreteMap(lambda x, d: 0.5 * x + torch.cat([torch.zeros_like(d), d], -1), push)
    verdict = certify(UltimateBound(V, inner=0.2), shaken, SQUARE)
    assert verdict.status == "certified"
    whole, inner = draw_proof(verdict).axes
    assert whole.get_title().startswith("certified: discrete ultimate bound, interior")
    assert any(label.startswith("excluded, V > inner") for label in labels(inner))
    assert drawn_area(whole) == drawn_area(inner) == pytest.approx(4.0)


def test_side_conditions_are_told_apart():
    verdict = prove(squares, SQUARE, where=(lambda x: 0.1 - squares(x), lambda x: squares(x) - 0.5))
    assert verdict.status == "certified"
    (axes,) = draw_proof(verdict).axes
    handles = {handle.get_label(): handle for handle in axes.get_legend().get_lines()}
    assert handles["where0 = 0"].get_linestyle() != handles["where1 = 0"].get_linestyle()
    assert any(label.startswith("excluded, a side condition fails") for label in labels(axes))


def barrier(x):
    return 0.5 - V(x)


PLANT = System(
    lambda x: torch.stack([x[..., 1], torch.sin(x[..., 0])], -1),
    lambda x: torch.stack([torch.zeros_like(x[..., :1]), torch.ones_like(x[..., :1])], -2),
    state=[("angle", "rad"), ("speed", "rad/s")],
    control=[("torque", "N m")],
    limits=Box([-3], [3]),
)
HELD = ClosedLoop(PLANT, lambda x: -2 * x[..., :1] - x[..., 1:], period=0.05)
STEP = DiscreteMap(lambda x: 0.5 * x)
PROOFS = {
    "exponential_stability": (ExponentialStability(V, rate=0.2), field),
    "sampled_stability": (ExponentialStability(V, rate=0.1), HELD),
    "admissible_control": ((BarrierInvariance(barrier, rate=1), ExponentialStability(V, rate=0.1)), PLANT),
    "discrete_decrease": (DiscreteDecrease(V, kappa=0.1), STEP),
    "ultimate_bound": (UltimateBound(V, inner=0.1), field),
    "discrete_ultimate_bound": (UltimateBound(V, inner=0.1), STEP),
    "barrier_invariance": (BarrierInvariance(barrier, rate=1), field),
    "nagumo_invariance": (NagumoInvariance(barrier), field),
    "high_order_invariance": (HighOrderInvariance(lambda x: 0.25 - x[..., 0] ** 2, (4, 4)), cart),
    "stay_within": (StayWithin(SQUARE), lambda x: -x),
}


def test_every_kind_is_drawn_below():
    assert set(PROOFS) | {"positivity"} == set(KINDS) and set(EXCLUDED) | {"stay_within"} == set(KINDS)


@pytest.mark.parametrize("kind", PROOFS)
def test_each_kind_is_drawn(kind):
    verdict = certify(*PROOFS[kind], SQUARE, level=0.4 if kind in ("discrete_decrease", "admissible_control") else None)
    assert verdict.status == "certified", verdict
    axes = draw_proof(verdict).axes[0]
    assert axes.get_title().startswith(f"certified: {kind.replace('_', ' ')}")
    assert drawn_area(axes) == pytest.approx(0.0 if kind == "stay_within" else 4.0)
    functions = {"stay_within": set(), "admissible_control": {"V", "h0"}, "high_order_invariance": {"h", "ψ₁"}}
    shown = {label.split(" = ")[0] for label in labels(axes) if " = " in label}
    assert shown == functions.get(kind, {"h" if "invariance" in kind else "V"})
    reasons = [label for label in labels(axes) if label.startswith("excluded")]
    assert all(label.startswith(f"excluded, {EXCLUDED[kind]} (") for label in reasons)


def test_the_figure_is_saved_and_shown(stable, tmp_path):
    figure = draw_proof(stable, path=tmp_path / "proof.svg")
    assert b"<svg" in (tmp_path / "proof.svg").read_bytes()
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_a_folder_is_made_and_an_unknown_format_refused(stable, tmp_path):
    draw_proof(stable, path=tmp_path / "new" / "proof.PNG")
    assert (tmp_path / "new" / "proof.PNG").exists()
    for name in ("proof", "proof.abc"):
        with pytest.raises(UsageError, match=r"ending says the format.*png.*svg"):
            draw_proof(stable, path=tmp_path / name)


@pytest.mark.parametrize("axes", [(0,), (0, 0), (0, 2), (-1, 0), (0, 1, 1), 0])
def test_axes_that_are_none_are_refused(stable, axes):
    with pytest.raises(UsageError, match=r"0: x\[0\], 1: x\[1\]"):
        draw_proof(stable, axes=axes)


def test_a_point_of_the_wrong_shape_is_refused(stable):
    for at in ([0.0, 0.0, 0.0], "middle", 0.0, {}):
        with pytest.raises(UsageError, match="give a state, 2 numbers"):
            draw_proof(stable, at=at)


def test_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(UsageError, match="verdict or the path of a certificate; got Box"):
        draw_proof(SQUARE)
    with pytest.raises(UsageError, match="no certificate that can be read"):
        draw_proof(tmp_path / "none.cert")
    with pytest.raises(UsageError, match="no boxes to draw"):
        draw_proof(Verdict("undecided", "words", "a reason"))
    faces = certify(StayWithin(SQUARE), field, SQUARE)
    assert faces.status != "certified"
    with pytest.raises(UsageError, match="faces of a box"):
        draw_proof(faces)
