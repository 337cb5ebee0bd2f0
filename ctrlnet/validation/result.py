"""What validation found, as an object and as validation.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from ctrlnet.runs import digest_of, write_aside
from ctrlnet.validation.sealing import sealed

FORMAT = 1

PASSED = ("confirmed", "sampling effect")


@final
@dataclass(frozen=True)
class Control:
    """How the loop was run.

    Attributes:
        rate_hz, period: control rate [1/s] and its period [s], with a hold of order zero.
        substeps, physics_step: integrator steps a period, and their size [s].
        step_error: largest change of a state over one period when the steps are halved, in half widths of the box.
        horizon: [s] by when the certificate promises every trajectory to have settled.
        horizon_capped: whether trajectories were given up before that.
    """

    rate_hz: float
    period: float
    substeps: int
    physics_step: float
    step_error: float
    horizon: float
    horizon_capped: bool
    hold: str = "zero-order"


@final
@dataclass(frozen=True)
class Decrease:
    """How V behaved from one control instant to the next.

    Attributes:
        worst_increase, at: largest (V(x_{k+1}) − V(x_k)) / level, negative when V always fell; the state x_k.
        worst_ratio: largest V(x(t)) / (e^(-rate t) V(x(0))) before settling; at most 1 by the certificate.
        above_bound: trajectories for which that ratio exceeds 1 by more than rounding.
    """

    worst_increase: float
    at: list[float]
    worst_ratio: float
    above_bound: int


@final
@dataclass(frozen=True)
class Settle:
    """Time to settle [s] over the trajectories that settled; None when none did."""

    median: float | None
    p95: float | None
    longest: float | None


@final
@dataclass(frozen=True)
class Effort:
    """Control effort until settled.

    Attributes:
        mean, p95: of ∫|u − u*|² dt.
        peak: largest |u| of each control.
        lower, upper: the limits; None where there are none.
        saturated: share of the time with a control at its limit.
    """

    mean: float
    p95: float
    peak: list[float]
    lower: list[float] | None
    upper: list[float] | None
    saturated: float


@final
@dataclass(frozen=True)
class Failure:
    """A trajectory that did not do as promised.

    Attributes:
        x0: where it started.
        at_rate: what happened at the control rate: "left", "slow" or "unfinished".
        repeated: what happened at the high rate, or None.
        verdict: "contradiction", "sampling", "undetermined" or "not repeated".
    """

    x0: list[float]
    at_rate: str
    repeated: str | None
    verdict: str


@final
@dataclass(frozen=True)
class Stored:
    """A trajectory kept for drawing: t (T,), x (T, n), u (T, m) held from each instant, V (T,)."""

    x0: list[float]
    t: list[float]
    x: list[list[float]]
    u: list[list[float]]
    V: list[float]
    outcome: str


@final
@dataclass(frozen=True)
class Validation:
    """A certificate of exponential stability against the simulator.

    `status` is "confirmed" when every trajectory settled; "sampling effect" when all that failed at the control rate
    did as promised at the high rate; "contradicted" when one failed at both, so that the certificate, or the model it
    speaks of, is wrong; "undetermined" when time or repetitions ran out first.

    Attributes:
        summary: the outcome in one sentence.
        level, rate: of the certificate.
        count, converged, failed: trajectories in all, settled, and not settled, at the control rate.
        failures: the failed ones that were looked into.
        repeat_hz: the high rate [1/s].
        gap: the model gap, a dictionary of `ModelGap`'s entries and `per_second`; None without a twin.
        definition: what the figures mean, in words.
        state, controls: name and unit of every coordinate.
        seconds: wall time.
        simulator: "MuJoCo" with its version, or the equations of the model where there is no twin.
    """

    status: str
    summary: str
    level: float
    rate: float
    count: int
    converged: int
    failed: int
    failures: tuple[Failure, ...]
    repeat_hz: float
    control: Control
    decrease: Decrease
    settle: Settle
    effort: Effort
    gap: dict[str, Any] | None
    definition: dict[str, str]
    state: tuple[tuple[str, str], ...]
    controls: tuple[tuple[str, str], ...]
    trajectories: tuple[Stored, ...]
    seed: int
    seconds: float
    simulator: str

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts the certificate and nothing was left open."""
        return self.status in PASSED

    @property
    def fraction(self) -> float:
        """Share of the trajectories that converged at the control rate."""
        return self.converged / self.count

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON values."""
        return {"format": FORMAT, "passed": self.passed, "fraction": self.fraction, **asdict(self)}

    def save(self, path: Path | str, *, certificate: str = "", video: Path | None = None) -> None:
        """Write validation.json, aside first and then renamed; its "digest" over its own content tells an edit.

        Args:
            path: of the file.
            certificate: SHA-256 that the certificate's first line gives: what was validated.
            video: the film of these trajectories, of which the SHA-256 is kept.
        """
        names = {"certificate": certificate, "video": None if video is None else digest_of(video)}
        document = sealed({**self.as_dict(), **names})
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        write_aside(Path(path), (text + "\n").encode())
