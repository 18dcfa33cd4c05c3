"""How the tests run the program, and judge a pose that it wrote."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib.geometry import rigid

MVREG = [sys.executable, "-c", "import sys; from MultiViewRegistrationLib.cli.main import main; sys.exit(main())"]
LIBRARY = Path(__file__).resolve().parents[2] / "MultiViewRegistration"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")])}


def mtre_mm(world_from_ct, case: dict) -> float:
    """mTRE against the truth of a parsed case.json."""
    targets = np.array(case["targets"])
    true = np.array(case["truth"]["world_from_ct"])
    difference = rigid.transform_points(np.array(world_from_ct), targets) - rigid.transform_points(true, targets)
    return float(np.linalg.norm(difference, axis=1).mean())


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
