"""Fixtures of the tests that run a panel, in Slicer's own application or on its stand-in."""

import os
from importlib import import_module

import pytest
import SimpleITK as sitk
from helpers.hosts import IN_SLICER

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets import chest

#: What the stand-in imports, and where it comes from.
NEEDED = {
    "PySide6.QtWidgets": (
        'pip install "PySide6-Essentials>=6.8"; Debian: apt install libdbus-1-3 libegl1 libfontconfig1 libgl1 libxkbcommon0'
    ),
    "trame_slicer.core": 'pip install "trame-slicer[standalone]>=2.0"; Debian: apt install libegl1 libgl1',
}
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
for module in () if IN_SLICER else NEEDED:
    if os.environ.get("MVREG_REQUIRE_PACKAGES") == "1":
        import_module(module)
    pytest.importorskip(module, reason=f"needs {module}: {NEEDED[module]}", exc_type=ImportError)

from slicer_host import Host  # noqa: E402, I001 (it makes qt)
import qt  # noqa: E402
import slicer  # noqa: E402
from gui_driver import GuiDriver  # noqa: E402


@pytest.fixture
def host():
    """Slicer, or its stand-in, with an empty scene and no messages.

    An unexpected failure in a slot fails the test.
    """
    host = Host()
    yield host
    host.close()


@pytest.fixture
def person(host, ct, views):
    """At a registration of the phantom that somebody has begun, with Start and Register unfolded."""
    return GuiDriver(host).open_phantom(ct, views)


@pytest.fixture
def focus(host):
    """Gives the focus to a widget of a class in a window of its own, as a view or a field of another module."""
    made = []

    def give(kind):
        widget = kind()
        made.append(widget)
        widget.setFocusPolicy(qt.Qt.StrongFocus)
        widget.show()
        widget.activateWindow()
        widget.setFocus()
        host.process(1, until=lambda: widget.focus)
        return widget

    yield give
    for widget in made:
        widget.deleteLater()


@pytest.fixture
def length_unit(host):
    """Makes mm or cm the unit of length of Slicer's settings; for all other tests it is mm."""
    unit = slicer.app.applicationLogic().GetSelectionNode().GetUnitNode("length")

    def use(name):
        unit.SetSuffix(name)
        unit.SetDisplayCoefficient({"mm": 1.0, "cm": 0.1}[name])
        host.process(0.2)

    yield use
    use("mm")


@pytest.fixture(scope="session")
def coarse_chest(tmp_path_factory):
    """The sample's CT with a 16th of its voxels, which is read and registered in a second or two."""
    path = tmp_path_factory.mktemp("chest") / "chest.nii.gz"
    try:
        sitk.WriteImage(sitk.BinShrink(sitk.ReadImage(str(chest.chest_ct())), [4, 4, 1]), str(path))
    except InputError as error:
        pytest.skip(str(error))
    return path


@pytest.fixture
def sample(host, coarse_chest, tmp_path, monkeypatch):
    """The user's cache is empty, and the sample's CT, once it is downloaded, the coarse one."""
    monkeypatch.setattr(chest, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(chest, "chest_ct", lambda: coarse_chest)
