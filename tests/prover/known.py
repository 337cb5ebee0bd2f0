"""Certificates of every kind whose truth is known, and how far their numbers may be changed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ctrlnet import (
    BarrierInvariance,
    Box,
    ClosedLoop,
    DiscreteDecrease,
    DiscreteMap,
    Disturbed,
    ExponentialStability,
    HighOrderInvariance,
    NagumoInvariance,
    Quantity,
    StayWithin,
    System,
    UltimateBound,
    Verdict,
    certify,
    exact,
    prove,
)
from tests.prover.attack import Document
from tests.prover.mutations import (
    Change,
    a_face_proved,
    calmer,
    cut,
    doubled,
    drawn,
    exchanged,
    excluded_inside,
    fewer_faces,
    fewer_rays,
    larger_neighbourhood,
    negated,
    opened,
    parts,
    plus,
    replaced,
    reversed_weights,
    says,
    smaller,
    times,
    whole,
    without_rays,
    without_side_condition,
)
from tests.prover.plants import neural_loop, policy_network, quadratic

UNIT, LINE = Box([-1.0, -1.0], [1.0, 1.0]), Box([-1.0], [1.0])

# ---- certificates ----------------------------------------------------------------------------------------------------


def squares(x: Tensor) -> Tensor:
    return x.square().sum(-1)


def one_norm(x: Tensor) -> Tensor:
    return x.abs().sum(-1)


def disc(x: Tensor) -> Tensor:
    return 0.25 - squares(x)


def cycle(x: Tensor) -> Tensor:
    """x' = x (|x|² - 1): (|x|²)' = 2 |x|² (|x|² - 1)."""
    return x * (squares(x) - 1)[..., None]


def oscillator(x: Tensor) -> Tensor:
    return torch.stack([x[..., 1], -6 * x[..., 0] - 5 * x[..., 1]], -1)


def coupled(x: Tensor) -> Tensor:
    return 0.25 * torch.sin(x.flip(-1)) - x


def noisy(x: Tensor, d: Tensor) -> Tensor:
    return d - x


def noise(size: float, n: int) -> Box:
    return Box([-size] * n, [size] * n)


def driven(f: Callable[..., Tensor], disturbance: Box | None = None) -> System:
    """x' = f(x) + u, or x' = f(x, d) + u, with |u| <= 1."""
    state, control = (Quantity("x", "1"),), (Quantity("u", "1"),)
    limits = Box([-1.0], [1.0])

    def g(x: Tensor, *d: Tensor) -> Tensor:
        return torch.ones_like(x)[..., None]

    return System(f, g, state=state, control=control, limits=limits, disturbance=disturbance)


def strength(disturbance: Box) -> System:
    """x' = d u."""
    state, control = (Quantity("x", "1"),), (Quantity("u", "1"),)
    return System(lambda x, d: 0 * x, lambda x, d: d[..., None], state=state, control=control, disturbance=disturbance)


WEAK = Disturbed(lambda x, d: x * (0.25 * squares(x) - d[..., 0])[..., None], Box([0.5], [1.0]))

SUBJECTS: dict[str, Callable[[], Verdict]] = {
    # V' + V/2 < 0 where V < 3/4, at rate r where V < 1 - r/2
    "stability": lambda: certify(ExponentialStability(squares, exact("0.5")), cycle, UNIT, level=0.7),
    # at the rate r: V < 4 d - 2 r for the least d
    "disturbed stability": lambda: certify(ExponentialStability(squares, exact("0.75")), WEAK, UNIT, level=0.45),
    # V' <= -(3/4) V, attained on the diagonal at x*
    "stability along rays": lambda: certify(ExponentialStability(one_norm, exact("0.5")), coupled, UNIT),
    # |x|² falls where |x| > |d|: inner > 0.02; outer < 1
    "ultimate bound": lambda: certify(UltimateBound(squares, exact("0.03")), Disturbed(noisy, noise(0.1, 2)), UNIT),
    # a control rounded to halves: there is none, and |x| grows, up to |x| = 1/4: inner > 0.0625; outer < 1
    "rounded ultimate bound": lambda: certify(
        UltimateBound(squares, exact("0.07")), lambda x: x / 4 - torch.round(2 * x) / 2, LINE
    ),
    # (1/2 + V)² < 1 - kappa: V < 0.4
    "discrete decrease": lambda: certify(
        DiscreteDecrease(squares, Fraction(19, 100)), DiscreteMap(lambda x: x / 2 + x**3), LINE
    ),
    # kappa < 3/16, attained on the diagonal at x*
    "discrete decrease along rays": lambda: certify(
        DiscreteDecrease(one_norm, exact("0.1")), DiscreteMap(lambda x: x + 0.25 * coupled(x)), UNIT
    ),
    # |x| / 2 + 1/10 < |x| for |x| > 1/5: inner > 0.04
    "discrete ultimate bound": lambda: certify(
        UltimateBound(squares, exact("0.05")), DiscreteMap(lambda x, d: x / 2 + d, noise(0.1, 1)), LINE
    ),
    "barrier": lambda: certify(BarrierInvariance(disc, 1.0), Disturbed(noisy, noise(0.1, 2)), UNIT),
    "barrier that meets the box": lambda: certify(BarrierInvariance(lambda x: 0.5 - x[..., 0], 1.0), coupled, UNIT),
    "Nagumo": lambda: certify(NagumoInvariance(disc), lambda x: x * (0.1 - squares(x))[..., None], UNIT),
    # psi2 = -2 x₂² + 12 x₁² + 25/4 h
    "chain": lambda: certify(
        HighOrderInvariance(lambda x: 0.25 - x[..., 0].square(), (2.5, 2.5)), oscillator, Box([-1, -0.8], [1, 0.8])
    ),
    # psi2 = -2 x₂² + 23/4 x₁² - 2 x₁ d + 25/16; on the face x₂ = 4/5: -6 x₁ - 4 + d < 0 for x₁ > -1/2, so |d| < 1
    "disturbed chain": lambda: certify(
        HighOrderInvariance(lambda x: 0.25 - x[..., 0].square(), (2.5, 2.5)),
        Disturbed(lambda x, d: oscillator(x) + torch.cat([torch.zeros_like(d), d], -1), noise(0.8, 1)),
        Box([-1, -0.8], [1, 0.8]),
    ),
    # inward for |d| < 1
    "box": lambda: certify(StayWithin(UNIT), Disturbed(noisy, noise(0.9, 2)), UNIT),
    # x₁ x₂ <= 1/8 where |x|² <= 1/4
    "positivity": lambda: prove(lambda x: 0.1875 - x[..., 0] * x[..., 1], UNIT, where=(lambda x: -disc(x),)),
    # x(T) = (1 - T) x, T = 1/2: V falls to a quarter, at rates below 3/2
    "sampled stability": lambda: certify(
        ExponentialStability(squares, exact("1")),
        ClosedLoop(driven(lambda x: 0 * x), lambda x: -x, period=0.5),
        LINE,
        level=0.9,
    ),
    # x(T) = (1 - m T) x, m the mean of d(t) in [1/2, 3/2], T = 1/2: V falls to 9/16 or less, at rates below 7/8
    "disturbed sampled stability": lambda: certify(
        ExponentialStability(squares, exact("0.5")),
        ClosedLoop(strength(Box([0.5], [1.5])), lambda x: -x, period=0.5),
        LINE,
        level=0.9,
    ),
    # |x(T)| <= 3/4 |x|: at rates below 1/2
    "sampled stability along rays": lambda: certify(
        ExponentialStability(one_norm, exact("0.4")),
        ClosedLoop(strength(Box([0.5], [1.5])), lambda x: -x, period=0.5),
        LINE,
        level=0.9,
    ),
    # |x| (1 + rate / 2) < |u| <= 1: V < 16/25
    "admissible control": lambda: certify(
        ExponentialStability(squares, exact("0.5")), driven(lambda x: x), Box([-2.0], [2.0]), level=0.6
    ),
    # |x| (d + rate / 2) < |u| <= 1 for all d in [1/2, 1]
    "disturbed admissible control": lambda: certify(
        ExponentialStability(squares, exact("0.5")),
        driven(lambda x, d: d * x, Box([0.5], [1.0])),
        Box([-2.0], [2.0]),
        level=0.6,
    ),
    "neural loop": lambda: certify(
        ExponentialStability(quadratic, exact("0.1")), neural_loop(policy_network(0)), Box([-3.0, -12.0], [3.0, 12.0])
    ),
    "conjunction": lambda: certify(
        (ExponentialStability(squares, exact("0.5")), StayWithin(UNIT), BarrierInvariance(disc, 1.0)),
        lambda x: -x,
        UNIT,
    ),
}


@cache
def proved(name: str) -> Verdict:
    """The verdict about a subject."""
    verdict = SUBJECTS[name]()
    assert verdict.status == "certified", (name, verdict.reason)
    return verdict


def certificate(name: str) -> bytes:
    data = proved(name).certificate
    assert data is not None
    return data


def above_what_was_sampled(part: Document, draw: random.Random) -> None:
    """A level above V at a state that violates the claim."""
    part["statement"]["level"] = (proved("neural loop").sampled_level * draw.uniform(1.005, 3)).hex()


def rounded_down(part: Document, draw: random.Random) -> None:
    """floor(2 x) in place of floor(2 x + 1/2): no control up to x = 1/2."""
    nodes = part["graphs"]["F"]["nodes"]
    (floor,) = (node for node in nodes if node[0] == "floor")
    floor[1] = nodes[floor[1][0]][1][:1]


def plus_the_speed(part: Document, draw: random.Random) -> None:
    """h + x₂² / 1000."""
    nodes = part["graphs"]["h"]["nodes"]
    at, state = len(nodes), next(i for i, node in enumerate(nodes) if node[0] == "input")
    share = ["constant", [], {"q": ["1/1000"]}]
    nodes += [["take", [state], [1]], ["square", [at], None], share, ["mul", [at + 1, at + 2], None]]
    nodes += [["add", [part["graphs"]["h"]["output"], at + 3], None]]
    part["graphs"]["h"]["output"] = at + 4


LEVELS = {
    "a level beyond the truth": says("level", low=0.751, high=3.0),
    "a rate beyond the truth": says("rate", low=0.61, high=10.0),  # at the level 0.7: 2 (1 - 0.7)
}
VALUE = {"-V": negated("V"), "V moved": plus("V", "1/1000000000"), "V and F exchanged": exchanged}
BOX_CUTS = {"a box that cuts the set": says("box", "upper", 0, low=0.1, high=0.5)}
NOISE = {f"a disturbance beyond the truth, {side}": (side,) for side in ("lower", "upper")}

FALSE: dict[str, dict[str, Change]] = {
    "stability": {
        **LEVELS,
        **VALUE,
        **BOX_CUTS,
        "-F": negated("F"),
        "F moved": plus("F", "0", "1/1000000000000"),
        "no rate": says("rate", low=-1.0, high=0.0),
        "no level": says("level", low=-1.0, high=0.0),
        "an equilibrium elsewhere": says("equilibrium", 1, low=1e-12, high=1e-3),
        "R beyond the truth": larger_neighbourhood(0.62, 1.0),  # its corners have V > 3/4
        "R outside X": larger_neighbourhood(1.01, 3.0),
        "R without the equilibrium": drawn("proof", "equilibrium", "lower", 0, low=1e-9, high=0.1),
        "all in R": whole("e", "interior"),
        "all proved": whole("p", "interior"),
        "all outside": whole("x", "interior"),
        "a state inside, excluded": excluded_inside,
        "a face proved": whole("p", "faces", 0, 0),
        "a face missing": fewer_faces,
    },
    "disturbed stability": {
        "a disturbance beyond the truth": says("disturbance", "lower", 0, low=-1.0, high=0.48),  # at 0.45: d > 0.4875
        "a disturbance upside down": says("disturbance", "lower", 0, low=1.01, high=2.0),
        "a level beyond the truth": says("level", low=0.501, high=2.0),
        "a rate beyond the truth": says("rate", low=0.78, high=5.0),  # at the level 0.45: 0.775
        **VALUE,
        "-F": negated("F"),
        "R beyond the truth": larger_neighbourhood(0.52, 1.0),
        "a state inside, excluded": excluded_inside,
        "all in R": whole("e", "interior"),
    },
    "stability along rays": {
        "a level beyond the truth": says("level", low=1.0, high=3.0),
        "a rate beyond the truth": says("rate", low=0.7501, high=5.0),
        **VALUE,
        "-F": negated("F"),
        "F moved": plus("F", "0", "1/1000000000000"),
        "a ray's leaf excluded": whole("x", "equilibrium", "rays", 0, 0),
        "a ray's leaf in R": whole("e", "equilibrium", "rays", 1, 1),
        "R outside X": larger_neighbourhood(1.01, 3.0),
        "R without the equilibrium": drawn("proof", "equilibrium", "lower", 0, low=1e-9, high=0.1),
        "no rays": without_rays,
        "fewer rays": fewer_rays,
        "all in R": whole("e", "interior"),
    },
    "ultimate bound": {
        "inner below the truth": says("inner", low=-1.0, high=0.0199),
        "outer beyond the box": says("outer", low=1.0, high=3.0),
        "inner above outer": says("inner", low=1.01, high=3.0),
        **{
            name: says("disturbance", side, 0, low=low, high=high)
            for (name, (side,)), (low, high) in zip(NOISE.items(), [(-1.0, -0.15), (0.15, 1.0)], strict=True)
        },
        "-V": negated("V"),
        "-F": negated("F"),
        "V and F exchanged": exchanged,
        **BOX_CUTS,
        "a state inside, excluded": excluded_inside,
        "all proved": whole("p", "interior"),
        "a face proved": whole("p", "faces", 0, 0),
        "a face missing": fewer_faces,
    },
    "rounded ultimate bound": {
        "inner below the truth": says("inner", low=-1.0, high=0.0625),
        "outer beyond the box": says("outer", low=1.0, high=3.0),
        "rounded down": rounded_down,
        "-F": negated("F"),
        "F moved": plus("F", "1/3"),  # at x = 3/4 rounding jumps; before it x' = -5/16
        "V and F exchanged": exchanged,
        "all proved": whole("p", "interior"),
        "a state inside, excluded": excluded_inside,
        "a face missing": fewer_faces,
    },
    "discrete decrease": {
        "a level beyond the truth": says("level", low=0.4001, high=3.0),
        "kappa beyond the truth": says("kappa", low=0.2, high=1.0),
        "kappa above one": says("kappa", low=1.0001, high=3.0),
        "no kappa": says("kappa", low=-1.0, high=0.0),
        "no level": says("level", low=-1.0, high=0.0),
        "2 F": times("F", 1, "2"),
        "F moved": plus("F", "1/1000000000000"),
        **VALUE,
        "an equilibrium elsewhere": says("equilibrium", 0, low=1e-12, high=1e-3),
        "R beyond the truth": larger_neighbourhood(0.64, 1.0),
        "R outside X": larger_neighbourhood(1.01, 3.0),
        "a state inside, excluded": excluded_inside,
        "all in R": whole("e", "interior"),
        "all proved": whole("p", "interior"),
    },
    "discrete decrease along rays": {
        "kappa beyond the truth": says("kappa", low=0.1876, high=1.0),
        "kappa above one": says("kappa", low=1.0001, high=3.0),
        **VALUE,
        "2 F": times("F", 2, "2"),
        "F moved": plus("F", "0", "1/1000000000000"),
        "a box that the next state leaves": says("box", "upper", 0, low=0.001, high=0.01),
        "a ray's leaf excluded": whole("x", "equilibrium", "rays", 0, 0),
        "no rays": without_rays,
        "fewer rays": fewer_rays,
        "R outside X": larger_neighbourhood(1.01, 3.0),
    },
    "discrete ultimate bound": {
        "inner below the truth": says("inner", low=-1.0, high=0.0399),
        "inner above outer": says("inner", low=1.01, high=3.0),
        **{
            name: says("disturbance", side, 0, low=low, high=high)
            for (name, (side,)), (low, high) in zip(NOISE.items(), [(-1.0, -0.12), (0.12, 1.0)], strict=True)
        },
        "2 F": times("F", 1, "2"),
        "F moved": plus("F", "1/5"),
        "V and F exchanged": exchanged,
        "a state inside, excluded": excluded_inside,
        "all of the inner set excluded": whole("x", "inner"),
    },
    "barrier": {
        **{
            name: says("disturbance", side, 0, low=low, high=high)
            for (name, (side,)), (low, high) in zip(NOISE.items(), [(-2.0, -0.51), (0.51, 2.0)], strict=True)
        },
        "-h": negated("h"),
        "-F": negated("F"),
        "h and F exchanged": exchanged,
        "a rate below zero": says("rate", low=-3.0, high=-1e-9),
        "a state inside, excluded": excluded_inside,
        "all excluded": whole("x", "interior"),
        "a face missing": fewer_faces,
    },
    "barrier that meets the box": {
        "-F": negated("F"),
        "-h": negated("h"),
        "F moved": plus("F", "0", "2"),
        "F across the boundary": plus("F", "1", "0"),
        "a face excluded": whole("x", "faces", 1, 0),
        "another face excluded": whole("x", "faces", 0, 0),
        "a state inside, excluded": excluded_inside,
    },
    "Nagumo": {
        "-F": negated("F"),
        "-h": negated("h"),
        "h of a circle on which F points outward": plus("h", "-1/5"),
        "F moved": plus("F", "1", "0"),
        "all proved": whole("p", "interior"),
        "all excluded": whole("x", "interior"),
    },
    "chain": {
        "rates too small": says("rates", 0, low=0.0, high=0.5),
        "a rate below zero": says("rates", 1, low=-3.0, high=-1e-9),
        "-F": negated("F"),
        "-h": negated("h"),
        "F moved": plus("F", "0", "4"),
        "a state inside, excluded": excluded_inside,
        "all excluded": whole("x", "interior"),
        "a face missing": fewer_faces,
    },
    "disturbed chain": {
        **{
            name: says("disturbance", side, 0, low=low, high=high)
            for (name, (side,)), (low, high) in zip(NOISE.items(), [(-3.0, -1.01), (1.01, 3.0)], strict=True)
        },
        "rates too small": says("rates", 0, low=0.0, high=0.5),
        "-F": negated("F"),
        "-h": negated("h"),
        "h of a coordinate that is disturbed": plus_the_speed,
        "a state inside, excluded": excluded_inside,
        "all excluded": whole("x", "interior"),
    },
    "box": {
        **{
            name: says("disturbance", side, 1, low=low, high=high)
            for (name, (side,)), (low, high) in zip(NOISE.items(), [(-3.0, -1.0), (1.0, 3.0)], strict=True)
        },
        "a box too small": says("box", "upper", 0, low=0.1, high=0.9),
        "-F": negated("F"),
        "F moved": plus("F", "1/5", "0"),
        "a face excluded": whole("x", "faces", 1, 0),
        "a face missing": fewer_faces,
    },
    "positivity": {
        "-margin": negated("margin"),
        "a margin too low": plus("margin", "-1/16"),
        "a side condition turned": negated("where0"),
        "a side condition that asks less": plus("where0", "-1/5"),
        "no side condition": without_side_condition,
        "a state inside, excluded": excluded_inside,
        "all proved": whole("p", "interior"),
        "all excluded": whole("x", "interior"),
    },
}

FALSE["sampled stability"] = {
    "a rate beyond the truth": says("rate", low=1.501, high=1.99),
    "a rate beyond one over the period": says("rate", low=2.0, high=10.0),
    "no rate": says("rate", low=-1.0, high=0.0),
    "no period": says("period", low=-1.0, high=0.0),
    "a period beyond the truth": says("period", low=1.0, high=3.0),
    "no level": says("level", low=-1.0, high=0.0),
    "-f": negated("f"),
    "-policy": negated("policy"),
    "4 policy": times("policy", 1, "4"),
    "5 f": times("f", 1, "5"),
    "f moved": plus("f", "1/1000000000000"),
    "policy moved": plus("policy", "1/1000000000000"),
    "-V": negated("V"),
    "V moved": plus("V", "1/1000000000"),
    "an equilibrium elsewhere": says("equilibrium", 0, low=1e-12, high=1e-3),
    "R outside X": larger_neighbourhood(1.01, 3.0),
    "R without the equilibrium": drawn("proof", "equilibrium", "lower", 0, low=1e-9, high=0.1),
    "a state inside, excluded": excluded_inside,
    "all in R": whole("e", "interior"),
    "all proved": whole("p", "interior"),
}
FALSE["disturbed sampled stability"] = {
    "a disturbance too strong": says("disturbance", "upper", 0, low=3.74, high=9.0),  # (1 - d / 2)² < 3/4: 0.268, 3.732
    "a disturbance too weak": says("disturbance", "lower", 0, low=-1.0, high=0.267),
    "a disturbance upside down": says("disturbance", "lower", 0, low=1.51, high=2.0),
    "a rate beyond the truth": says("rate", low=0.8751, high=1.99),
    "a period beyond the truth": says("period", low=1.112, high=1.99),  # (1 - 3 T / 2)² < 1 - T / 2 for T < 10/9
    "no period": says("period", low=-1.0, high=0.0),
    "no level": says("level", low=-1.0, high=0.0),
    "-f": negated("f"),
    "-policy": negated("policy"),
    "4 policy": times("policy", 1, "4"),
    "5 f": times("f", 1, "5"),
    "f moved": plus("f", "1/1000000000000"),
    "f of the disturbance alone": replaced("f", ["input", [], 3], ["take", [0], [2]]),
    "policy moved": plus("policy", "1/1000000000000"),
    "-V": negated("V"),
    "V moved": plus("V", "1/1000000000"),
    "an equilibrium elsewhere": says("equilibrium", 0, low=1e-12, high=1e-3),
    "R outside X": larger_neighbourhood(1.01, 3.0),
    "a state inside, excluded": excluded_inside,
    "all in R": whole("e", "interior"),
    "all proved": whole("p", "interior"),
}
FALSE["admissible control"] = {
    "a level beyond the truth": says("conditions", 0, "level", low=0.641, high=3.0),
    "a level beyond the box": says("conditions", 0, "level", low=4.0, high=9.0),
    "a rate beyond the truth": says("conditions", 0, "rate", low=0.583, high=9.0),
    "no rate": says("conditions", 0, "rate", low=-1.0, high=0.0),
    "no level": says("conditions", 0, "level", low=-1.0, high=0.0),
    "controls too small": says("controls", "upper", 0, low=0.0, high=0.96),
    "controls upside down": says("controls", "lower", 0, low=1.01, high=3.0),
    "controls of one sign": says("controls", "lower", 0, low=0.0, high=0.9),
    "2 f": times("f", 1, "2"),
    "g / 2": times("g", 1, "1/2"),
    "no g": times("g", 1, "0"),
    "-V": negated("V"),
    "V moved": plus("V", "1/1000000000"),
    "an equilibrium elsewhere": says("conditions", 0, "equilibrium", 0, low=1e-12, high=1e-3),
    "a box that cuts the set": says("box", "upper", 0, low=0.1, high=0.7),
    "R outside X": larger_neighbourhood(2.01, 3.0),
    "R beyond the controls": larger_neighbourhood(0.81, 1.9),
    "a law that pushes outward": drawn("proof", "equilibrium", "gain", 0, 0, low=-0.9, high=3.0),
    "a law that is not at rest": drawn("proof", "equilibrium", "control", 0, low=1e-12, high=3.0),
    "a state inside, excluded": excluded_inside,
    "a face proved": whole("p", "faces", 0, 0),
    "a face missing": fewer_faces,
    "all in R": whole("e", "interior"),
    "all proved": whole("p", "interior"),
    "all outside": whole("x", "interior"),
}
FALSE["disturbed admissible control"] = {
    **FALSE["admissible control"],
    "a disturbance beyond the truth": says("disturbance", "upper", 0, low=1.042, high=3.0),  # at 0.6: 1.0409
    "a disturbance upside down": says("disturbance", "lower", 0, low=1.01, high=2.0),
    "f of the disturbance alone": replaced("f", ["input", [], 2], ["take", [0], [1]]),
}
FALSE["neural loop"] = {
    "a level beyond the truth": above_what_was_sampled,
    "a rate beyond the truth": says("rate", low=100.0, high=1e4),  # the linearised loop decays at 100 at most
    "-V": negated("V"),
    "-F": negated("F"),
    "V of the speed alone": replaced("V", ["input", [], 2], ["take", [0], [1]], ["square", [1], None]),
    "x' = x": replaced("F", ["input", [], 2]),
    "F moved": plus("F", "0", "1/1" + 300 * "0"),
    "a box that cuts the set": says("box", "upper", 0, low=0.003, high=0.3),
    "another box that cuts the set": says("box", "lower", 1, low=-1.2, high=-0.012),
    "a matrix reversed": reversed_weights,
    "a face's leaf proved": a_face_proved,
    "all in R": whole("e", "interior"),
    "all proved": whole("p", "interior"),
    "all outside": whole("x", "interior"),
}

FALSE["sampled stability along rays"] = {
    **FALSE["disturbed sampled stability"],
    "a disturbance too strong": says("disturbance", "upper", 0, low=3.601, high=9.0),  # |1 - d / 2| < 4/5
    "a disturbance too weak": says("disturbance", "lower", 0, low=-1.0, high=0.399),
    "a rate beyond the truth": says("rate", low=0.501, high=1.99),
    "a period beyond the truth": says("period", low=1.053, high=2.4),  # 3 T / 2 - 1 < 1 - 2 T / 5 for T < 20/19
    "a ray's leaf excluded": whole("x", "equilibrium", "rays", 0, 0),
    "a ray's leaf at the equilibrium": whole("e", "equilibrium", "rays", 0, 1),
    "no rays": without_rays,
    "a face of R without its rays": fewer_rays,
}

PARTS: dict[str, tuple[int, Change]] = {
    "-F in the first part": (0, negated("F")),
    "-F in the second part": (1, negated("F")),
    "-F in the third part": (2, negated("F")),
    "a rate of the first part beyond the truth": (0, says("rate", low=2.0, high=5.0)),
    "a level of the first part beyond the truth": (0, says("level", low=1.0, high=5.0)),
    "the second box upside down": (1, says("box", "lower", 0, low=1.0, high=5.0)),
    "a part cut": (1, cut),
}
"""Of the conjunction: the part that is changed, and how."""

TRUE: dict[str, dict[str, Change]] = {
    "stability": {"level": smaller("level"), "rate": smaller("rate"), "2 V": doubled("V", "level")},
    "disturbed stability": {
        "level": smaller("level", low=0.8),
        "rate": smaller("rate"),
        "2 V": doubled("V", "level"),
        "D": calmer,
    },
    "stability along rays": {"level": smaller("level"), "rate": smaller("rate"), "2 V": doubled("V", "level")},
    "ultimate bound": {
        "a larger inner": says("inner", low=0.03, high=0.5),
        "outer": smaller("outer", low=0.6),
        "2 V": doubled("V", "inner", "outer"),
        "D": calmer,
    },
    "rounded ultimate bound": {
        "a larger inner": says("inner", low=0.07, high=0.5),
        "outer": smaller("outer", low=0.6),
        "2 V": doubled("V", "inner", "outer"),
    },
    "discrete decrease": {"level": smaller("level"), "kappa": smaller("kappa"), "2 V": doubled("V", "level")},
    "discrete decrease along rays": {
        "level": smaller("level"),
        "kappa": smaller("kappa"),
        "2 V": doubled("V", "level"),
    },
    "discrete ultimate bound": {"outer": smaller("outer"), "2 V": doubled("V", "inner", "outer"), "D": calmer},
    "barrier": {"2 h": doubled("h"), "D": calmer, "rate": smaller("rate", low=0.9)},
    "barrier that meets the box": {"2 h": doubled("h")},
    "Nagumo": {"2 h": doubled("h"), "2 F": times("F", 2, "2")},
    "chain": {"2 h": doubled("h")},
    "disturbed chain": {"2 h": doubled("h"), "D": calmer},
    "box": {"D": calmer, "2 F": times("F", 2, "2")},
    "positivity": {"2 margin": doubled("margin"), "a larger margin": plus("margin", "1/100")},
    "sampled stability": {
        "level": smaller("level"),
        "rate": smaller("rate"),
        "period": smaller("period", low=0.3),
        "2 V": doubled("V", "level"),
    },
    "disturbed sampled stability": {
        "level": smaller("level"),
        "rate": smaller("rate"),
        "period": smaller("period", low=0.6),
        "2 V": doubled("V", "level"),
        "D": calmer,
    },
    "sampled stability along rays": {
        "level": smaller("level"),
        "rate": smaller("rate"),
        "period": smaller("period", low=0.6),
        "2 V": doubled("V", "level"),
        "D": calmer,
    },
    "admissible control": {
        "level": smaller("conditions", 0, "level"),
        "rate": smaller("conditions", 0, "rate"),
        "larger controls": says("controls", "upper", 0, low=1.0, high=2.0),
    },
    "disturbed admissible control": {
        "level": smaller("conditions", 0, "level"),
        "rate": smaller("conditions", 0, "rate"),
        "larger controls": says("controls", "upper", 0, low=1.0, high=2.0),
        "D": calmer,
    },
    "neural loop": {"level": smaller("level"), "rate": smaller("rate"), "2 V": doubled("V", "level")},
    "conjunction": {},
}


class Changed(NamedTuple):
    """One changed certificate."""

    name: str
    seed: int
    document: Document


def changed(subject: str, rows: dict[str, Change], seeds: int, place: int = 0) -> Iterator[Changed]:
    """Every change, with every seed, of one part of a subject's certificate."""
    for name, change in rows.items():
        for seed in range(seeds):
            document = opened(certificate(subject))
            change(parts(document)[place], random.Random(f"{subject} {name} {seed}"))
            if document != opened(certificate(subject)):
                yield Changed(name, seed, document)
