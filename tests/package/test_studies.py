"""The studies run, in small; their trainings are repeatable, and their tables find their places."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch


def test_a_training_is_repeatable_learns_and_ends_a_race(study):
    digits = study("digits")
    task = digits.Training("adamw", {"lr": 3e-3}, width=64, depth=3, epochs=8)
    outcome = digits.train(task)
    assert outcome.train > 0.97 and outcome.test > 0.9
    assert replace(digits.train(task), seconds=0.0) == replace(outcome, seconds=0.0)
    assert digits.train(replace(task, race=True, epochs=40)).epochs_to_99 < 40


def test_starts_are_what_they_are_called(study):
    digits = study("digits")
    torch.manual_seed(0)
    for layer in digits.build(digits.Training("sgd", width=48, depth=3, start="orthogonal"))[::2]:
        singular = torch.linalg.svdvals(layer.weight.detach())
        assert torch.allclose(singular, torch.full_like(singular, math.sqrt(layer.out_features / layer.in_features)))
    for layer in digits.build(digits.Training("sgd", width=256, depth=3, start="gaussian"))[::2]:
        assert abs(float(torch.linalg.svdvals(layer.weight.detach()).square().mean().sqrt()) - 1) < 0.1


def test_a_lost_training_counts_as_chance(study):
    digits = study("digits")
    assert digits.train(digits.Training("sgd", {"lr": 1e6}, epochs=2)) == digits.LOST


def test_transfer_fills_its_table_and_draws(study, tmp_path):
    figures = study("transfer").run(widths=(64,), depths=(2, 4), epochs=1)
    assert set(figures) == {f"worst ratio of {name}" for name in ("relative_trust", "adamw", "fromage")}
    assert all(ratio >= 1 for ratio in figures.values())
    assert (tmp_path / "figures" / "transfer.png").stat().st_size > 10_000
    assert "| fromage | 64 | 4 |" in (tmp_path / "studies.md").read_text()


def test_grid_depth_and_bits_fill_their_tables(study, tmp_path, monkeypatch):
    grid, depth, bits = study("grid"), study("depth"), study("bits")
    monkeypatch.setattr(grid, "RACE", ((2, 32),))
    monkeypatch.setattr(grid, "SEEDS", range(1))
    assert 0 < grid.run(widths=(32,), depths=(2,), epochs=1, longest=30)["least train accuracy of AGD"] <= 1
    assert len(depth.run(depths=(2,), seeds=range(1), epochs=1)) == len(depth.METHODS)
    errors = bits.run(epochs=1, seeds=range(1))
    assert set(errors) == {f"test error, {name}" for name in bits.METHODS}
    text = (tmp_path / "studies.md").read_text()
    assert "| 2 | 32 |" in text and "| agd | orthogonal | square |" in text and "| Madam, 8 bits and sign |" in text


@pytest.mark.slow
def test_the_control_study_measures_what_is_certified(study):
    solution = study("control").solve(("adamw", 5e-3, 0, 0))
    assert solution.area > 0.5 and solution.local < solution.product and len(solution.norms) == 3


def test_a_table_without_a_place_is_said(study):
    with pytest.raises(SystemExit, match="no place for the table 'nothing'"):
        study("pages").write_table("nothing", [{"a": 1}])
