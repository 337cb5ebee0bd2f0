"""The registry: lazy, and clear about everything that can be wrong with a plug-in."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

import ctrlnet
from ctrlnet import plugins
from ctrlnet.errors import BrokenPlugin, ContractMismatch, DuplicatePlugin, NameNotFound, UsageError

GOOD = """
class Method:
    ctrlnet_contract = 1
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution on sys.path: its metadata, its entry points, its one module."""

    def install(distribution: str, entries: dict[str, dict[str, str]], source: str = GOOD, module: str = "") -> Path:
        folder = tmp_path / distribution
        metadata = folder / f"{distribution.replace('-', '_')}-2.5.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
        groups = [
            f"[ctrlnet.{kind}]\n" + "\n".join(f"{name} = {value}" for name, value in offers.items())
            for kind, offers in entries.items()
        ]
        (metadata / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
        module = module or distribution.replace("-", "_")
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)
        return folder

    monkeypatch.delenv("CTRLNET_PLUGINS", raising=False)
    return install


def test_a_strangers_plugin_is_listed_without_importing_it(install):
    install("shop", {"integrators": {"fancy": "shop:Method"}}, "raise RuntimeError('imported')")
    assert "fancy" in ctrlnet.names("integrators")
    assert plugins.provenance("integrators", "fancy") == {
        "distribution": "shop",
        "version": "2.5",
        "value": "shop:Method",
    }
    assert "shop" not in sys.modules


def test_it_is_loaded_by_name(install):
    install("shop", {"integrators": {"fancy": "shop:Method"}})
    assert ctrlnet.load("integrators", "fancy") is sys.modules["shop"].Method


def test_an_unknown_name_gives_the_nearest_and_all(install):
    install("shop", {"integrators": {"fancy": "shop:Method"}})
    with pytest.raises(NameNotFound) as error:
        ctrlnet.load("integrators", "fanci")
    names = ctrlnet.names("integrators")
    assert {"rk4", "fancy"} < set(names)
    assert str(error.value) == (
        f"No integrator is named 'fanci'. Did you mean 'fancy'? Installed: {', '.join(names)}. "
        "A name added to pyproject.toml appears after 'pip install -e .'."
    )


def test_an_unknown_kind_gives_the_nearest_and_all():
    with pytest.raises(NameNotFound, match="Did you mean 'integrators'") as error:
        ctrlnet.names("integrator")
    assert "environments" in str(error.value)


@pytest.mark.parametrize(
    "source", ["import no_such_module", "raise ValueError('bad day')", "raise SystemExit(3)", "1 +", "Other = 1"]
)
def test_a_broken_plugin_breaks_only_itself(install, source):
    install("shop", {"integrators": {"fancy": "shop:Method"}}, source)
    assert {"fancy", "rk4"} <= set(ctrlnet.names("integrators"))
    with pytest.raises(BrokenPlugin, match=r"'fancy' of shop 2\.5 \(shop:Method\)") as error:
        ctrlnet.load("integrators", "fancy")
    assert error.value.__cause__ is not None and type(error.value.__cause__).__name__ in str(error.value)
    assert ctrlnet.load("integrators", "rk4").order == 4


@pytest.mark.parametrize(
    ("value", "reason"), [("nowhere.there:Method", "no module is named 'nowhere'"), ("shop", "not of the form")]
)
def test_what_is_broken_without_importing_is_listed_as_such(install, value, reason):
    install("shop", {"integrators": {"fancy": value}})
    (row,) = (plugin for plugin in plugins.describe("integrators") if plugin.name == "fancy")
    assert reason in row.problem and row.distribution == "shop" and row.version == "2.5"
    with pytest.raises(BrokenPlugin):
        ctrlnet.load("integrators", "fancy")


def test_two_distributions_under_one_name(install):
    install("shop", {"integrators": {"fancy": "shop:Method"}})
    install("other-shop", {"integrators": {"fancy": "other_shop:Method"}})
    assert ctrlnet.names("integrators").count("fancy") == 1
    with pytest.raises(DuplicatePlugin, match="'other-shop:fancy' or 'shop:fancy'") as error:
        ctrlnet.load("integrators", "fancy")
    assert "shop 2.5 (shop:Method)" in str(error.value) and "other-shop 2.5" in str(error.value)
    assert ctrlnet.load("integrators", "other_shop:fancy").__module__ == "other_shop"
    assert ctrlnet.load("integrators", "shop:fancy").__module__ == "shop"


def test_a_stranger_cannot_take_the_place_of_ours(install):
    install("shop", {"integrators": {"rk4": "shop:Method"}})
    with pytest.raises(DuplicatePlugin, match=r"'ctrlnet:rk4' or 'shop:rk4'"):
        ctrlnet.load("integrators", "rk4")


@pytest.mark.parametrize(
    ("declared", "upgrade"), [("2", "Upgrade ctrlnet"), ("0", "Upgrade 'shop'"), ("True", "declares no contract")]
)
def test_another_contract(install, declared, upgrade):
    install("shop", {"integrators": {"fancy": "shop:Method"}}, GOOD.replace("1", declared))
    with pytest.raises(ContractMismatch, match=upgrade) as error:
        ctrlnet.load("integrators", "fancy")
    assert "shop 2.5" in str(error.value) and "version 1" in str(error.value)


def test_no_contract(install):
    install("shop", {"integrators": {"fancy": "shop:Method"}}, "class Method: pass")
    with pytest.raises(ContractMismatch, match="'ctrlnet_contract = 1'"):
        ctrlnet.load("integrators", "fancy")


@pytest.mark.parametrize(("allowed", "seen"), [("shop", True), ("a, SHOP", True), ("", False), ("a b", False)])
def test_the_allow_list(install, monkeypatch, allowed, seen):
    install("shop", {"integrators": {"fancy": "shop:Method"}})
    monkeypatch.setenv("CTRLNET_PLUGINS", allowed)
    assert ("fancy" in ctrlnet.names("integrators")) is seen
    assert "rk4" in ctrlnet.names("integrators")
    if not seen:
        with pytest.raises(NameNotFound, match=r"shop 2\.5 \(shop:Method\) offers it, but CTRLNET_PLUGINS="):
            ctrlnet.load("integrators", "fancy")


def test_the_allow_list_compares_names_as_indexes_do(install, monkeypatch):
    install("Other.Shop", {"integrators": {"fancy": "other_shop:Method"}}, module="other_shop")
    monkeypatch.setenv("CTRLNET_PLUGINS", "other-shop")
    assert "fancy" in ctrlnet.names("integrators")


ENVIRONMENT = """
class Cart:
    ctrlnet_contract = 1
    def __init__(self, mass: float = 1.0, length: float = 2.0):
        self.mass = mass
        if mass < 0:
            raise TypeError("deep inside")
"""


def test_make_builds_with_parameters(install):
    install("shop", {"environments": {"cart": "shop:Cart"}}, ENVIRONMENT)
    assert ctrlnet.make("cart", mass=3.0).mass == 3.0


def test_make_refuses_parameters_that_do_not_exist(install):
    install("shop", {"environments": {"cart": "shop:Cart"}}, ENVIRONMENT)
    with pytest.raises(UsageError, match="Did you mean 'mass'") as error:
        ctrlnet.make("cart", mas=3.0)
    assert "mass: float = 1.0, length: float = 2.0" in str(error.value)
    with pytest.raises(TypeError, match="deep inside"):
        ctrlnet.make("cart", mass=-1.0)


def test_make_finds_tasks_too_and_refuses_to_guess(install):
    install("shop", {"tasks": {"cart": "shop:Cart"}}, ENVIRONMENT)
    assert ctrlnet.make("cart").mass == 1.0
    install("other", {"environments": {"cart": "other:Cart"}}, ENVIRONMENT)
    with pytest.raises(DuplicatePlugin, match="an environment and a task"):
        ctrlnet.make("cart")


def test_make_lists_what_there_is(install):
    with pytest.raises(NameNotFound, match=r"No environment or task is named 'pendulun'\. Did you mean 'pendulum'"):
        ctrlnet.make("pendulun")


def test_damaged_metadata_hides_nothing(install):
    folder = install("shop", {"integrators": {"fancy": "shop:Method"}})
    (folder / "shop-2.5.dist-info" / "METADATA").unlink()
    assert {"fancy", "rk4"} <= set(ctrlnet.names("integrators"))
    assert ctrlnet.load("integrators", "fancy").ctrlnet_contract == 1


def test_a_contract_is_not_inherited_from_ctrlnet(install):
    install("shop", {"environments": {"fancy": "shop:Lazy"}}, "import ctrlnet\nclass Lazy(ctrlnet.Environment): pass")
    with pytest.raises(ContractMismatch, match="declares no contract"):
        ctrlnet.load("environments", "fancy")


def test_one_distribution_found_twice_is_no_duplicate(install, monkeypatch):
    folder = install("shop", {"integrators": {"fancy": "shop:Method"}})
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    assert ctrlnet.load("integrators", "fancy").__name__ == "Method"


def test_a_parameter_of_another_type_is_told():
    with pytest.raises(UsageError, match="torque_limit is 'x'; give N·m above zero"):
        plugins.make("pendulum", torque_limit="x")
