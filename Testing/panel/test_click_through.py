"""A whole registration at the panel.

The sample, from an empty scene to the files for navigation, and a saved scene.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from gui_driver import GuiDriver, likeness
from running_session import no_thread_is_left

from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.io.datasets.chest import SAMPLE_FOLDER

SAMPLE = json.loads((SAMPLE_FOLDER / "case.json").read_text(encoding="utf-8"))
TRUE_POSE, TARGETS = np.array(SAMPLE["truth"]["world_from_ct"]), np.array(SAMPLE["targets"])
#: Degrees and mm that pixels of these small views are worth at the CT.
ABOUT_MM = 4.0


def error_mm(pose) -> float:
    """Mean distance of the sample's targets from where they truly are."""
    return float(
        np.linalg.norm(
            transform_points(pose, TARGETS) - transform_points(TRUE_POSE, TARGETS), axis=1
        ).mean()
    )


def test_the_sample_from_an_empty_scene_to_navigation(host, sample, tmp_path):
    person = GuiDriver(host)
    sees_where_to_begin(person)
    downloads_the_sample(person)
    is_told_the_answer(person)
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
    assert not host.shown("critical", "warning")


def sees_where_to_begin(person) -> None:
    assert [
        person.header(name) for name in ("ct", "xrays", "start", "register", "check", "export")
    ] == ["\u25cb"] * 6
    assert "Drop a CT here" in person.text("ct", "status") and not person.ui.layoutButton.enabled
    assert person.control("register", "register") is None and person.message == ""
    assert not person.ui.answerFrame.visible  # the files that an empty panel asks for come first


def downloads_the_sample(person) -> None:
    import slicer

    (source,) = slicer.modules.sampleDataSources[
        "MultiViewRegistration"
    ]  # what Slicer's Sample Data does at a click
    source.customDownloader(source)
    person.wait(
        lambda: person.ui.registrationSelector.currentNode() is not None
    )  # it is read in a thread
    assert person.ui.registrationSelector.currentNode().GetName() == "demo"
    person.wait_until_read()
    assert person.header("ct") == "\u25d0 chest" and "128 \u00d7 128 \u00d7 66" in person.text(
        "ct", "facts"
    )
    assert [row[:2] for row in person.cells("xrays", "xrays")] == [
        ["AP", "LAO 2\u00b0, CRA 3\u00b0"],
        ["lateral", "LAO 88\u00b0, CAU 2\u00b0"],
    ]
    assert person.header("xrays") == "\u25d0 2 views ready"
    assert person.header("start") == "\u25d0 From here"


def is_told_the_answer(person) -> None:
    person.wait(lambda: person.answer().startswith("\u2714 ACCEPT: probably 0."))
    assert error_mm(person.pose) < 0.1 and person.history() == ["Before", "From here*"]
    assert person.ui.answerViews.text.split() == ["\u2714", "AP", "\u2714", "lateral"]
    assert person.widget("answer", "registration").enabled and person.message == ""
    person.press("answer", "undo")
    assert (
        person.answer() == "\u25cb NOT ASSESSED: this pose is no result of a registration"
        and not person.ui.answerViews.visible
    )


def shows_the_views(person) -> None:
    person.give_views(300, 220)
    person.host.click(person.ui.layoutButton)
    assert {"XRay1", "XRay2"} <= set(person.views.sliceViewNames())
    assert all(person.picture(number).std() > 20 for number in (1, 2))
    assert (
        len(np.unique(person.views.threeDWidget(0).threeDView()._pixels().reshape(-1, 3), axis=0))
        > 300
    )  # more than the background
    person.views.threeDWidget(0).hide()  # what it shows takes Mesa longer to draw than all else
    shown = [
        person.views.sliceWidget(f"XRay{number}").mrmlSliceCompositeNode() for number in (1, 2)
    ]
    person.wait(
        lambda: all(node.GetForegroundVolumeID() for node in shown)
    )  # the CT as an X-ray, before anything is asked


def registers_by_search(person) -> None:
    before, poses = error_mm(person.pose), set()
    person.choose("start", "start", "Search")
    transform = person.panel.registration.ct_transform
    event = transform.TransformModifiedEvent
    seen = transform.AddObserver(event, lambda *_: poses.add(person.pose.tobytes()))
    person.press("answer", "register")
    assert (
        person.widget("answer", "cancel").visible
        and not person.widget("register", "register").enabled
    )
    assert person.text("answer", "progress")
    person.wait_for_work()
    transform.RemoveObserver(seen)
    assert before > 10 and error_mm(person.pose) < 0.1 and len(poses) > 2  # level by level
    assert "Done in" in person.text("register", "outcome") and person.message == ""
    assert person.history() == ["Before", "From here", "Search*"]
    assert person.header("register").startswith("\u2714 accept, probably ")


def goes_through_the_history(person) -> None:
    found = person.pose
    person.pick("register", "history", 0)
    assert error_mm(person.pose) > 10 and person.history() == ["Before*", "From here", "Search"]
    assert person.header("export").startswith("\u25cb")
    person.press("register", "redo")
    assert np.array_equal(person.pose, found) and person.header("register").startswith("\u2714")


def looks_at_the_overlays(person) -> None:
    modes, none = (
        [option.title for option in person.control("check", "overlay").options],
        "X-ray alone",
    )
    person.choose("check", "overlay", none)
    person.wait(lambda: person.panel.session.drawing.at_rest)
    plain = person.picture(1)

    def differs() -> bool:
        return np.abs(person.picture(1).astype(int) - plain).mean() > 1

    for mode in modes:
        if mode not in (none, "Flicker"):
            person.choose("check", "overlay", mode)
            person.wait(differs)
    person.choose("check", "overlay", none)
    person.wait(lambda: not differs())
    person.choose("check", "overlay", "Blend")
    person.widget("check", "opacity").value = person.widget("check", "opacity").maximum
    person.host.process(0.2)
    registered = likeness(person.picture(1), plain)
    assert registered > 0.9  # the CT as an X-ray looks as the X-ray does
    person.pick("register", "history", 0)
    person.host.process(0.2)
    assert likeness(person.picture(1), plain) < registered - 0.05
    person.pick("register", "history", 2)
    person.wait(
        lambda: all(float(row[1] or 0) > 0.9 for row in person.cells("check", "similarity"))
    )


def links_a_point(person) -> None:
    target = TARGETS[0]
    pixels = [
        view.camera.project(transform_points(TRUE_POSE, target))
        for view in person.panel.registration.xrays
    ]
    person.press("check", "place_cursor")
    before = person.picture(2)
    person.click_pixel(1, pixels[0])
    assert "Click the same point in another X-ray" in person.text("check", "cursor")
    line = np.argwhere(np.abs(person.picture(2).astype(int) - before).max(axis=2) > 60)[:, ::-1]
    at = person.position(2, pixels[1])
    assert len(line) > 50  # the epipolar line, which goes through the point
    assert np.linalg.norm(line - [at.x(), at.y()], axis=1).min() < 3
    person.click_pixel(2, pixels[1])
    found = [
        float(number) for number in re.findall(r"[RAS] (-?[\d.]+)", person.text("check", "cursor"))
    ]
    assert np.linalg.norm(np.array(found) * [-1, -1, 1] - target) < ABOUT_MM, person.text(
        "check", "cursor"
    )
    person.press("check", "place_cursor")
    person.press("check", "clear_cursor")


def exports(person, folder: Path) -> None:
    person.switch("export", "case")
    person.write_files("export", "registration", folder)
    person.wait_for_work()
    assert person.message == "" and person.header("export") == "\u2714 written"
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert np.allclose(result["world_from_ct"], person.pose) and result["errors"]["mtre_mm"] < 0.1
    assert not result.get("override") and "<svg" in (folder / "report.html").read_text(
        encoding="utf-8"
    )
    transform = sitk.ReadTransform(str(folder / "world_from_ct.tfm"))
    assert (
        np.linalg.norm(
            transform.TransformPoint(TARGETS[3]) - transform_points(TRUE_POSE, TARGETS[3])
        )
        < 0.2
    )
    assert np.allclose(
        json.loads((folder / "case.json").read_text(encoding="utf-8"))["world_from_ct"], person.pose
    )


def saves_and_loads(person, path: Path) -> None:
    host, headers = (
        person.host,
        [person.header(name) for name in ("ct", "xrays", "start", "register", "check")],
    )
    found, history, picture = person.pose, person.history(), person.picture(1)
    assert host.app._core.io_manager.write_scene(path)
    host.scene.Clear(False)
    host.process(0.2)
    assert (
        person.panel.registration is None
        and person.header("ct") == "\u25cb"
        and not person.ui.layoutButton.checked
    )
    assert host.app._core.io_manager.load_scene(path)
    person.wait(lambda: person.panel.registration is not None)
    person.wait_until_read()
    assert person.ui.registrationSelector.currentNode().GetName() == "demo"
    assert np.allclose(person.pose, found, atol=1e-9) and person.history() == history
    assert person.ui.layoutButton.checked
    person.views.threeDWidget(0).hide()
    person.wait(lambda: not person.panel.session.preparing)
    assert [
        person.header(name) for name in ("ct", "xrays", "start", "register", "check")
    ] == headers  # and nothing is stale
    person.wait(lambda: np.abs(person.picture(1).astype(int) - picture).mean() < 3)


def changes_the_geometry(person) -> None:
    person.open_geometry(1)
    field = person.field(1, "source_to_detector_mm")
    assert person.text("geometry", field) == "1010" and person.text("export", "stale_reason") == ""
    person.type("geometry", field, "1000")
    person.press("geometry", "close")
    person.host.process(0.5)
    assert not person.header("register").startswith("\u2714") and "stale" in person.text(
        "export", "stale_reason"
    )
    assert not person.control("export", "registration").enabled


def leaves_and_comes_back(person) -> None:
    pose, header = person.pose, person.header("register")
    person.host.leave(person.module_widget)
    person.host.process(0.1)
    person.host.enter(person.module_widget)
    person.host.process(0.1)
    assert np.array_equal(person.pose, pose) and person.header("register") == header


def closes_the_scene_in_mid_run(person) -> None:
    person.press("answer", "register")
    assert person.panel.session.running
    person.host.scene.Clear(False)
    person.host.process(0.3)
    assert person.panel.registration is None and person.message == "" and no_thread_is_left()
    assert [
        person.header(name) for name in ("ct", "xrays", "start", "register", "check", "export")
    ] == ["\u25cb"] * 6
