"""The studies of the integrators, in small: what their page says holds there too."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch

import ctrlnet

DOCS = Path(__file__).parents[2] / "docs"


def test_the_peaks_have_five_equal_classes_and_the_known_heights(study):
    """The range of MATLAB's function is about -6.55 to 8.1; the classes are fifths of it."""
    peaks = study("peaks")
    data = peaks.peaks(0)
    assert torch.bincount(data.labels).tolist() == [400] * 5
    assert torch.equal(data.points, peaks.peaks(0).points) and not torch.equal(data.points, peaks.peaks(1).points)
    marks = peaks.thresholds().diff()
    assert torch.allclose(marks, marks[0]) and float(marks[0]) == pytest.approx((8.106 + 6.551) / 5, abs=1e-3)
    origin = 3 * math.exp(-1) - math.exp(-1) / 3
    assert float(peaks.height(torch.zeros(2, dtype=torch.float64))) == pytest.approx(origin)


def test_only_the_unstable_setting_starts_beyond_the_limit_of_its_method(study):
    """And magnifies small changes more than the others do."""
    peaks, flows = study("peaks"), study("flows")
    points = peaks.peaks(0).points[::50]
    starts = {name: peaks.start(name, 0) for name in peaks.SETTINGS}
    over = {name: peaks.turning(name, flow) / peaks.SETTINGS[name].limit for name, flow in starts.items()}
    grown = {name: float(flows.growth(flow, points).median()) for name, flow in starts.items()}
    assert over["unstable"] > 1 > max(over["medium"], over["stable"])
    assert grown["unstable"] > 1.5 * max(grown["medium"], grown["stable"])


def test_a_small_unit_is_a_longer_duration(study):
    """x' = tanh((K - Kᵀ) x/u + b) over T has the logits of u = 1 over T/u."""
    peaks, flows = study("peaks"), study("flows")
    small = peaks.start("stable", 0)
    unit, duration = small.unit, small.varying.duration
    layer = peaks.Turning(small.varying.weights["K"][0].detach(), small.varying.weights["b"][0].detach(), 1.0)
    varying = ctrlnet.TimeVarying([layer] * peaks.COARSE, duration / unit)
    large = flows.Flow(small.opening, varying, small.readout, "ab3")
    points = peaks.peaks(0).points[::100]
    assert torch.allclose(small(points), large(points), rtol=1e-10, atol=1e-12)


def test_a_finer_level_begins_where_the_coarser_one_ends(study):
    """Twice as many layers with the same weights in time give nearly the same logits: closer where layers are more."""
    deep, flows = study("deep"), study("flows")
    data = deep.DATA["swiss roll"](0)[0]
    flow = deep.start(0)
    gaps = []
    for _ in range(7):
        finer = flow.refined()
        with torch.no_grad():
            gaps.append(float((finer(data.points) - flow(data.points)).abs().max()))
        flow = finer
    assert flow.varying.intervals == 256
    assert gaps[-1] < 0.6 * gaps[-2] and gaps[-2] < 0.6 * gaps[-3], gaps
    assert flows.penalty(flow, deep.PENALTIES) > 0


def test_spirals_and_ellipses_are_what_they_are_called(study):
    deep = study("deep")
    train, validation = deep.DATA["swiss roll"](0)
    assert train.points.shape == validation.points.shape == (512, 2)
    inner = validation.points[validation.labels == 0].norm(dim=-1)
    outer = validation.points[validation.labels == 1].norm(dim=-1)
    assert torch.allclose(outer - inner, torch.full_like(inner, 0.2)) and float(inner.max()) == pytest.approx(1)
    train, validation = deep.DATA["ellipses"](0)
    assert (len(train.points), len(validation.points)) == (1000, 2000)
    inside = (validation.points / torch.tensor([1.0, 0.4])).norm(dim=-1) < 1
    assert torch.equal(inside, validation.labels == 0)


def test_peaks_fill_their_table_and_draw(study, tmp_path, monkeypatch):
    peaks = study("peaks")
    monkeypatch.setattr(peaks, "ITERATIONS", {32: 4, 64: 1})
    figures = peaks.run(seeds=range(1))
    assert set(figures) == {f"median validation accuracy, {name}" for name in peaks.SETTINGS}
    assert all(share > 0.3 for share in figures.values())
    assert "| stable: ab3, T = 0.2 |" in (tmp_path / "integrator-studies.md").read_text()
    assert (tmp_path / "figures" / "peaks.png").stat().st_size > 5_000


def test_deep_networks_train_level_by_level(study, tmp_path, monkeypatch):
    """Sixteen layers, hardly trained, already tell the ellipses apart better than any line can."""
    deep = study("deep")
    monkeypatch.setattr(deep, "iterations", lambda layers: 40 if layers == 16 else 10)
    figures = deep.run(seeds=range(1, 2), layers=16)
    assert figures["median validation accuracy, ellipses, 16 layers"] > 0.85
    text = (tmp_path / "integrator-studies.md").read_text()
    assert "| 2 | 10 |" in text and "| 16 | 1.25 |" in text
    assert (tmp_path / "figures" / "deep.png").stat().st_size > 5_000


def test_the_symplectic_adjoint_is_exact_and_the_plain_one_has_the_order(study, tmp_path):
    adjoint = study("adjoint")
    steps, methods = (20, 40, 80), ("midpoint", "rk4")
    figures = adjoint.run(methods=methods, steps=steps)
    assert all(gap < 1e-14 for gap in figures.values()), figures
    for name, order in zip(methods, (2, 4), strict=True):
        errors = [adjoint.gap(name, "continuous_adjoint", count) for count in steps]
        assert adjoint.slope(steps, errors) > order - 0.1
        assert errors[1] > 1e6 * figures[f"symplectic adjoint against backprop, {name}"]
    assert "| midpoint | 2 |" in (tmp_path / "integrator-studies.md").read_text()


def test_every_installed_method_has_its_order(study, tmp_path):
    orders = study("orders")
    figures = orders.run(steps=(5, 10, 20, 40, 80, 160))
    assert len(figures) == len(ctrlnet.names("integrators")) >= 24
    assert all(excess > -0.1 for excess in figures.values()), figures
    text = (tmp_path / "integrator-studies.md").read_text()
    assert "| verlet | Separable | 2 | 2 | 2.1e-05 | 1 |" in text and "| rk4 | Field | 4 |" in text


def test_energy_is_kept_by_the_methods_that_say_so(study):
    """Verlet's error is bounded while its step stays the same, Runge-Kutta's grows with time, avf's is rounding."""
    energy = study("energy")
    largest = {}
    for name in ("verlet", energy.CHANGING, "avf", "rk4", "euler"):
        t, error = energy.drift((name, 100.0))
        largest[name] = [float(error[t <= end].max()) for end in (10.0, 100.0)]
    assert largest["verlet"][1] < 1.01 * largest["verlet"][0] == pytest.approx(1.47e-3, rel=0.05)
    assert largest[energy.CHANGING][1] > 2 * largest[energy.CHANGING][0]
    assert largest["rk4"][1] > 6 * largest["rk4"][0] and largest["rk4"][1] == pytest.approx(6.1e-6, rel=0.05)
    assert largest["avf"][1] < 1e-13 and largest["euler"][1] > 4


def test_the_table_of_energies_is_filled(study, tmp_path):
    figures = study("energy").run(names=("verlet", "dopri5, tolerance 1e-4"), times=(1.0, 5.0))
    assert set(figures) == {"energy error up to 5 s, verlet", "energy error up to 5 s, dopri5, tolerance 1e-4"}
    assert "largest energy error up to 5 s" in (tmp_path / "integrator-studies.md").read_text()


CHOOSING = (DOCS / "choosing-an-integrator.md").read_text(encoding="utf-8")  # test_docs runs its code and its links


def test_the_page_on_choosing_names_every_method():
    assert set(re.findall(r"`(\w+)`", CHOOSING)) >= set(ctrlnet.names("integrators"))


def test_the_page_of_the_studies_leads_somewhere():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", (DOCS / "integrator-studies.md").read_text(encoding="utf-8")):
        assert (DOCS / link).exists(), link


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "tsit5", "dopri8"])
def test_the_evaluations_on_the_page_on_choosing(method):
    """The pendulum over 10 s at four tolerances; a few of thousands may differ by rounding."""
    said = re.search(rf"{method} (\d+),\s(\d+),\s(\d+),\s(\d+)", CHOOSING)
    assert said is not None
    for tolerance, count in zip((1e-3, 1e-5, 1e-7, 1e-9), map(int, said.groups()), strict=True):
        calls = []

        def pendulum(x, calls=calls):
            calls.append(None)
            return torch.stack([x[..., 1], -torch.sin(x[..., 0])], -1)

        start, tight = torch.tensor([1.2, 0.3], dtype=torch.float64), ctrlnet.Tolerance(tolerance, tolerance)
        ctrlnet.odeint(pendulum, start, [0, 10], method=method, tolerance=tight)
        assert len(calls) == pytest.approx(count, rel=0.02)


def test_the_traps_on_the_page_on_choosing():
    one, start = torch.ones(1, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    leapfrog = ctrlnet.load("integrators", "lm")(1.0)
    for method, said in (("rk4", "4e-44"), ("reversible_heun", "2e39"), (leapfrog, "1e41")):
        end = float(ctrlnet.odeint(lambda x: -5 * x, one, [0, 20], method=method, step=0.05)[-1])
        assert f"{abs(end):.0e}".replace("e+", "e") == said and said in CHOOSING
    for method, said in (("euler", "145"), ("ab3", "0.96")):
        turn = lambda x: torch.stack([x[..., 1], -x[..., 0]], -1)  # noqa: E731
        grown = float(ctrlnet.odeint(turn, start, [0, 100], method=method, step=0.1)[-1].norm())
        assert f"{grown:.{0 if grown > 1 else 2}f}" == said and said in CHOOSING
