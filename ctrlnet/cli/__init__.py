"""The command line: `ctrlnet VERB ...`, one thin file a verb.

Exit status, the same for every verb:

    0    done; every statement certified
    1    a statement is falsified, or validation failed
    2    bad usage or bad input; nothing was lost
    3    undecided within the budget
    130  stopped by Ctrl-C (143 by SIGTERM); a line says what was kept

This file imports neither torch nor tyro nor rich, so that `ctrlnet --help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["VERBS", "main"]

VERBS = {
    "run": ("run NAME", "train, certify, check, validate and report, in one go"),
    "train": ("train NAME", "train a policy into a run folder"),
    "certify": ("certify RUN", "prove the run's conditions, write its certificates"),
    "check": ("check FILE", "confirm a certificate by the independent checker"),
    "validate": ("validate RUN", "run the policy in MuJoCo over the certified region"),
    "report": ("report RUN", "write RUN/report.html, one self-contained page"),
    "plugins": ("plugins VERB", "list, show, check or begin plug-ins"),
}

EXIT_STATUS = """\
exit status
  0    done; every statement certified
  1    falsified, or validation failed
  2    bad usage or bad input
  3    undecided within the budget
  130  stopped by Ctrl-C (143 by SIGTERM)"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status; argv defaults to the program's own arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    json = "--json" in arguments
    arguments = [argument for argument in arguments if argument != "--json"]
    if (not arguments and not json) or arguments[:1] in (["-h"], ["--help"], ["help"]):
        return _say(_help())
    if arguments[:1] in (["-V"], ["--version"]):
        return _say(_version())
    # One thread a worker: small networks gain nothing from two, and lose a hundredfold on a machine that is busy.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from ctrlnet.cli.outcomes import guarded

    return guarded("".join(arguments[:1]), arguments[1:], json)


def _help() -> str:
    width = max(len(usage) for usage, _ in VERBS.values())
    verbs = "\n".join(f"  {usage:<{width}}  {summary}" for usage, summary in VERBS.values())
    return (
        "ctrlnet: train a stabilizing policy, prove what it keeps invariant, validate it in MuJoCo.\n\n"
        "usage: ctrlnet VERB ... [--json]\n\n"
        f"verbs ('ctrlnet VERB --help' lists the options of one)\n{verbs}\n\n"
        "options\n"
        "  --json         one JSON object a line on stdout and nothing else, for machines\n"
        "  --version      the version of ctrlnet\n"
        "  -h, --help     this text\n\n"
        f"{EXIT_STATUS}\n\n"
        "example\n"
        "  ctrlnet run pendulum --env.torque-limit 0.75 --out runs/hard"
    )


def _version() -> str:
    from importlib.metadata import version

    return f"ctrlnet {version('ctrlnet')}"


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0
