"""A stranger's distribution, installed beside ctrlnet, is found and used by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctrlnet import UsageError
from ctrlnet.cli.plugins import main
from ctrlnet.cli.scaffold import scaffold

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"


def run(*arguments: object, target: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python process that has the folder `target` on its path."""
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=target, env=environment, capture_output=True, text=True, check=False)


def install(source: Path, target: Path) -> Path:
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target")
    done = run("-m", "pip", "install", *options, target, source, target=target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Path:
    return install(EXAMPLE, tmp_path_factory.mktemp("stranger"))


def test_it_is_used_by_name(stranger):
    script = """
import sys, torch, ctrlnet
assert "ssp3" in ctrlnet.names("integrators") and "cart" in ctrlnet.names("environments")
assert not [name for name in sys.modules if name.startswith("balance_lab")]
t = torch.linspace(0, 1, 11, dtype=torch.float64)
x = ctrlnet.odeint(lambda x: -x, torch.ones(1, dtype=torch.float64), t, method="ssp3", step=0.01)
assert abs(float(x[-1]) - float(torch.exp(-t[-1]))) < 1e-5
cart = ctrlnet.make("cart", force_limit=2.0)
assert cart.system.limits.upper.tolist() == [2.0]
from ctrlnet.plugins import provenance
assert provenance("environments", "cart") == {
    "distribution": "balance-lab", "version": "1.3.0", "value": "balance_lab.cart:Cart"}
"""
    done = run("-c", script, target=stranger)
    assert done.returncode == 0, done.stderr


def check_and_test(name: str, *, tests: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """`ctrlnet plugins check` and the distribution's own tests, in one process."""
    pytest_options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tests), str(tests)]
    script = f"""
import sys, pytest
from ctrlnet.cli import main
sys.exit(main(["plugins", "check", *{name.split()!r}]) or pytest.main({pytest_options!r}))
"""
    return run("-c", script, target=target)


def test_it_passes_the_kits_and_its_own_tests(stranger):
    done = check_and_test("ssp3 cart", tests=EXAMPLE / "tests", target=stranger)
    assert done.returncode == 0 and "2 of 2 pass" in done.stdout, done.stdout + done.stderr


def test_the_allow_list_hides_it(stranger):
    done = run("-m", "ctrlnet.cli", "plugins", "show", "cart", target=stranger, CTRLNET_PLUGINS="")
    assert done.returncode == 2 and "CTRLNET_PLUGINS='' does not allow 'balance-lab'" in " ".join(done.stderr.split())
    done = run("-m", "ctrlnet.cli", "plugins", "show", "cart", target=stranger, CTRLNET_PLUGINS="balance_lab")
    assert done.returncode == 0 and "force_limit: float = 4.0" in done.stdout, done.stderr


def test_its_environment_is_trained_and_certified(stranger, tmp_path):
    script = f"""
import ctrlnet
ctrlnet.train("cart", integrator="ssp3", out={str(tmp_path / "cart")!r})
"""
    done = run("-c", script, target=stranger)
    assert done.returncode == 0, done.stderr
    done = run("-m", "ctrlnet.cli", "certify", tmp_path / "cart", target=stranger)
    assert done.returncode == 0 and "certified" in done.stdout, done.stdout + done.stderr
    done = run("-m", "ctrlnet.cli", "certify", tmp_path / "cart", target=tmp_path)
    assert done.returncode == 2 and "cart" in done.stderr  # the plug-in is not installed here


@pytest.mark.parametrize("kind", ["integrator", "optimizer", "environment"])
def test_a_new_plugin_installs_and_passes(kind, tmp_path, capsys):
    assert main(["new", "my_own", "--kind", kind, "--path", str(tmp_path)]) == 0
    assert "ctrlnet plugins check my_own" in capsys.readouterr().out
    target = tmp_path / "target"
    target.mkdir()
    install(tmp_path / "ctrlnet-my-own", target)
    done = check_and_test("my_own", tests=tmp_path / "ctrlnet-my-own" / "tests", target=target)
    assert done.returncode == 0 and "1 of 1 pass" in done.stdout, done.stdout + done.stderr


def test_a_new_plugin_overwrites_nothing(tmp_path):
    folder = scaffold("my_own", "integrator", tmp_path)
    (folder / "README.md").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        scaffold("my_own", "integrator", tmp_path)
    assert (folder / "README.md").read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize("name", ["My", "2step", "a-b", "", "class", "../out", "rk4"])
def test_names_that_cannot_be(name, tmp_path):
    with pytest.raises(UsageError, match=r"lower_snake_case|installed already"):
        scaffold(name, "integrator", tmp_path)
    assert not list(tmp_path.iterdir())
