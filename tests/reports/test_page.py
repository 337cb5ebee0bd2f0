"""The page holds every section, nothing from outside, and is well formed."""

from __future__ import annotations

import base64
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from reports import synthetic

from ctrlnet.reports.page import heading_of, page_of, verdict_of

SECTIONS = [
    "Theorem",
    "Phase portrait",
    "Film",
    "Numbers",
    "The proof and its Lyapunov function",
    "Along trajectories",
    "Policy and controls",
    "Validation in simulation",
    "Training",
    "Confirm it yourself",
    "Provenance",
]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory):
    return synthetic.material(synthetic.folder(tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def page(material) -> str:
    return page_of(material)


def tree_of(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page.replace("<!DOCTYPE html>", "", 1))


def test_every_section_is_there_once_and_in_order(page: str) -> None:
    assert [heading.text for heading in tree_of(page).iter("h2")] == SECTIONS


def test_page_is_well_formed_and_ids_are_unique(page: str) -> None:
    ids = [element.get("id") for element in tree_of(page).iter() if element.get("id")]
    assert len(ids) == len(set(ids))


def test_every_local_reference_has_its_target(page: str) -> None:
    ids = {element.get("id") for element in tree_of(page).iter()}
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used and used <= ids


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for element in tree_of(page).iter():
        for name in ("src", "href", "{http://www.w3.org/1999/xlink}href", "data", "poster"):
            value = element.get(name)
            assert value is None or value.startswith(("data:", "#")), (element.tag, value)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "http" not in page


def test_film_is_inside(page: str) -> None:
    assert base64.b64encode(b"not a film").decode() in page


def test_numbers_are_on_the_page(page: str) -> None:
    text = "".join(tree_of(page).itertext())
    for shown in ("6.08", "0.9868", "3.91 %", "rad²", "0.1\N{NO-BREAK SPACE}s⁻¹", "3,210", "1000\N{NO-BREAK SPACE}of"):
        assert shown in text, shown


def test_texts_are_escaped(page: str) -> None:
    assert "4 ulp &amp; &lt; 1" in page


def test_figures_take_the_colours_of_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 8
    for drawing in drawings:
        assert "var(--ink)" in drawing
        assert not re.search(r"#0[0-9a]0[0-9a]0[0-9a]\b", drawing)
        assert "aria-label" in drawing


def test_units_are_on_the_axes(page: str) -> None:
    for axis in ("θ [rad]", "ω [rad/s]", "u [N·m]", "t [s]"):
        assert f">{axis}<" in page


def test_matplotlib_is_left_as_it_was(material) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    page_of(material)
    assert dict(matplotlib.rcParams) == before


def test_same_run_same_page(material, page: str) -> None:
    assert page_of(material) == page


def test_bare_run_says_what_to_do_next(material) -> None:
    bare = dataclasses.replace(
        material,
        records=(),
        certificates={},
        validation=None,
        metrics={},
        video=None,
        subject=None,
        obstacle="no class",
        stale="ctrlnet validate it",
    )
    page = page_of(bare)
    assert verdict_of(bare) == "not certified"
    for advice in ("ctrlnet certify", "ctrlnet validate", "no class", "No statement about this policy is certified"):
        assert advice in page
    tree_of(page)


@pytest.mark.parametrize(
    ("status", "words"), [("falsified", "fails at the state (1, -2)"), ("undecided", "neither proved nor")]
)
def test_without_a_proof_nothing_is_called_certified(material, status: str, words: str) -> None:
    record = dataclasses.replace(
        synthetic.record(), status=status, level=None, region=None, checked=None, counterexample=(1.0, -2.0), reason="r"
    )
    failed = dataclasses.replace(material, records=(record,), certificates={})
    page = page_of(failed)
    assert words in page
    assert verdict_of(failed) == status
    text = "".join(tree_of(page).find("body").itertext())
    assert "certified region converges" not in text
    assert '<span class="badge good">certified' not in page


def test_four_states_are_drawn_as_slices(material) -> None:
    import numpy as np

    flat = material.subject
    four = dataclasses.replace(
        flat,
        state=(*flat.state, ("φ", "rad"), ("ψ", "rad/s")),
        lower=np.r_[flat.lower, flat.lower],
        upper=np.r_[flat.upper, flat.upper],
        equilibrium=np.zeros(4),
        field=lambda x: np.concatenate([flat.field(x[:, :2]), flat.field(x[:, 2:])], axis=1),
        policy=lambda x: flat.policy(x[:, :2]),
        candidates={"stability": lambda x: synthetic.V(x[:, :2]) + synthetic.V(x[:, 2:])},
    )
    page = page_of(dataclasses.replace(material, subject=four, certificates={}, validation=None))
    assert "A slice through the equilibrium" in page
    assert ">φ [rad]<" in page


def test_one_state_has_no_plane_and_no_error(material) -> None:
    import numpy as np

    line = dataclasses.replace(
        material.subject,
        state=(("x", ""),),
        lower=np.array([-1.0]),
        upper=np.array([1.0]),
        equilibrium=np.zeros(1),
        field=lambda x: -x,
        policy=lambda x: -x,
        candidates={"stability": lambda x: x[:, 0] ** 2},
    )
    tree_of(page_of(dataclasses.replace(material, subject=line, certificates={}, validation=None)))


def test_heading_names_task_and_parameters(material) -> None:
    assert heading_of(material) == "Pendulum, torque limit 6.0"


def test_assets_ship_with_the_package() -> None:
    import ctrlnet.reports

    assets = Path(ctrlnet.reports.__file__).parent / "assets"
    assert sorted(path.name for path in assets.iterdir()) == ["page.css", "page.html"]
