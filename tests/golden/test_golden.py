"""Files of every format ever written are read for ever; these are never made again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctrlnet import Run, check
from ctrlnet.tasks import rebuild

HERE = Path(__file__).parent
CERTIFICATES = sorted(HERE.glob("*.cert"))
RUNS = sorted(HERE.glob("run-*"))


def test_one_of_each_kind_stands_here() -> None:
    assert [path.name for path in CERTIFICATES] == ["positivity-1.cert", "stability-1.cert"]
    assert [path.name for path in RUNS] == ["run-1"]


@pytest.mark.parametrize("path", CERTIFICATES, ids=lambda path: path.stem)
def test_old_certificates_are_confirmed(path: Path) -> None:
    report = check(path)
    assert report.ok, report.reason


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_old_runs_are_rebuilt(path: Path) -> None:
    rebuilt = rebuild(Run(path))
    x = rebuilt.box.sample(4, torch.Generator().manual_seed(0))
    assert rebuilt.policy(x).shape == (4, 1)
    assert (rebuilt.candidates["V"](x) > 0).all()
