"""The Export section, driven by clicks: files that say what they are, and nothing handed on that nobody vouches for."""

from __future__ import annotations

import errno
import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from person import Person
from phantom import TRUE_POSE, off
from phantom_scene import phantom_registration, settle

from MultiViewRegistrationLib.io.case import Case


@pytest.fixture
def person(host):
    """At the Export section of the phantom, which nobody has registered yet."""
    person = Person(host)
    person.begin("export", phantom_registration(host.scene))
    return person


@pytest.fixture
def registered(person):
    """With a pose that passes for a result."""
    settle(person.panel.session)
    person.host.process(0.1)
    return person


def choose_folder(person, folder) -> None:
    from PySide6 import QtWidgets

    person.host.type(person.of("export").folderPath.findChild(QtWidgets.QLineEdit), str(folder))


def export(person) -> None:
    person.host.click(person.of("export").exportButton)
    person.wait_for_work()


def tick(person, name: str) -> None:
    person.host.click(getattr(person.of("export"), name))


def told(folder) -> dict:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_a_result_and_its_case_go_to_a_folder(person, tmp_path):
    registered, ui = person, person.of("export")
    person.panel.session.register("given")
    person.wait_for_work()
    assert registered.header("export") == "\u25d0"
    assert not ui.exportButton.enabled
    assert ui.hintLabel.text == "Choose a folder."
    assert not ui.overrideCheckBox.visible
    choose_folder(registered, tmp_path / "out")
    assert not ui.hintLabel.visible
    tick(registered, "caseCheckBox")
    export(registered)
    assert registered.message == ""
    assert registered.header("export") == "\u2714 written"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"result.json", "report.html", "world_from_ct.tfm", "world_from_ct.slicer.tfm", "case.json"} <= names
    assert all(
        name in ui.writtenLabel.text for name in ("result.json", "report.html", "case.json", "world_from_ct.slicer.tfm")
    )
    assert "override" not in told(tmp_path / "out")
    point = sitk.ReadTransform(str(tmp_path / "out" / "world_from_ct.tfm")).TransformPoint((10.0, -20.0, 5.0))
    assert np.allclose(point, (registered.pose @ [10, -20, 5, 1])[:3], atol=1e-6)
    back = Case.load(tmp_path / "out" / "case.json")
    assert np.allclose(back.world_from_ct, registered.pose)
    registered.host.click(ui.openReportButton)
    assert registered.host.told("url") == [(tmp_path / "out" / "report.html").as_uri()]
    (tmp_path / "out" / "report.html").unlink()
    registered.host.click(ui.openReportButton)
    assert "is no longer there" in registered.message


def test_something_to_write_must_be_chosen(registered, tmp_path):
    ui = registered.of("export")
    choose_folder(registered, tmp_path)
    assert ui.exportButton.enabled
    tick(registered, "resultCheckBox")
    assert not ui.exportButton.enabled
    assert ui.hintLabel.text == "Choose what to write."


def make_stale(person) -> None:
    person.registration.xrays[0].change(rotation_sd_deg=2.0)


def move(person) -> None:
    person.registration.world_from_ct = off(person.pose, [0, 0, 1.0], [1.0, 0, 0])


@pytest.mark.parametrize("change, word", [(make_stale, "stale"), (move, "moved by hand")])
def test_what_has_changed_since_needs_an_override_which_the_files_carry(registered, tmp_path, change, word):
    ui = registered.of("export")
    choose_folder(registered, tmp_path / "out")
    change(registered)
    registered.wait(lambda: word in ui.doubtLabel.text, 3)
    assert registered.header("export") == "\u25cb"
    assert not ui.exportButton.enabled
    assert "override the warning" in ui.hintLabel.text
    tick(registered, "overrideCheckBox")
    export(registered)
    assert registered.message == ""
    assert word in told(tmp_path / "out")["override"]
    assert word in (tmp_path / "out" / "world_from_ct.tfm").read_text()
    assert word in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_an_override_is_for_what_was_said_and_for_nothing_else(registered):
    ui = registered.of("export")
    move(registered)
    registered.wait(lambda: "moved by hand" in ui.doubtLabel.text, 3)
    tick(registered, "overrideCheckBox")
    registered.panel.session.history.go(registered.panel.session.history.position)
    make_stale(registered)
    registered.wait(lambda: "stale" in ui.doubtLabel.text, 3)
    assert not ui.overrideCheckBox.checked


def test_a_result_that_was_moved_and_put_back_stands_again(registered, tmp_path):
    ui, pose = registered.of("export"), registered.pose
    choose_folder(registered, tmp_path)
    move(registered)
    registered.wait(lambda: not ui.exportButton.enabled, 3)
    registered.registration.world_from_ct = pose
    registered.wait(lambda: ui.exportButton.enabled, 3)
    assert not ui.doubtLabel.visible


def test_a_pose_that_nobody_registered_is_no_result_but_its_case_can_be_written(person, tmp_path):
    ui = person.of("export")
    assert "no result of a registration" in ui.doubtLabel.text
    choose_folder(person, tmp_path / "out")
    assert not ui.exportButton.enabled
    tick(person, "caseCheckBox")
    tick(person, "resultCheckBox")
    export(person)
    assert {path.name for path in (tmp_path / "out").iterdir()} > {"case.json"}
    assert not (tmp_path / "out" / "result.json").exists()
    tick(person, "resultCheckBox")
    tick(person, "overrideCheckBox")
    export(person)
    assert told(tmp_path / "out")["start"]["method"] == "by hand"


def test_a_full_disk_is_a_message(registered, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.io import files

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    choose_folder(registered, tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", full)
        export(registered)
    assert "No space left on device" in registered.message
    assert registered.of("export").writtenLabel.text == ""
    assert not list((tmp_path / "out").iterdir())
    export(registered)  # once there is room again
    assert registered.message == ""
    assert registered.header("export") == "\u2714 written"


@pytest.mark.parametrize("what", ["resultCheckBox", "caseCheckBox"])
def test_a_folder_that_cannot_be_made_is_a_message(registered, tmp_path, what):
    (tmp_path / "file").write_text("not a folder")
    choose_folder(registered, tmp_path / "file" / "out")
    if what == "caseCheckBox":
        tick(registered, "caseCheckBox")
        tick(registered, "resultCheckBox")
    export(registered)
    assert "cannot be written there" in registered.message
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others on Windows")
def test_an_unwritable_folder_is_a_message(registered, tmp_path, monkeypatch):
    from MultiViewRegistrationLib.io import files

    def denied(*args, **kwargs):  # root may write anywhere, so the refusal is made
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.os, "replace", denied)
    choose_folder(registered, tmp_path / "out")
    export(registered)
    assert "Permission denied" in registered.message


def test_exporting_waits_for_the_work_under_way(registered, tmp_path):
    ui = registered.of("export")
    choose_folder(registered, tmp_path)
    registered.panel.session.register("search")
    registered.panel.invalidate()
    registered.host.process(0.06)
    if registered.panel.session.running:
        assert not ui.exportButton.enabled
        assert ui.hintLabel.text == "Wait until the work under way is done."
    registered.wait_for_work()
    assert ui.exportButton.enabled


def test_the_transform_is_shown_where_slicer_shows_it(person):
    person.host.click(person.of("export").transformsButton)
    assert person.host.told("module") == [f"module of {person.registration.ct_transform.GetName()}"]
    assert person.of("export").transformNameLabel.text == person.registration.ct_transform.GetName()


def test_all_that_the_command_line_writes_can_be_chosen(registered, tmp_path):
    from MultiViewRegistrationLib.io.navigation import CASE_KINDS, KINDS

    ui, section = registered.of("export"), registered.panel.sections["export"]
    assert list(section._formats) == [*KINDS, *CASE_KINDS]
    assert (
        not section._formats["resampled-mask"].enabled
        and "Choose a structure" in section._formats["resampled-mask"].toolTip
    )
    choose_folder(registered, tmp_path / "out")
    ui.formatsGroupBox.collapsed = False
    registered.host.process()
    assert ui.framesLabel.text.startswith("Of world_from_ct; transforms in both directions")
    for kind in ("tfm", "json", "dicom", "resampled-ct", "drr", "cameras"):
        registered.host.click(section._formats[kind])
    assert ui.formatsGroupBox.title == "Files for other programs (6)"
    export(registered)
    assert registered.message == ""
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {
        "world_from_ct.forward.tfm",
        "world_from_ct.resampling.tfm",
        "world_from_ct.ras.json",
        "ct_from_world.lps.json",
        "world_from_ct.dcm",
        "ct_in_world.nii.gz",
        "drr_view2.dcm",
        "cameras_in_world.mrml",
    } <= names
    assert "world_from_ct.forward.tfm" in ui.writtenLabel.text and not any(name.endswith(".h5") for name in names)
    inverse = sitk.ReadTransform(str(tmp_path / "out" / "world_from_ct.resampling.tfm"))
    assert np.allclose(
        inverse.TransformPoint((registered.pose @ [10, -20, 5, 1])[:3].tolist()), (10, -20, 5), atol=1e-6
    )
    tick(registered, "resultCheckBox")
    assert not ui.formatsGroupBox.enabled and ui.formatsGroupBox.title == "Files for other programs"


def test_with_a_trackers_frame_it_says_that_it_writes_that_too(person):
    from MultiViewRegistrationLib.mrml.case import EXTRAS

    person.registration.node.SetParameter(EXTRAS, json.dumps({"reference_from_world": np.eye(4).tolist()}))
    person.panel.refresh()
    assert "world_from_ct and reference_from_ct" in person.of("export").framesLabel.text


def test_another_registration_has_exported_nothing(registered, tmp_path):
    choose_folder(registered, tmp_path)
    export(registered)
    registered.panel.choose(phantom_registration(registered.host.scene, "Other", TRUE_POSE))
    ui = registered.of("export")
    assert ui.writtenLabel.text == ""
    assert not ui.openReportButton.enabled
    assert "no result" in ui.doubtLabel.text
