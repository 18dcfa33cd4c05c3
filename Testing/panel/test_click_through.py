"""A whole registration at the panel: the sample, from an empty scene to the files for navigation, and a saved scene."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from person import Person, likeness, threads

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.io.datasets.chest import chest_ct

SAMPLE = json.loads(
    (
        Path(__file__).resolve().parents[2]
        / "MultiViewRegistration"
        / "Resources"
        / "SampleData"
        / "Chest"
        / "case.json"
    ).read_text(encoding="utf-8")
)
TRUE_POSE, TARGETS = np.array(SAMPLE["truth"]["world_from_ct"]), np.array(SAMPLE["targets"])
#: Degrees and mm that pixels of these small views are worth at the CT.
ABOUT_MM = 2.0


@pytest.fixture
def cache(host, tmp_path) -> None:
    """Slicer's cache, into which the sample's CT has been downloaded."""
    manager = host.scene.GetCacheManager()
    before, folder = manager.GetRemoteCacheDirectory(), tmp_path / "cache"
    (folder / "MultiViewRegistrationChest").mkdir(parents=True)
    manager.SetRemoteCacheDirectory(str(folder))
    try:
        shutil.copy(chest_ct(), folder / "MultiViewRegistrationChest" / "chest.nii.gz")
    except InputError as error:
        pytest.skip(str(error))
    yield
    manager.SetRemoteCacheDirectory(before)


def error_mm(pose) -> float:
    """Mean distance of the sample's targets from where they truly are."""
    return float(np.linalg.norm(transform_points(pose, TARGETS) - transform_points(TRUE_POSE, TARGETS), axis=1).mean())


def test_the_sample_from_an_empty_scene_to_navigation(host, cache, tmp_path):
    person = Person(host)
    sees_where_to_begin(person)
    downloads_the_sample(person)
    shows_the_views(person)
    registers_by_search(person)
    goes_through_the_history(person)
    looks_at_the_overlays(person)
    links_a_point(person)
    exports(person, tmp_path / "out")
    saves_and_loads(person, tmp_path / "scene.mrb")
    changes_the_geometry(person)
    leaves_and_comes_back(person)
    closes_the_scene_in_mid_run(person)
    assert not host.told("critical", "warning")


def sees_where_to_begin(person) -> None:
    assert [person.header(name) for name in ("ct", "xrays", "start", "register", "check", "export")] == ["\u25cb"] * 6
    assert "Drop a CT here" in person.of("ct").previewLabel.text and not person.ui.layoutButton.enabled
    assert not person.of("register").registerButton.enabled and person.message == ""


def downloads_the_sample(person) -> None:
    import slicer

    (source,) = slicer.modules.sampleDataSources["MultiViewRegistration"]  # what Slicer's Sample Data does at a click
    source.customDownloader(source)
    person.wait(lambda: person.ui.registrationSelector.currentNode() is not None)  # it is read in a thread
    assert person.ui.registrationSelector.currentNode().GetName() == "MultiViewRegistrationChest"
    person.wait_until_read()
    assert person.header("ct") == "\u25d0 chest" and "512 \u00d7 512 \u00d7 133" in person.of("ct").factsLabel.text
    table = person.of("xrays").xrayTable
    assert [[table.item(row, column).text() for column in (1, 2, 3)] for row in range(table.rowCount)] == [
        ["AP", "LAO 2\u00b0, CRA 3\u00b0", "reference"],
        ["lateral", "LAO 88\u00b0, CAU 2\u00b0", "calibrated"],
    ]
    assert person.header("xrays") == "\u25d0 2 views ready"
    assert person.header("start") == "\u25d0 Search, 15\u00b0 and 45 mm" and person.header("register").startswith(
        "\u25d0"
    )


def shows_the_views(person) -> None:
    person.give_views()
    person.host.click(person.ui.layoutButton)
    assert {"XRay1", "XRay2"} <= set(person.views.sliceViewNames())
    assert all(person.picture(number).std() > 20 for number in (1, 2))
    assert (
        len(np.unique(person.views.threeDWidget(0).threeDView()._pixels().reshape(-1, 3), axis=0)) > 300
    )  # more than the background
    shown = [person.views.sliceWidget(f"XRay{number}").mrmlSliceCompositeNode() for number in (1, 2)]
    person.wait(
        lambda: all(node.GetForegroundVolumeID() for node in shown)
    )  # the CT as an X-ray, before anything is asked


def registers_by_search(person) -> None:
    start, register = person.of("start"), person.of("register")
    person.host.click(start.searchRadioButton)
    before, poses, told = error_mm(person.pose), set(), set()
    person.host.click(register.registerButton)
    assert register.cancelButton.enabled and not register.registerButton.enabled and register.progressBar.visible

    def watches() -> bool:
        poses.add(person.pose.tobytes())
        told.add(re.sub(r",.*", "", register.statusLabel.text))
        return not person.panel.session.running

    watches()  # what the click has let happen
    person.wait(watches, 180.0)
    assert before > 10 and error_mm(person.pose) < 0.1
    assert {"Searching at 32 x 32 px", "Refining at 64 x 64 px"} <= told and len(
        poses
    ) > 2  # level by level, however fast it was
    assert "Done in" in register.statusLabel.text
    assert not register.progressBar.visible and person.message == ""
    assert person.history() == ["Before", "Search*"] and person.header("register").startswith(
        "\u2714 accept, probably below "
    )
    assert person.header("start") == "\u2714 Search"


def goes_through_the_history(person) -> None:
    from PySide6 import QtCore

    found, register = person.pose, person.of("register")
    person.host.click_cell(register.historyTable, 0, 1)
    assert (
        error_mm(person.pose) > 10
        and person.history() == ["Before*", "Search"]
        and person.header("export").startswith("\u25cb")
    )
    person.host.click(register.redoButton)
    assert np.array_equal(person.pose, found) and person.history() == ["Before", "Search*"]
    person.host.click(register.undoButton)
    assert error_mm(person.pose) > 10 and not register.undoButton.enabled
    person.host.key(register.historyTable, QtCore.Qt.Key_Y, QtCore.Qt.ControlModifier)
    if not np.array_equal(person.pose, found):  # a shortcut needs a window that is active
        person.host.click_cell(register.historyTable, 1, 1)
    assert np.array_equal(person.pose, found) and person.header("register").startswith("\u2714")


def looks_at_the_overlays(person) -> None:
    check, none = person.of("check"), "X-ray alone"
    modes = [check.overlayComboBox.itemText(index) for index in range(check.overlayComboBox.count)]
    person.host.choose(check.overlayComboBox, none)
    person.wait(lambda: person.panel.session.drawing.at_rest)
    plain = person.picture(1)

    def differs() -> bool:
        return np.abs(person.picture(1).astype(int) - plain).mean() > 1

    for mode in modes:
        if mode not in (none, "Flicker"):
            person.host.choose(check.overlayComboBox, mode)
            person.wait(differs)
            assert differs(), mode
    person.host.choose(check.overlayComboBox, none)
    person.wait(lambda: not differs())
    assert not differs()
    person.host.choose(check.overlayComboBox, "Blend")
    person.host.type(check.opacitySlider, "1")
    person.host.process(0.1)
    assert likeness(person.picture(1), plain) > 0.9  # the CT as an X-ray looks as the X-ray does
    person.host.click_cell(person.of("register").historyTable, 0, 1)
    person.host.process(0.2)
    assert likeness(person.picture(1), plain) < 0.8
    person.host.click_cell(person.of("register").historyTable, 1, 1)
    person.host.type(check.opacitySlider, "0.5")
    table = check.similarityTable
    person.wait(lambda: table.rowCount == 2 and all(float(table.item(row, 1).text() or 0) > 0.9 for row in range(2)))


def links_a_point(person) -> None:
    check, target = person.of("check"), TARGETS[0]
    pixels = [view.camera.project(transform_points(TRUE_POSE, target)) for view in person.panel.registration.xrays]
    person.host.click(check.cursorButton)
    before = person.picture(2)
    person.click_pixel(1, pixels[0])
    assert "Click the same point in another X-ray" in check.cursorLabel.text
    line = np.argwhere(np.abs(person.picture(2).astype(int) - before).max(axis=2) > 60)[:, ::-1]
    at = person.position(2, pixels[1])
    assert (
        len(line) > 100 and np.linalg.norm(line - [at.x(), at.y()], axis=1).min() < 3
    )  # the epipolar line goes through it
    person.click_pixel(2, pixels[1])
    found = [float(number) for number in re.findall(r"[RAS] (-?[\d.]+)", check.cursorLabel.text)]
    assert np.linalg.norm(np.array(found) * [-1, -1, 1] - target) < ABOUT_MM, check.cursorLabel.text
    person.host.click(check.cursorButton)
    person.host.click(check.clearCursorButton)
    assert not check.cursorLabel.visible


def exports(person, folder: Path) -> None:
    from PySide6 import QtWidgets

    export = person.of("export")
    assert not export.exportButton.enabled and export.hintLabel.text == "Choose a folder."
    person.host.type(export.folderPath.findChild(QtWidgets.QLineEdit), str(folder))
    person.host.click(export.caseCheckBox)
    person.host.click(export.exportButton)
    person.wait_for_work()
    assert (
        person.message == ""
        and "report.html" in export.writtenLabel.text
        and person.header("export") == "\u2714 written"
    )
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert (
        np.allclose(result["world_from_ct"], person.pose)
        and result["errors"]["mtre_mm"] < 0.1
        and not result.get("override")
    )
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8") and export.openReportButton.enabled
    transform = sitk.ReadTransform(str(folder / "world_from_ct.tfm"))
    assert np.linalg.norm(transform.TransformPoint(TARGETS[3]) - transform_points(TRUE_POSE, TARGETS[3])) < 0.2
    assert np.allclose(json.loads((folder / "case.json").read_text(encoding="utf-8"))["world_from_ct"], person.pose)


def saves_and_loads(person, path: Path) -> None:
    host, headers = person.host, [person.header(name) for name in ("ct", "xrays", "start", "register", "check")]
    found, history, picture = person.pose, person.history(), person.picture(1)
    assert host.app._core.io_manager.write_scene(path)
    host.scene.Clear(False)
    host.process(0.2)
    assert person.panel.registration is None and person.header("ct") == "\u25cb" and not person.ui.layoutButton.checked
    assert host.app._core.io_manager.load_scene(path)
    person.wait(lambda: person.panel.registration is not None)
    person.wait_until_read()
    assert person.ui.registrationSelector.currentNode().GetName() == "MultiViewRegistrationChest"
    assert np.allclose(person.pose, found, atol=1e-9) and person.history() == history
    assert person.ui.layoutButton.checked
    person.wait(lambda: not person.panel.session.preparing)
    assert [
        person.header(name) for name in ("ct", "xrays", "start", "register", "check")
    ] == headers  # and nothing is stale
    person.wait(lambda: np.abs(person.picture(1).astype(int) - picture).mean() < 3)


def changes_the_geometry(person) -> None:
    xrays, export, editor = person.of("xrays"), person.of("export"), person.panel.sections["xrays"].geometry.ui
    xrays.xrayTable.selectRow(1)
    person.host.process()
    assert editor.distanceEdit.text == "1010 mm" and not export.doubtLabel.visible
    for distance in ("1000", "1010"):
        person.host.type(editor.distanceEdit, distance)
        person.host.click(editor.applyButton)
        person.host.process(0.1)
        assert (
            not person.header("register").startswith("\u2714")
            and "stale" in export.doubtLabel.text
            and export.doubtLabel.visible
        )
        assert not export.exportButton.enabled and not export.sendButton.enabled
    person.host.click(person.of("start").givenRadioButton)
    person.host.click(person.of("register").registerButton)
    person.wait_for_work()
    assert (
        error_mm(person.pose) < 0.1 and person.header("register").startswith("\u2714") and not export.doubtLabel.visible
    )
    assert person.history()[-1] == "As placed*"


def leaves_and_comes_back(person) -> None:
    pose, header = person.pose, person.header("register")
    person.host.leave(person.module_widget)
    person.host.process(0.1)
    person.host.enter(person.module_widget)
    person.host.process(0.1)
    assert np.array_equal(person.pose, pose) and person.header("register") == header


def closes_the_scene_in_mid_run(person) -> None:
    person.host.click(person.of("register").registerButton)
    assert person.panel.session.running
    person.host.scene.Clear(False)
    person.host.process(0.3)
    assert person.panel.registration is None and person.message == "" and threads() == []
    assert [person.header(name) for name in ("ct", "xrays", "start", "register", "check", "export")] == ["\u25cb"] * 6
