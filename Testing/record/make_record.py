#!/usr/bin/env python
"""Writes the record anew from the program as it is.

python Testing/record/make_record.py [CASE ...] [--json FILE]

With names of cases only these are made again and the others stay. Only for a change that is meant
to change poses: say so in its commit.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("", "MultiViewRegistration", "Testing", "Testing/record")
sys.path[:0] = [str(ROOT / part) for part in PARTS]

from record_cases import CASES  # noqa: E402
from recorded import RECORD, fingerprint, outcome  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument(
        "--json", type=Path, default=RECORD, help="the record (default: %(default)s)"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.cases) - set(CASES)):
        parser.error(f"no case is called {', '.join(unknown)}")
    made, made_with = {}, fingerprint()
    if options.cases and options.json.exists():
        before = json.loads(options.json.read_text(encoding="utf-8"))
        anywhere = all(name.startswith("geometry-") for name in options.cases)
        if before["made with"] != made_with and not anywhere:
            parser.error("the record was made on another kind of machine: make all of it again")
        made, made_with = before["cases"], before["made with"]
    with tempfile.TemporaryDirectory() as data:
        os.environ["MVREG_DATA"] = data  # models of whoever runs this must not count
        for name in options.cases or CASES:
            case = CASES[name]
            if case.needs and not case.needs.exists():
                print(f"{name}: left out, needs {case.needs}", file=sys.stderr)
                continue
            begun = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                made[name] = outcome(Path(folder), case.make(Path(folder)))
            print(f"{name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr)
            write(options.json, {each: made[each] for each in CASES if each in made}, made_with)
    return 0


def write(path, cases, made_with):
    """A line for each case."""
    lines = [f'  "{name}": {json.dumps(value)}' for name, value in cases.items()]
    path.write_text(
        '{\n "made with": '
        + json.dumps(made_with)
        + ',\n "cases": {\n'
        + ",\n".join(lines)
        + "\n }\n}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
