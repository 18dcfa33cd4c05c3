"""What a registration need not wait for.

Packages that it does not use, and a compiler once the kernels are warmed up.
"""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers.program import ENVIRONMENT
from numba.core.dispatcher import Dispatcher

from MultiViewRegistrationLib import Case, register, save_result
from MultiViewRegistrationLib.registration import objective, similarity, tiles
from MultiViewRegistrationLib.registration.warm_up import warm_up, warm_up_other_half
from MultiViewRegistrationLib.rendering import cpu

#: Slow to import, and not used by `mvreg register`: a torch is only there for the regressor.
NOT_NEEDED = "torch pandas pydicom h5py nibabel itk vtk vtkmodules trame aiohttp dask".split()
REGISTER = """
import json, sys
from MultiViewRegistrationLib import Camera, assess, register
print(json.dumps(sorted(sys.modules)))
from MultiViewRegistrationLib import Case
print(json.dumps(sorted(sys.modules)))
from MultiViewRegistrationLib import save_result
from MultiViewRegistrationLib.cli.main import main
assert main(sys.argv[1:]) == 0
print(json.dumps(sorted(sys.modules)))
"""
#: Modules of the program that this script imports for a whole CT.
MOST_MODULES = 80
#: Imported where it is first used, so that a script begins at once, and reads a CT as soon as it
#: can.
LATER = "numba scipy.ndimage scipy.special PIL".split()


@pytest.mark.slow
def test_library_and_registration_import_nothing_that_they_do_not_use(case_file, tmp_path):
    command = [sys.executable, "-c", REGISTER, "register", case_file, "--out", tmp_path / "out"]
    printed = subprocess.check_output(command, env=ENVIRONMENT, text=True, timeout=300)
    functions, case, everything = (set(json.loads(line)) for line in printed.splitlines())
    assert "matplotlib" not in functions | case, "only the report has figures"
    assert not functions & {*LATER, "SimpleITK", "scipy"} and not case & {*LATER, "SimpleITK"}
    assert set(LATER) < everything and not everything & set(NOT_NEEDED)
    own = sum(name.startswith("MultiViewRegistrationLib") for name in everything)
    assert own <= MOST_MODULES, "what a whole CT does not need is imported where it is used"


def kernels():
    """The types for which each kernel of a registration is compiled, or loaded from numba's cache, in this process."""
    dispatchers = [
        each
        for module in (cpu, similarity, objective, tiles)
        for each in vars(module).values()
        if isinstance(each, Dispatcher)
    ]
    assert len(dispatchers) > 10
    return {each.py_func.__name__: set(each.signatures) for each in dispatchers}


@pytest.mark.slow
def test_the_child_process_compiles_no_kernels_of_its_own():
    warm_up()
    before = kernels()
    warm_up_other_half()
    assert kernels() == before


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
def test_a_registration_compiles_nothing_that_was_not_warmed_up(case_file, tmp_path, masked):
    """By a search, which ends with all that follows a given start."""
    case = Case.load(case_file)
    if masked:
        (body,) = case.bodies
        case.bodies = (replace(body, ct=replace(body.ct, mask=body.ct.volume.values > 100)),)
    for view in case.views[1:]:  # cameras are corrected, too
        view = replace(view, rotation_sd_deg=0.5, translation_sd_mm=1.0, principal_point_sd_px=0.5)
        case.views = [case.views[0], view]
    warm_up()
    warm = kernels()
    save_result(register(case, "search"), tmp_path / "out")
    assert kernels() == warm
