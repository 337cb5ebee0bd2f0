"""Run the benchmarks and hold their figures against `targets.toml`: `python benchmarks/run.py [NAME ...] [--record]`.

A benchmark is a file with `measure() -> dict[str, float]`: counts, or ratios of two things timed in the same run, since
these alone survive a busy machine. A target is an upper bound (`most`) or a lower bound (`least`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
TARGETS = HERE / "targets.toml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="benchmarks to run; all of them when none is given")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    parser.add_argument("--record", action="store_true", help="write the figures into targets.toml")
    options = parser.parse_args()
    targets = tomllib.loads(TARGETS.read_text())
    sys.path.insert(0, str(HERE))
    missed = 0
    for name in options.names or sorted(targets):
        if name not in targets:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(sorted(targets))}")
        for figure, value in importlib.import_module(name).measure().items():
            missed += not _say(name, figure, value, targets[name][figure], options.json)
            targets[name][figure].update(last=round(value, 4), machine=_machine(), commit=_commit())
    if options.record:
        TARGETS.write_text(_toml(targets))
    return int(missed > 0)


def _say(name: str, figure: str, value: float, target: dict[str, float], as_json: bool) -> bool:
    hit = value <= target.get("most", value) and value >= target.get("least", value)
    bound = f"<= {target['most']:g}" if "most" in target else f">= {target['least']:g}"
    if as_json:
        print(json.dumps({"benchmark": name, "figure": figure, "value": value, "target": bound, "hit": hit}))
    else:
        print(f"{'hit ' if hit else 'MISS'}  {name:<12} {figure:<34} {value:>10.4g}   target {bound}")
    return hit


def _machine() -> str:
    return f"{platform.machine()}, Python {platform.python_version()}"


def _commit() -> str:
    command = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _toml(targets: dict[str, dict[str, dict[str, object]]]) -> str:
    lines = ["# What each benchmark has to reach, and what it last did; written by 'make bench RECORD=1'."]
    for name, figures in targets.items():
        for figure, values in figures.items():
            body = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
            lines.append(f'{name}."{figure}" = {{ {body} }}')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
