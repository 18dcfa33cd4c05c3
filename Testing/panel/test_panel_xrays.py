"""The X-rays section, driven as a person does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from dropping import drop
from little_xray import SHAPE, intensity
from phantom import make_ct
from xrays_section import (
    CERTAINTY,
    COLUMNS,
    GEOMETRY,
    NAME,
    ROWS,
    SIMILARITY,
    USE,
    add,
    cell,
    open_module,
    place,
    rest,
)


@pytest.fixture
def opened(host):
    return open_module(host)


@pytest.fixture
def section(opened):
    return opened.panel.sections["xrays"]


def test_there_are_none_yet(host, section):
    assert "add X-rays" in section.button.text and section.ui.xrayTable.rowCount == 0
    assert not section.ui.geometryBox.visible
    ui = section.ui
    assert not any(button.enabled for button in (ui.addVolumeButton, ui.removeButton, ui.upButton, ui.downButton))


def test_files_are_read_beside_and_told_of_together(host, opened, section, tmp_path):
    for n in range(2):
        sitk.WriteImage(sitk.GetImageFromArray(intensity(n)), str(tmp_path / f"v{n}.png"))
    (tmp_path / "text.png").write_text("no image")
    sitk.WriteImage(sitk.GetImageFromArray(np.full(SHAPE, 9, np.uint8)), str(tmp_path / "flat.png"))
    host.answers.open_files = [tmp_path / name for name in ("v0.png", "text.png", "flat.png", "v1.png")]
    host.click(section.ui.addFilesButton)
    assert "reading " in section.button.text and section.button.property("state") == "running"
    rest(host, section)
    assert [view.name for view in section.registration.xrays] == ["v0", "v1"]
    message = opened.ui.messageLabel.text
    assert "text.png: cannot be read" in message and "flat: has no contrast" in message


def test_a_dicom_header_proposes_and_what_it_lacks_is_named(host, section, tmp_path):
    from imaging.dicom_files import XA_IMAGE, write_dicom

    write_dicom(
        tmp_path / "ap.dcm",
        intensity(),
        XA_IMAGE,
        Modality="XA",
        DistanceSourceToDetector="1100",
        DistanceSourceToPatient="700",
        PositionerPrimaryAngle="-20",
        PositionerSecondaryAngle="5",
    )
    host.answers.open_files = [tmp_path / "ap.dcm"]
    host.click(section.ui.addFilesButton)
    rest(host, section)
    ui = section.geometry.ui
    assert (ui.distanceEdit.text, ui.isocentreEdit.text, ui.raoLaoEdit.text, ui.raoLaoBox.currentIndex) == (
        "1100 mm",
        "700 mm",
        "20°",
        1,
    )
    assert (
        "The header lacks: pixel size, seen from source or detector." in ui.checkLabel.text
        and "principal point" in ui.checkLabel.text
    )
    assert not ui.applyButton.enabled


def test_a_case_that_is_dropped(host, section, tmp_path):
    ct = make_ct()
    image = sitk.GetImageFromArray(ct.volume.values)
    image.SetSpacing((2, 2, 2))
    image.SetOrigin((-47, -47, -47))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    reading = {
        "source_to_detector_mm": 1000,
        "source_to_isocentre_mm": 700,
        "pixel_mm": [2, 2],
        "size": [COLUMNS, ROWS],
        "cra_cau_deg": 0,
    }
    views = []
    for n, name in enumerate(("AP", "LAT")):
        sitk.WriteImage(sitk.GetImageFromArray(intensity(n)), str(tmp_path / f"{name}.mha"))
        views.append(
            {"name": name, "image": f"{name}.mha", "c_arm": {**reading, "rao_lao_deg": 90 * n}, "rotation_sd_deg": n}
        )
    content = {"version": 1, "ct": "ct.nrrd", "views": views, "shared_unknowns": {"isocentre_sd_mm": 4}}
    (tmp_path / "case.json").write_text(json.dumps(content))
    drop(section.button, tmp_path / "case.json")
    rest(host, section)
    assert [cell(section, row, GEOMETRY) for row in range(2)] == [
        "LAO 0\u00b0, CRA 0\u00b0",
        "LAO 90\u00b0, CRA 0\u00b0",
    ]
    assert cell(section, 1, CERTAINTY) == "\u00b11\u00b0, 0 mm" and section.ui.sharedIsocentreEdit.text == "± 4 mm"
    assert "2 views ready" in section.button.text and section.registration.ct.GetName() == "Phantom"


def test_use_name_order_and_remove(host, opened, section):
    for n, name in enumerate(("a", "b", "c")):
        add(host, section, name, n)
    table, ui = section.ui.xrayTable, section.ui
    table.item(1, NAME).setText("Lateral")
    host.process()
    assert section.registration.xrays[1].name == "Lateral"
    table.item(1, NAME).setText("A")
    host.process()
    assert "another view has the name" in opened.ui.messageLabel.text and cell(section, 1, NAME) == "Lateral"
    import qt

    table.item(0, USE).setCheckState(qt.Qt.Unchecked)
    host.process()
    assert [view.used for view in section.registration.xrays] == [False, True, True]
    table.selectRow(2)
    host.process()
    assert not ui.downButton.enabled
    host.click(ui.upButton)
    host.click(ui.upButton)
    assert (
        [cell(section, row, NAME) for row in range(3)] == ["c", "a", "Lateral"]
        and table.currentRow() == 0
        and not ui.upButton.enabled
    )
    host.answers.yes = False
    host.click(ui.removeButton)
    assert table.rowCount == 3
    host.answers.yes = True
    host.click(ui.removeButton)
    assert [view.name for view in section.registration.xrays] == ["a", "Lateral"] and table.currentRow() == 0
    assert host.scene.GetFirstNodeByName("c") is not None  # the volume that was there before
    for row in range(2):
        table.item(row, USE).setCheckState(qt.Qt.Unchecked)
    host.process()
    assert "none is used" in section.button.text


def test_more_than_can_be_shown(host, opened, section):
    for _ in range(7):
        section.registration.add_xray("more")
    for n in range(2):
        add(host, section, f"v{n}", n)
    assert section.ui.xrayTable.rowCount == 8 and "there are 8 views already" in opened.ui.messageLabel.text


def test_the_similarity_of_the_result_where_the_ct_is(host, section):
    from MultiViewRegistrationLib.mrml.fingerprint import fingerprint
    from MultiViewRegistrationLib.session.history import Entry, History

    add(host, section)
    registration = section.registration
    place(host, section, 30)
    told = {"similarity": {"AP": 0.8125}, "fingerprint": fingerprint(registration)}
    History(registration).add(Entry.now("search", registration.world_from_ct, **told))
    host.process(0.1)
    assert cell(section, 0, SIMILARITY) == "0.812"
    place(host, section, 31)
    assert cell(section, 0, SIMILARITY) == ""  # that of another geometry
    place(host, section, 30)
    assert cell(section, 0, SIMILARITY) == "0.812"
    moved = registration.world_from_ct
    moved[0, 3] += 1
    registration.world_from_ct = moved
    section.panel.invalidate()
    host.process(0.1)
    assert cell(section, 0, SIMILARITY) == ""


def test_nodes_that_are_deleted(host, opened, section):
    import slicer

    a, b = add(host, section, "a"), add(host, section, "b", 1)
    host.scene.RemoveNode(b)
    host.process(0.2)
    assert (
        "its volume is gone" in section.ui.xrayTable.item(1, NAME).toolTip() and not section.image.ui.invertBox.enabled
    )
    host.scene.RemoveNode(section.registration.xrays[1].node)
    host.process(0.2)
    assert section.ui.xrayTable.rowCount == 1 and section.ui.xrayTable.currentRow() == 0
    slicer.util.updateVolumeFromArray(a, np.full((1, *SHAPE), np.nan, np.float32))
    host.process(0.3)
    place(host, section, 0)
    host.process(0.3)
    assert "a cannot be used" in section.button.text and "no contrast" in section.ui.problemLabel.text
    host.scene.Clear(False)
    host.process(0.2)
    assert section.ui.xrayTable.rowCount == 0 and not section.ui.geometryBox.visible and section.registration is None


def test_another_registration(host, opened, section):
    from MultiViewRegistrationLib.mrml.registration import Registration

    add(host, section)
    host.type(section.geometry.ui.distanceEdit, "999")
    first = section.registration
    opened.setParameterNode(Registration.create(host.scene, "Other"))
    host.process(0.1)
    assert section.ui.xrayTable.rowCount == 0
    opened.setParameterNode(first)
    host.process(0.1)
    assert cell(section, 0, NAME) == "AP" and section.geometry.ui.distanceEdit.text == ""
