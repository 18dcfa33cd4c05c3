"""Files dropped anywhere in the window: recognised, asked about once, and added."""

import numpy as np
import pytest
from helpers.phantom import make_ct, make_views
from helpers.phantom_study import write_xrays
from helpers.planted_dicom import write_ct
from imaging.dicom_files import write_series

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A CT and two X-rays in DICOM, whose headers say all of the geometry, and another series of the CT."""
    folder = tmp_path_factory.mktemp("study")
    ct = make_ct()
    write_ct(folder / "ct", ct.volume.values, ct.volume.ct_from_index)
    write_xrays(folder)
    for view in make_views(ct):
        np.savetxt(folder / f"{view.name}.txt", view.camera.projection_matrix)
    hu = ct.volume.values.round().astype(np.int16)
    write_series(
        folder / "thin", hu, ct.volume.ct_from_index, prefix="thin", SeriesDescription="Thin slices"
    )
    return folder


@pytest.fixture
def empty(open_tab, serve):
    """A page with nothing in it."""
    tab = open_tab(serve())
    tab.page.wait_for_selector(".mv-welcome")
    return tab


def test_which_of_two_ct_series_is_asked_before_anything_is_added(empty, study):
    empty.drop(*study.glob("ct/*"), kinds=("dragover",))
    empty.page.get_by_text("Drop CT, X-rays, calibration, case or scene here").wait_for()
    empty.shot("over-empty")
    empty.drop(*study.glob("ct/*"), *study.glob("thin/*"), *study.glob("*.dcm"))
    empty.page.get_by_role("button", name="Continue").wait_for()
    empty.shot("asked-ct")
    assert empty.evaluate("xrays().length") == 0
    empty.choose("CT series", "Thin slices")
    empty.page.get_by_role("button", name="Continue").click()
    empty.wait_state("ct() && xrays().length === 2")
    empty.page.locator(".mv-asked").wait_for(state="hidden")


def test_a_calibration_asks_for_what_its_file_does_not_say(empty, study):
    empty.drop(*study.glob("*.dcm"))
    empty.wait_state("xrays().length === 2")
    empty.drop(study / "view1.txt", selector=".mv-views")
    empty.page.get_by_text("Calibration: view1.txt").wait_for()
    empty.shot("asked-calibration")
    for box, option in (
        ("Unit of its lengths", "mm"),
        ("World axes", "lps (DICOM, ITK)"),
        ("Coordinates of the first pixel's centre", "0 (OpenCV)"),
    ):
        empty.choose(box, option)
    empty.choose("Camera of view1", "view1.txt: view1")
    empty.page.get_by_role("button", name="Continue").click()
    empty.page.locator(".mv-asked").wait_for(state="hidden")
    assert empty.control("xrays", "xrays")["lines"][0]["cells"][1]["text"] == "matrix"
