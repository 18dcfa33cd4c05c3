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
from phantom_scene import START, phantom_registration, settle

from MultiViewRegistrationLib.io.case import Case


@pytest.fixture
def person(host):
    """At the Export section of the phantom, which nobody has registered yet."""
    person = Person(host)
    person.registration = phantom_registration(host.scene)
    person.panel.choose(person.registration)
    for name, section in person.panel.sections.items():
        section.button.collapsed = name != "export"
    host.process(0.1)
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
    assert all(name in ui.writtenLabel.text for name in ("result.json", "report.html", "case.json", "world_from_ct.slicer.tfm"))
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
    assert "override the caution" in ui.hintLabel.text
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


def test_another_registration_has_exported_nothing(registered, tmp_path):
    choose_folder(registered, tmp_path)
    export(registered)
    registered.panel.choose(phantom_registration(registered.host.scene, "Other", TRUE_POSE))
    ui = registered.of("export")
    assert ui.writtenLabel.text == ""
    assert not ui.openReportButton.enabled
    assert "no result" in ui.doubtLabel.text


# OpenIGTLink ------------------------------------------------------------------------------------------------------------

@pytest.fixture
def linked(registered, monkeypatch):
    """With SlicerOpenIGTLink, which connects when the test says so."""
    import slicer
    from slicer_host.igtl_connector import vtkMRMLIGTLConnectorNode

    monkeypatch.setattr(slicer, "vtkMRMLIGTLConnectorNode", vtkMRMLIGTLConnectorNode, raising=False)
    ui = registered.of("export")
    ui.linkGroupBox.collapsed = False
    registered.panel.refresh()
    registered.host.process(0.1)
    return registered


def test_without_the_extension_the_button_says_what_is_missing(registered):
    ui = registered.of("export")
    ui.linkGroupBox.collapsed = False
    registered.host.process(0.1)
    assert not ui.sendButton.enabled
    assert not ui.disconnectButton.enabled
    assert "SlicerOpenIGTLink" in ui.sendButton.toolTip
    assert "SlicerOpenIGTLink" in ui.linkLabel.text


def test_the_pose_is_sent_once_connected_and_the_panel_says_how_it_stands(linked):
    ui = linked.of("export")
    assert ui.linkLabel.text == "Not connected."
    linked.host.type(ui.hostLineEdit, "tracker")
    linked.host.click(ui.sendButton)
    connector = linked.registration.node.GetNodeReference("connector")
    linked.wait(lambda: ui.linkLabel.text == "Waiting for tracker:18944...", 3)
    assert connector.sent == []
    connector.connect()
    linked.wait(lambda: ui.linkLabel.text == "Connected to tracker:18944.", 3)
    [(_, name, matrix, status)] = connector.sent
    flip = np.diag([-1.0, -1, 1, 1])
    assert (name, status) == ("CTToWorld", "OK")
    assert np.allclose(matrix, flip @ linked.pose @ flip)
    linked.host.click(ui.disconnectButton)
    linked.wait(lambda: ui.linkLabel.text == "Not connected.", 3)


def test_a_pose_in_doubt_is_only_sent_when_somebody_says_so(linked):
    ui = linked.of("export")
    move(linked)
    linked.wait(lambda: not ui.sendButton.enabled, 3)
    assert "override" in ui.sendButton.toolTip
    tick(linked, "overrideCheckBox")
    linked.host.click(ui.sendButton)
    connector = linked.registration.node.GetNodeReference("connector")
    connector.connect()
    assert connector.sent[-1][3] == "UNKNOWN"


def test_without_a_host_it_says_so(linked):
    ui = linked.of("export")
    linked.host.type(ui.hostLineEdit, " ")
    linked.host.click(ui.sendButton)
    assert "found no host" in linked.message


def test_two_registrations_have_a_connection_each(linked):
    ui, first = linked.of("export"), linked.registration
    linked.host.click(ui.sendButton)
    first.node.GetNodeReference("connector").connect()
    other = phantom_registration(linked.host.scene, "Other", START)
    linked.panel.choose(other)
    linked.host.process(0.1)
    assert ui.linkLabel.text == "Not connected."
    linked.panel.choose(first)
    linked.wait(lambda: ui.linkLabel.text == "Connected to 127.0.0.1:18944.", 3)
