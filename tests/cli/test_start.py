"""The top of the command line: help without torch, verbs, errors, exit status."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from ctrlnet.cli import VERBS, main

SLOW_MODULES = ("torch", "numpy", "tyro", "rich", "mujoco", "matplotlib", "gymnasium", "cvxpy")


def test_help_imports_nothing_that_is_slow() -> None:
    program = (
        "import sys; from ctrlnet.cli import main; status = main(['--help']); "
        f"print([name for name in {SLOW_MODULES!r} if name in sys.modules], status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_help_names_every_verb_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for usage, summary in VERBS.values():
        assert usage in text and summary in text
    for status in ("0 ", "1 ", "2 ", "3 ", "130 "):
        assert f"\n  {status}" in text
    assert max(map(len, text.splitlines())) <= 100


def test_no_argument_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: ctrlnet VERB" in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert "ctrlnet" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ctrlnet ")


def test_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certfy", "runs/pendulum"]) == 2
    shown = capsys.readouterr()
    assert "no verb 'certfy'" in shown.err and "Did you mean 'certify'?" in shown.err
    assert shown.out == "" and "Traceback" not in shown.err


def test_unknown_task_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "pendulm"]) == 2
    shown = capsys.readouterr().err
    assert "'pendulm'" in shown and "Did you mean 'pendulum'?" in shown and "Traceback" not in shown


@pytest.mark.parametrize("verb", ["run", "train"])
def test_a_task_is_needed(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    assert "needs the name of a task" in capsys.readouterr().err


def test_errors_are_json_lines_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "pendulm", "--json"]) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "error" and json.loads(line)["kind"] == "NameNotFound"


@pytest.mark.parametrize("verb", ["certify", "validate", "report"])
def test_a_missing_run_is_bad_input(verb: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, str(tmp_path / "nowhere")]) == 2
    shown = capsys.readouterr().err
    assert "nowhere" in shown and "Traceback" not in shown


def test_a_missing_certificate_is_bad_input(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "no.cert")]) == 2
    shown = capsys.readouterr()
    assert "no.cert" in shown.err + shown.out and "Traceback" not in shown.err


def test_a_folder_is_no_certificate(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "certificates").mkdir()
    (tmp_path / "certificates" / "stability.cert").write_text("")
    assert main(["check", str(tmp_path)]) == 2
    assert "stability.cert" in capsys.readouterr().err


def test_unknown_option_is_bad_usage(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--nonsense", "3"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_options_of_the_task_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "pendulum", "--env.torque-limit", "much"]) == 2
    assert "torque-limit" in capsys.readouterr().err
    assert main(["run", "pendulum", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--env.torque-limit FLOAT" in shown and "--env.torque-limit: largest |u| [N·m]" in " ".join(shown.split())


def test_name_may_follow_options() -> None:
    from ctrlnet.cli.settings import parse_task

    name, settings = parse_task(["--seed", "3", "pendulum", "--env.torque-limit", "0.75"], "train")
    assert (name, settings.seed, settings.env.torque_limit) == ("pendulum", 3, 0.75)


def test_ctrl_c_says_what_was_kept(monkeypatch, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    from ctrlnet.cli import report
    from ctrlnet.cli.console import keeping

    (tmp_path / "policy.safetensors").write_bytes(b"")

    def stopped(*_: object) -> int:
        with keeping(tmp_path):
            raise KeyboardInterrupt

    monkeypatch.setattr(report, "main", stopped)
    assert main(["report", str(tmp_path)]) == 130
    shown = capsys.readouterr().err
    assert "Ctrl-C" in shown and f"{tmp_path} (policy.safetensors)" in shown.replace("\n", " ")


def test_a_full_disk_is_told_without_traceback(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    from ctrlnet.cli import report

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", "runs/pendulum/report.html")

    monkeypatch.setattr(report, "main", full)
    assert main(["report", "runs/pendulum"]) == 2
    assert "No space left on device: runs/pendulum/report.html" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch) -> None:
    from ctrlnet.cli import report

    def broken(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(report, "main", broken)
    with pytest.raises(ZeroDivisionError):
        main(["report", "runs/pendulum"])


def test_the_command_is_installed_and_answers_at_once() -> None:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ctrlnet.cli", "--help"], capture_output=True, check=True)
    print(f"help took {time.perf_counter() - began:.2f} s")


def test_help_of_verbs_needs_no_torch() -> None:
    program = (
        "import sys; from ctrlnet.cli import main; "
        "statuses = [main([verb, '--help']) for verb in ('run', 'train', 'certify', 'check', 'validate', 'report')]; "
        "print(sorted({'torch', 'mujoco', 'matplotlib', 'cvxpy'} & set(sys.modules)), set(statuses))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] {0}"


def test_a_reader_that_leaves_is_no_error() -> None:
    program = (
        "import sys; from ctrlnet.cli import main, report; "
        "report.main = lambda *_: (_ for _ in ()).throw(BrokenPipeError()); "
        "sys.exit(main(['report', 'runs/pendulum']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (["certify", "--seconds", "-1"], "--seconds is -1"),
        (["certify", "--seconds", "nan"], "--seconds is nan"),
        (["certify", "--level", "-1"], "--level is -1"),
        (["validate", "--count", "-5"], "--count is -5"),
        (["validate", "--rate-hz", "0"], "--rate-hz is 0"),
    ],
)
def test_what_must_be_positive_is_named(line: list[str], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([line[0], "runs/nowhere", *line[1:]]) == 2
    assert option in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("options", [["--optimizer", "adamv"], ["--integrator", "rk5"], ["--out", "."]])
def test_run_says_nothing_before_a_usage_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "pendulum", *options]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err


def test_json_alone_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 2
    assert "needs a verb" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "train", "certify", "check", "validate", "report"])
def test_help_of_a_verb_names_json_and_its_argument(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--json" in shown and VERBS[verb][0].split()[-1] in shown and " PATH " not in shown
    if verb in ("run", "train"):
        assert f"ctrlnet {verb} pendulum --help" in shown


def test_no_video_is_described_as_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--no-video Write no video.mp4" in shown and "default: True" not in shown
