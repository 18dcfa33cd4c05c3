"""How the tests run the program, change its case, and judge a pose that it wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from file_io import read_json, write_json
from result_schema import assert_fits_schema

from MultiViewRegistrationLib.geometry import rigid

MVREG = [
    sys.executable,
    "-c",
    "import sys; from MultiViewRegistrationLib.cli.main import main; sys.exit(main())",
]
LIBRARY = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")]),
}
#: The program, for `python -c`, where a package cannot be found; to be formatted with its name.
WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{}":
            raise ModuleNotFoundError("No module named " + name, name=name)

sys.meta_path.insert(0, Missing())
from MultiViewRegistrationLib.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def run(*arguments, without: str = "") -> subprocess.CompletedProcess:
    """The program in a process of its own.   without: a package that cannot be found there."""
    command = [sys.executable, "-c", WITHOUT.format(without)] if without else MVREG
    done = subprocess.run(
        [*command, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode == 0 and arguments[0] == "register":
        for path in (Path(each, "result.json") for each in arguments):
            if path.is_file():
                assert_fits_schema(read_json(path))
    return done


def mtre_mm(world_from_ct, case: dict) -> float:
    """mTRE against the truth of a parsed case.json."""
    targets = np.array(case["targets"])
    true = np.array(case["truth"]["world_from_ct"])
    difference = rigid.transform_points(np.array(world_from_ct), targets) - rigid.transform_points(
        true, targets
    )
    return float(np.linalg.norm(difference, axis=1).mean())


def changed(case_file: Path, folder: Path, **changes) -> Path:
    """The case elsewhere, with other fields; None takes a field away."""
    case = read_json(case_file)
    case["ct"] = str(case_file.parent / case["ct"])
    for view in case["views"]:
        view["image"] = str(case_file.parent / view["image"])
    case = {key: value for key, value in (case | changes).items() if value is not None}
    write_json(folder / "case.json", case)
    return folder / "case.json"
