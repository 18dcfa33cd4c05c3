"""How the tests run the program, change its case, and judge a pose that it wrote."""

import io
import json
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.file_io import read_json, write_json
from helpers.result_schema import assert_fits_schema
from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.cli.main import main

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


class Said(NamedTuple):
    """What a command printed."""

    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def refusal(self):
        """The one sentence in place of an answer."""
        assert self.out == "" and len(self.err.strip().splitlines()) == 1, self.err
        return self.err


def run(command, status=0, without=""):
    """What a command, as it is typed, says in a process of its own, which ends with this status.

    without: a package that cannot be found there.
    """
    program = [sys.executable, "-c", WITHOUT.format(without)] if without else MVREG
    done = subprocess.run(
        [*program, *command.split()], env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == status, done.stderr
    return Said(done.stdout, done.stderr)


def call(arguments):
    """Exit status, and what a command of these words printed, run in this process.

    Whether `mvreg` starts and ends as a process is tested where that can make a difference: with
    signals, a terminal, packages that are missing, and once from beginning to end.
    """
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        warnings.resetwarnings()  # to what Python begins with, not pytest
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)
        try:
            ended = main(arguments)
        except SystemExit as end:  # of the parser
            ended = end.code
    return ended, Said(out.getvalue(), err.getvalue())


def mvreg(command, status=0):
    """What a command, as it is typed, prints in this process; it must end with this exit status."""
    ended, said = call(command.split())
    assert ended == status, said.err
    return said


def result_in(folder):
    """The result.json in a folder, which fits the schema."""
    result = read_json(folder / "result.json")
    assert_fits_schema(result)
    return result


def codes_of(assessed):
    """Codes of the findings in a part of a written JSON file."""
    return {finding["code"] for finding in assessed["findings"]}


def cautions_of(assessed):
    """Codes of the findings that limit a verdict."""
    return {each["code"] for each in assessed["findings"] if each["severity"] != "note"}


def mtre_mm(world_from_ct, case):
    """mTRE against the truth of a parsed case.json."""
    true = np.array(case["truth"]["world_from_ct"])
    return mtre(np.array(world_from_ct), true, np.array(case["targets"]))


def changed(case_file, folder, **changes):
    """The case elsewhere, with other fields; None takes a field away."""
    case = read_json(case_file)
    case["ct"] = str(case_file.parent / case["ct"])
    for view in case["views"]:
        view["image"] = str(case_file.parent / view["image"])
    case = {key: value for key, value in (case | changes).items() if value is not None}
    write_json(folder / "case.json", case)
    return folder / "case.json"
