"""The own parts of the notebook are used as the program's are: as arguments, and registered by a package."""

import ast
import os
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from helpers.file_io import read_json
from helpers.phantom import START, error_mm, write_phantom_case
from helpers.refusals import refuses

pytest.importorskip("torch", reason="needs torch: pip install torch")

from helpers.program import ENVIRONMENT, result_in, run

from MultiViewRegistrationLib import extensions
from MultiViewRegistrationLib.finding import refinement_method
from MultiViewRegistrationLib.imaging.xray import SharedUnknowns
from MultiViewRegistrationLib.regressor.model import load_model
from mvreg import Cancelled, Case, train

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "extend.ipynb"
ENTRY_POINTS = """
[mvreg.refinement]
gradient-correlation = own_parts:GradientCorrelation
nelder-mead = own_parts:NelderMead
broken = a_package_that_is_gone:Refinement
[mvreg.network]
small = own_parts:SmallNetwork
[mvreg.loss]
geodesic = own_parts:Geodesic
"""
pytestmark = [
    pytest.mark.usefixtures("quick_training"),
    pytest.mark.filterwarnings("ignore:Only .* of the random images"),
]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The folder of an installed package with the notebook's classes, which registers nothing yet."""
    cells = [cell for cell in read_json(NOTEBOOK)["cells"] if cell["cell_type"] == "code"]
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells))
    kept = (ast.Import, ast.ImportFrom, ast.ClassDef)
    tree.body = [node for node in tree.body if isinstance(node, kept)]
    (tmp_path / "own_parts.py").write_text(ast.unparse(tree))
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    monkeypatch.setattr(extensions, "_given", {})
    return tmp_path


@pytest.fixture
def own(site):
    return import_module("own_parts")


@pytest.fixture
def installed(site):
    (site / "other-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


def refined(chosen, anatomy, views, progress=lambda _: None):
    return refinement_method(chosen).run(
        anatomy, views, START, progress=progress, shared=SharedUnknowns()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GradientCorrelation", "NelderMead"])
def test_an_own_refinement_finds_the_pose(own, anatomy, views, name):
    found = refined(getattr(own, name), anatomy, views)
    assert error_mm(START) > 9 and error_mm(found.world_from_ct) < 0.3


def test_an_own_refinement_is_heard_and_can_be_cancelled(own, anatomy, views):
    with pytest.raises(Cancelled):
        refined(own.NelderMead, anatomy, views, lambda now: now.stage != "nelder-mead")


def test_an_own_refinement_must_return_a_rigid_pose(own, anatomy, views):
    own.NelderMead.refine = lambda self, anatomy, views, world_from_ct, fit: 1.1 * world_from_ct
    with refuses('refinement "nelder-mead": '):
        refined(own.NelderMead, anatomy, views)


@pytest.mark.parametrize("name", ["joint", "Nelder Mead", None])
def test_an_own_name_is_none_of_the_programs(own, name):
    own.NelderMead.name = name
    with refuses("small letters, digits and hyphens"):
        refinement_method(own.NelderMead)


@pytest.mark.slow
def test_an_own_network_and_loss_are_trained_saved_and_opened_while_they_are_registered(
    own, case_file, tmp_path
):
    case = Case.load(case_file)
    folder = tmp_path / "model"
    model = train(case, folder, steps=4, network=own.SmallNetwork, loss=own.Geodesic)
    card = read_json(folder / "card.json")
    assert (card["network"], card["loss"]) == ("small", "geodesic")
    again = load_model(folder)
    poses = [each.candidates(case.views)[0].world_from_ct for each in (model, again)]
    assert np.array_equal(*poses)
    extensions._given.clear()
    del sys.modules["own_parts"]
    text = (folder / "card.json").read_text()
    for name in ("small", "own_parts:SmallNetwork"):  # which names a module to import
        (folder / "card.json").write_text(text.replace('"small"', f'"{name}"'))
        with refuses(f'the network "{name}" is not known.*install the package that registers it'):
            load_model(folder)
    assert "own_parts" not in sys.modules


def test_what_a_package_registers_is_found_by_its_name(installed):
    assert refinement_method("gradient-correlation").name == "gradient-correlation"
    assert extensions.names("network") == ["small"]
    assert extensions.find("loss", "geodesic").__module__ == "own_parts"
    known = "joint, .*broken, gradient-correlation, nelder-mead"
    with refuses(f'"tomorrow" is not known, expected one of {known}'):
        refinement_method("tomorrow")
    with refuses("a_package_that_is_gone"):
        refinement_method("broken")


@pytest.mark.slow
def test_the_program_registers_by_what_a_package_registers(installed, tmp_path, monkeypatch):
    paths = [ENVIRONMENT["PYTHONPATH"], str(installed)]
    monkeypatch.setitem(ENVIRONMENT, "PYTHONPATH", os.pathsep.join(paths))
    run(f"register {write_phantom_case(tmp_path)} --refine nelder-mead --out {tmp_path}/out")
    content = result_in(tmp_path / "out")
    assert content["refinement"] == "nelder-mead" and content["verdict"] is None
