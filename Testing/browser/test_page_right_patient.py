"""The page is killed and begun anew: whose work is offered, and whose files come to it."""

from __future__ import annotations

import numpy as np
import pytest
from file_io import read_json, write_json
from phantom import make_ct, make_views, write_phantom_case
from planted_dicom import write_ct, write_xray
from served import Served

A = {"PatientID": "A-1", "PatientName": "Alpha^Anna", "PatientBirthDate": "19500101"}
B = {"PatientID": "B-2", "PatientName": "Beta^Berta", "PatientBirthDate": "19600202"}


def write_case(folder, who: dict):
    """A case.json of DICOM files of this patient."""
    folder.mkdir()
    path, ct = write_phantom_case(folder), make_ct()
    content = read_json(path)
    write_ct(folder / "ct", np.rint(ct.volume.values), ct.volume.ct_from_index, **who)
    for view, entry in zip(make_views(ct), content["views"], strict=True):
        pixels = np.rint(40000 * np.exp(-view.xray.line_integrals)).astype(np.uint16)
        write_xray(folder / f"{view.name}.dcm", pixels, **who)
        entry["image"] = f"{view.name}.dcm"
    write_json(path, {**content, "ct": "ct"})
    return path


@pytest.mark.slow
def test_no_name_is_lent_after_the_server_was_killed(tmp_path, monkeypatch, open_tab):
    monkeypatch.setenv("MVREG_DATA", str(tmp_path / "data"))
    a, b = write_case(tmp_path / "one", A), write_case(tmp_path / "two", B)
    server = Served(str(b), folder=tmp_path)
    tab = open_tab(server)
    tab.ready()
    assert "patient B-2" in tab.page.locator("h1").inner_text()
    tab.register()
    while not list((tmp_path / "data" / "autosave").glob("*/state.json")):
        tab.page.wait_for_timeout(200)
    server.end()
    tab.page.close()
    tab.errors.clear()

    server = Served(folder=tmp_path)
    tab = open_tab(server)
    offered = tab.page.locator(".mv-autosaved")
    offered.get_by_text("patient B-2").wait_for()  # by its files, which lie where they lay
    assert "2 X-rays" in offered.inner_text() and offered.locator("img").count() == 1
    tab.shot("recovered_offered")
    tab.button("Go on where you were").click()
    tab.ready()
    assert "patient" not in tab.page.locator("h1").inner_text()
    tab.drop(a.with_name("view1.dcm"))
    tab.page.get_by_text("look like another patient's").wait_for()
    tab.shot("another_patient_asked")
    assert tab.button("Save what is open").count()
    tab.page.get_by_role("button", name="Add as views").click()
    tab.wait_state("xrays().length === 3")
    assert "patient" not in tab.page.locator("h1").inner_text()
    tab.page.get_by_text("of different patients by their DICOM headers").wait_for()
    tab.shot("another_patient_added")
    server.end()
    tab.page.close()
    tab.errors.clear()
