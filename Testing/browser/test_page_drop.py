"""Files dropped anywhere in the window: recognised, read, with questions about missing conventions."""

import numpy as np
import pytest
from helpers.phantom import make_ct, make_views
from helpers.phantom_study import write_xrays
from helpers.planted_dicom import write_ct

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A CT and two X-rays in DICOM, and another matrix of each X-ray as text."""
    folder = tmp_path_factory.mktemp("study")
    ct = make_ct()
    write_ct(folder / "ct", ct.volume.values, ct.volume.ct_from_index)
    write_xrays(folder)
    for view in make_views(ct):
        np.savetxt(folder / f"{view.name}.txt", view.camera.projection_matrix)
    return folder


@pytest.fixture
def empty(open_tab, serve):
    """A page with nothing in it."""
    tab = open_tab(serve())
    tab.page.wait_for_selector(".mv-welcome")
    return tab


def test_conventions_of_a_dropped_calibration_are_asked(empty, study):
    empty.drop(*study.glob("ct/*"), kinds=("dragover",))
    empty.page.get_by_text("Drop CT, X-rays, calibration, case or scene here").wait_for()
    empty.drop(*study.glob("ct/*"), *study.glob("*.dcm"))
    empty.wait_state("xrays().length === 2 && ct() && !reading()")
    empty.drop(study / "view1.txt", selector=".mv-views")
    empty.page.get_by_text("Calibration: view1.txt").wait_for()
    for box, option in (
        ("Unit of its lengths", "mm"),
        ("World axes", "lps (DICOM, ITK)"),
        ("Coordinates of the first pixel's centre", "0 (OpenCV)"),
    ):
        empty.choose(box, option)
    empty.choose("view1.txt took", "view1")
    empty.page.locator(".mv-asked").wait_for(state="hidden")
    assert empty.control("xrays", "xrays")["lines"][0]["cells"][1]["text"] == "matrix"
