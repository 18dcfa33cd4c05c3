#!/usr/bin/env python
"""How long `mvreg register` takes in one process.

Python Testing/record/speed.py TREE [TREE] [--runs 10] [--json FILE].

Registers cases again and again with the program of one checkout, or of two in turn, so that
whatever else the machine does falls on both alike. Prints median and spread of the seconds of the
whole command and of the registration in it, the most memory of each process and, of two checkouts,
the ratio of their medians. Kernels are compiled before the first run that counts.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SIM = ROOT / ".." / "shared" / "data" / "sim"
NAMES = ("pelvis-lateral", "pelvis-oblique-1", "pelvis-oblique-2", "pelvis-three-views-wires")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "trees", nargs="+", type=Path, help="one checkout, or two: the old one first"
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        type=Path,
        default=[SIM / name for name in NAMES],
        help="default: the four in shared/data/sim",
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path, help="also write what was measured to this file")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.trees[0])
    missing = [str(case) for case in options.cases if not case.exists()]
    if missing or len(options.trees) > 2:
        print(
            f"speed.py: {missing[0]} does not exist"
            if missing
            else "speed.py: expected one checkout or two",
            file=sys.stderr,
        )
        return 2
    measured = measure(
        [tree.resolve() for tree in options.trees],
        [case.resolve() for case in options.cases],
        options.runs,
    )
    print(table(measured))
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(trees: list[Path], cases: list[Path], runs: int) -> dict:
    """Seconds of `runs` registrations of each case with each tree, in turn and in alternating order."""
    workers = [Worker(tree) for tree in trees]
    rows: list[dict] = []
    try:
        for case in cases:
            seconds: list[list[dict]] = [[] for _ in trees]
            for each in workers:
                each.register(case)  # loads the CT's file, compiles
            for run in range(runs):
                for nth in sorted(range(len(trees)), reverse=bool(run % 2)):
                    seconds[nth].append(workers[nth].register(case))
            rows.append(
                {
                    "case": case.name,
                    "trees": [
                        {what: [run[what] for run in some] for what in ("command", "registration")}
                        for some in seconds
                    ],
                }
            )
            print(f"{case.name}: {runs} runs", file=sys.stderr)
        peaks = [each.end() for each in workers]
    finally:
        for each in workers:
            each.process.kill()
            each.process.wait()
    return {
        "trees": [
            {"path": str(tree), "commit": commit(tree), "peak_memory_mb": peak}
            for tree, peak in zip(trees, peaks, strict=True)
        ],
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
        },
        "rows": rows,
    }


def table(measured: dict) -> str:
    """What was measured, as text: medians and quartiles in seconds."""

    def told(values: list[float]) -> str:
        low, middle, high = np.percentile(values, [25, 50, 75])
        return f"{middle:7.3f} ({low:.3f} to {high:.3f})"

    two = len(measured["trees"]) == 2
    lines = [
        f"{each['path']} at {each['commit']}: peak memory {each['peak_memory_mb']:.0f} MB"
        for each in measured["trees"]
    ]
    for row in measured["rows"]:
        for what in ("command", "registration"):
            values = [each[what] for each in row["trees"]]
            ratio = ""
            if two:
                # Of neighbours in time, so that a machine that slows down meanwhile says nothing.
                pairs = np.array(values[1]) / np.array(values[0])
                ratio = f"   new / old {np.median(values[1]) / np.median(values[0]):.3f}, in pairs {np.median(pairs):.3f}"
            lines.append(
                f"{row['case']:28}{what:14}" + "   ".join(told(each) for each in values) + ratio
            )
    if two:
        for what in ("command", "registration"):
            ratios = [
                np.median(row["trees"][1][what]) / np.median(row["trees"][0][what])
                for row in measured["rows"]
            ]
            lines.append(
                f"{'all, geometric mean':28}{what:14}new / old "
                f"{np.exp(np.mean(np.log(ratios))):.3f}"
            )
    return "\n".join(lines)


class Worker:
    """A process that registers one case after the other with the program of one tree."""

    def __init__(self, tree: Path):
        environment = {**os.environ, "PYTHONPATH": str(tree / "MultiViewRegistration")}
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(tree), "--work"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def register(self, case: Path) -> dict:
        """Seconds of the command and of the registration in it."""
        return self._ask(str(case))

    def end(self) -> float:
        """The most memory it has used, MB."""
        return self._ask("end")["peak_memory_mb"]

    def _ask(self, line: str) -> dict:
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"speed.py: the program of {self.process.args[2]} has ended")
        return json.loads(answer)


def work(tree: Path) -> int:
    """In a worker: a case for each line of stdin, its seconds as a line of stdout."""
    from MultiViewRegistrationLib.cli import main as program

    if not Path(program.__file__).resolve().is_relative_to(tree):
        raise SystemExit(f"speed.py: {program.__name__} is not that of {tree}")
    for line in sys.stdin:
        if line.strip() == "end":
            import resource

            print(
                json.dumps(
                    {"peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
                ),
                flush=True,
            )
            return 0
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            begun = time.perf_counter()
            status = program.main(["register", line.strip(), "--out", f"{folder}/out"])
            command = time.perf_counter() - begun
            seconds = json.loads(Path(folder, "out", "result.json").read_text())["seconds"]
        if status != 0:
            raise SystemExit(f"speed.py: mvreg register {line.strip()} ended with {status}")
        print(
            json.dumps({"command": command, "registration": seconds["total"] - seconds["load"]}),
            flush=True,
        )
    return 0


def commit(tree: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(tree), "describe", "--always", "--dirty"], capture_output=True, text=True
    )
    return done.stdout.strip() or "no commit"


def processor() -> str:
    try:
        return re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M).group(1)
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
