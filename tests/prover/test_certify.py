"""True statements are certified, with known levels; verdicts, budgets and misuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ctrlnet import (
    Box,
    Budget,
    ExponentialStability,
    NeuralCandidate,
    Quadratic,
    certify,
    check,
    exact,
    mlp,
    prove,
    timed,
)
from ctrlnet.errors import NonFinite, UsageError
from ctrlnet.prover import claim_of
from ctrlnet.prover.falsifier import Falsifier
from tests.prover.plants import neural_loop, pendulum, policy_network, quadratic

UNIT = Box([-1.0, -1.0], [1.0, 1.0])
Margin = Callable[[Tensor], Tensor]


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def test_the_level_of_a_linear_system_is_where_the_ball_meets_the_box() -> None:
    verdict = certify(ExponentialStability(squares, 1.0), lambda x: -x, UNIT)
    assert verdict.status == "certified"
    assert 0.99 <= verdict.level < 1.0


def test_the_level_of_the_reversed_van_der_pol_cycle_stays_inside_it() -> None:
    """x₁' = -x₂, x₂' = x₁ - (1 - x₁²) x₂: the largest circle on which |x|² falls has radius 1 (V̇ = -2 x₂² (1 - x₁²)),

    and along x₂ = 0 it does not fall at any rate, so V needs a cross term: V = x₁² + x₂² - x₁ x₂.
    """

    def field(x: Tensor) -> Tensor:
        return torch.stack([-x[..., 1], x[..., 0] - (1 - x[..., 0].square()) * x[..., 1]], -1)

    def V(x: Tensor) -> Tensor:
        return x.square().sum(-1) - x[..., 0] * x[..., 1]

    verdict = certify(ExponentialStability(V, exact("0.05")), field, Box([-3.0, -3.0], [3.0, 3.0]))
    assert verdict.status == "certified"
    assert verdict.level >= 0.97 * verdict.sampled_level
    assert verdict.level < 3.0  # the limit cycle passes through |x| of about 2


def test_a_cubic_field_has_its_level_at_the_known_radius() -> None:
    """x' = -x + x³ in one dimension: V = x² falls at rate 0.1 exactly for 2(1 - x²) > 0.1, so the level is 0.95."""
    verdict = certify(
        ExponentialStability(lambda x: x[..., 0].square(), exact("0.1")), lambda x: x**3 - x, Box([-2.0], [2.0])
    )
    assert verdict.status == "certified"
    assert 0.985 * 0.95 <= verdict.level < 0.95
    assert verdict.sampled_level >= 0.95


@pytest.mark.parametrize("activation", [torch.nn.Tanh, torch.nn.ReLU])
def test_a_neural_policy_on_the_pendulum(activation: type[torch.nn.Module], tmp_path: Path) -> None:
    """The pilot's case: 2-16-16-1, quadratic V, continuous time, rate 0.1, no hole."""
    loop = neural_loop(policy_network(0, activation))
    verdict = certify(ExponentialStability(quadratic, exact("0.1")), loop, Box([-3.0, -12.0], [3.0, 12.0]))
    assert verdict.status == "certified", verdict.reason
    assert verdict.level >= 0.97 * verdict.sampled_level
    assert {"proved", "equilibrium"} <= set(verdict.leaves.kind) <= {"proved", "excluded", "equilibrium"}
    path = verdict.save(tmp_path / "V.cert")
    assert check(path).ok
    assert path.stat().st_size < 20_000


def test_a_neural_candidate_on_the_pendulum() -> None:
    factor = torch.linalg.cholesky(torch.tensor([[4.5, 0.25], [0.25, 0.08]], dtype=torch.float64))
    network = mlp([2, 8, 4], seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 0.1
    candidate = NeuralCandidate(network, factor @ factor.T).requires_grad_(False)
    verdict = certify(ExponentialStability(candidate, exact("0.1")), pendulum, Box([-2.0, -8.0], [2.0, 8.0]))
    assert verdict.status == "certified", verdict.reason
    assert verdict.level >= 0.97 * verdict.sampled_level


def test_a_relu_kink_at_the_equilibrium_takes_both_sides() -> None:
    """x₁' = -x₁ - relu(x₁), x₂' = -x₂ + relu(-x₂)/2: both slopes are stable, so the hull proves it."""

    def field(x: Tensor) -> Tensor:
        return torch.stack([-x[..., 0] - torch.relu(x[..., 0]), -x[..., 1] + 0.5 * torch.relu(-x[..., 1])], -1)

    assert certify(ExponentialStability(squares, 0.5), field, UNIT).status == "certified"


def test_an_equilibrium_away_from_the_origin_with_decimal_coordinates() -> None:
    at = (exact("0.1"), exact("-0.3"))

    def deviation(x: Tensor) -> Tensor:
        return torch.stack([x[..., 0] - at[0], x[..., 1] - at[1]], -1)

    condition = ExponentialStability(lambda x: squares(deviation(x)), 1.0, at=at)
    verdict = certify(condition, lambda x: -deviation(x), UNIT)
    assert verdict.status == "certified"
    assert verdict.level == pytest.approx(0.49, rel=0.01)


def test_a_fixed_level_is_certified_or_refuted() -> None:
    condition = ExponentialStability(squares, 1.0)
    assert certify(condition, lambda x: -x, UNIT, level=0.5).level == 0.5
    assert certify(condition, lambda x: -x, UNIT, level=1.5).status == "falsified"


def test_a_budget_ends_with_the_level_proved_so_far() -> None:
    condition = ExponentialStability(quadratic, exact("0.1"))
    box = Box([-2.0, -8.0], [2.0, 8.0])
    full, short = certify(condition, pendulum, box), certify(condition, pendulum, box, budget=Budget(boxes=30))
    assert short.boxes < full.boxes
    assert short.status == "undecided" or short.level <= full.level


def test_what_was_split_for_a_higher_level_is_no_part_of_the_proof() -> None:
    """A wrapped angle jumps at π, where boxes are split for as long as the budget lasts; the level ends below."""

    def field(x: Tensor) -> Tensor:
        return torch.stack([x[..., 1], -torch.atan2(x[..., 0].sin(), x[..., 0].cos()) - x[..., 1]], -1)

    V = Quadratic(torch.tensor([[1.5, 0.5], [0.5, 1.0]], dtype=torch.float64))
    verdict = certify(ExponentialStability(V, 0.1), field, Box([-5, -5], [5, 5]), budget=Budget(boxes=40_000))
    assert verdict.status == "certified" and verdict.boxes >= 40_000
    assert 12.3 < verdict.level < 1.25 * math.pi**2  # the least V where x₁ = π
    assert verdict.report is not None and verdict.report.leaves < 1000


def test_the_same_call_gives_the_same_certificate() -> None:
    condition = ExponentialStability(quadratic, exact("0.1"))
    box = Box([-2.0, -8.0], [2.0, 8.0])
    assert certify(condition, pendulum, box).certificate == certify(condition, pendulum, box).certificate


def test_prove_a_margin_with_side_conditions() -> None:
    """4 - |x|² > 0 where |x|² <= 3.9, and nowhere further than that."""
    box = Box([-3.0, -3.0], [3.0, 3.0])
    verdict = prove(lambda x: 4 - squares(x), box, where=(lambda x: squares(x) - 3.9,))
    assert verdict.status == "certified"
    false = prove(lambda x: 4 - squares(x), box, where=(lambda x: squares(x) - 4.1,))
    assert false.status == "falsified"
    assert 4 <= squares(false.counterexample) <= 4.1


def test_prove_a_bound_of_sine_to_nine_digits() -> None:
    """sin x > x - x³/6 - 1e-9 on [0, 1] with x - x³/6 below sin x: a tight, smooth inequality."""
    box = Box([0.0], [1.0])
    margin = exact("1e-9")
    verdict = prove(lambda x: torch.sin(x[..., 0]) - x[..., 0] + x[..., 0] ** 3 * exact("1/6") + margin, box)
    assert verdict.status == "certified"


def test_a_margin_that_does_not_depend_on_the_state() -> None:
    assert prove(lambda x: x[..., 0] * 0 + 1, UNIT).status == "certified"
    assert prove(lambda x: x[..., 0] * 0 - 1, UNIT).status == "falsified"


def test_a_true_level_next_to_the_boundary_is_not_refuted() -> None:
    """c² rounds to below the true square, so V > level on the boundary by less than a rounding."""
    c = 1.6369316044104538
    assert Fraction(c * c) < Fraction(c) ** 2
    verdict = certify(ExponentialStability(squares, 0.1), lambda x: -x, Box([-c], [c]), level=c * c)
    assert verdict.status != "falsified"


def test_an_equilibrium_that_is_no_float_is_not_refuted_by_its_rounding() -> None:
    third, near = exact("1/3"), 0.333251953125

    def field(x: Tensor) -> Tensor:
        return 1 - torch.exp(1e6 * (3 * (x - near) - (1 - 3 * near)) + 1) * torch.exp(torch.tensor(-1.0, dtype=x.dtype))

    condition = ExponentialStability(lambda x: (x - third).square().sum(-1), 0.1, (third,))
    assert certify(condition, field, Box([0.3333], [0.33335])).status != "falsified"


def test_levels_and_equilibria_of_other_number_types() -> None:
    for level in (Fraction(1, 2), torch.tensor(0.5), exact("0.5")):
        assert certify(ExponentialStability(squares, 1.0), lambda x: -x, UNIT, level=level).level == 0.5
    at = torch.zeros(2, dtype=torch.float64)
    assert certify(ExponentialStability(squares, 1.0, at), lambda x: -x, UNIT, level=0.5).status == "certified"


def test_a_square_that_touches_zero_is_refuted_at_once() -> None:
    verdict = prove(lambda x: x[..., 0] ** 2, Box([-3.0], [3.0]))
    assert verdict.status == "falsified" and verdict.boxes < 10
    assert verdict.counterexample.tolist() == [0.0]


def test_a_level_set_that_just_touches_the_boundary_is_refuted() -> None:
    verdict = certify(ExponentialStability(squares, 0.1), lambda x: -x, UNIT, level=1.0)
    assert verdict.status == "falsified"
    assert squares(verdict.counterexample) == 1.0


@pytest.mark.parametrize(
    ("V", "rate", "word"), [(lambda x: -squares(x), 0.1, "negative"), (squares, 5.0, "rate"), (squares, 2.5, "rate")]
)
def test_what_fails_near_the_equilibrium_is_refuted_by_a_state_on_the_ray(V: Margin, rate: float, word: str) -> None:
    verdict = certify(ExponentialStability(V, rate), lambda x: -x, UNIT)
    assert verdict.status == "falsified" and word in verdict.reason
    x = verdict.counterexample
    assert V(x) < 0 or -2 * squares(x) + rate * V(x) > 0


def test_a_certified_verdict_has_no_counterexample_but_a_limiting_state() -> None:
    verdict = certify(ExponentialStability(squares, 0.1), lambda x: -x, UNIT)
    assert verdict.status == "certified" and verdict.counterexample is None
    assert squares(verdict.limiting_state) == verdict.sampled_level
    assert str(verdict).startswith("certified, level 0.99")


def test_an_undecided_verdict_says_which_limit_was_reached() -> None:
    condition = ExponentialStability(quadratic, exact("0.1"))
    box = Box([-2.0, -8.0], [2.0, 8.0])
    assert "12 boxes" in certify(condition, pendulum, box, level=1.0, budget=Budget(boxes=12)).reason
    assert "1e-09 s" in certify(condition, pendulum, box, level=1.0, budget=Budget(seconds=1e-9)).reason
    equality = certify(ExponentialStability(squares, 2.0), lambda x: -x, UNIT)  # holds with equality everywhere
    assert equality.status == "undecided"


def test_a_kink_of_V_at_the_equilibrium_is_named() -> None:
    turning = certify(
        ExponentialStability(lambda x: x.abs().sum(-1), 0.1), lambda x: torch.stack([x[..., 1], -x[..., 0]], -1), UNIT
    )
    assert turning.status != "certified" and "kink" in turning.reason


MISUSE = {
    "a box that is none": lambda: certify(ExponentialStability(squares, 1.0), lambda x: -x, ([-1.0], [1.0])),
    "a side condition that is no sequence": lambda: prove(squares, UNIT, where=squares),
    "a level as text": lambda: certify(ExponentialStability(squares, 1.0), lambda x: -x, UNIT, level="1"),
    "a negative budget": lambda: Budget(seconds=-1),
    "a number as budget": lambda: prove(squares, UNIT, budget=5),
    "an equilibrium of another size": lambda: certify(
        ExponentialStability(squares, 1.0, (0.0,) * 3), lambda x: -x, UNIT
    ),
    "V that keeps an axis": lambda: certify(
        ExponentialStability(lambda x: x**2, 1.0), lambda x: -x, Box([-1.0], [1.0])
    ),
    "matrices that do not fit": lambda: certify(
        ExponentialStability(squares, 1.0), lambda x: x @ torch.eye(3, dtype=torch.float64), UNIT
    ),
    "a field that depends on time": lambda: certify(ExponentialStability(squares, 1.0), timed(lambda t, x: -x), UNIT),
    "a constant of 5000 digits": lambda: prove(lambda x: 1 + x[..., 0].square() * exact("1.001") ** 5000, UNIT),
    "an equilibrium outside the box": lambda: certify(
        ExponentialStability(squares, 1.0, at=(5.0, 0.0)), lambda x: -x, UNIT
    ),
    "no condition": lambda: certify(squares, lambda x: -x, UNIT),
    "a level of zero": lambda: certify(ExponentialStability(squares, 1.0), lambda x: -x, UNIT, level=0.0),
    "a level of NaN": lambda: certify(ExponentialStability(squares, 1.0), lambda x: -x, UNIT, level=math.nan),
    "a field of the wrong size": lambda: certify(ExponentialStability(squares, 1.0), lambda x: -x[..., :1], UNIT),
    "no box": lambda: prove(squares, [0.0, 1.0]),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_an_error_of_our_tree(name: str) -> None:
    with pytest.raises(UsageError):
        MISUSE[name]()


def test_nan_in_the_weights_is_named() -> None:
    network = policy_network(0)
    network[0].weight[0, 0] = math.nan
    with pytest.raises(NonFinite):
        certify(ExponentialStability(quadratic, 0.1), neural_loop(network), UNIT)


def test_a_falsified_verdict_has_nothing_to_save(tmp_path: Path) -> None:
    verdict = certify(ExponentialStability(squares, 3.0), lambda x: -x, UNIT)
    assert verdict.status == "falsified"
    with pytest.raises(UsageError, match="no certificate"):
        verdict.save(tmp_path / "V.cert")
    assert not list(tmp_path.iterdir())


def test_the_certificate_holds_rates_as_declared() -> None:
    verdict = certify(ExponentialStability(squares, exact("0.1")), lambda x: -x, UNIT)
    assert b'"rate":"1/10"' in verdict.certificate
    assert Fraction(1, 10) != Fraction(0.1)


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="abacus"):
        Budget(device="abacus")


@pytest.mark.cuda
def test_boxes_are_bounded_on_a_gpu() -> None:
    """The order of summation differs there, so that single boxes may be split otherwise; the claim does not."""
    condition, box, loop = ExponentialStability(quadratic, exact("0.1")), Box([-3.0, -12.0], [3.0, 12.0]), neural_loop
    here = certify(condition, loop(policy_network(0)), box)
    there = certify(condition, loop(policy_network(0)), box, budget=Budget(device="cuda"))
    assert there.status == "certified"
    assert there.level == pytest.approx(here.level, rel=1e-3)


def test_the_sampled_level_in_six_dimensions_is_near_the_known_one() -> None:
    """x' = -(1 - a·x) x, V = |x|², rate 1/10: violated exactly where a·x >= 0.95, so first at V = (0.95 / |a|)²."""
    a = torch.tensor([0.6, -0.5, 0.4, 0.5, -0.4, 0.6], dtype=torch.float64)
    condition = ExponentialStability(squares, exact("0.1"))
    box, known = Box([-1.0] * 6, [1.0] * 6), (0.95 / float(a.norm())) ** 2
    claim = claim_of(condition, lambda x: ((x * a).sum(-1, keepdim=True) - 1) * x, box)
    falsifier = Falsifier(claim.problem, None)
    falsifier.sample()
    assert known <= falsifier.sampled < 1.02 * known
    x = falsifier.worst
    assert x is not None and float((x * a).sum()) >= 0.95 and falsifier.ceiling == pytest.approx(float(squares(x)))
    refuted = Falsifier(claim.problem, 1.03 * known)
    refuted.sample()
    assert refuted.refuted
