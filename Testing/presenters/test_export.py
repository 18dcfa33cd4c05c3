"""The section Export, without a host's widgets: nothing is handed on that nobody vouches for."""

import re
import threading

import numpy as np
import pytest
from helpers.file_io import read_json
from helpers.phantom import off
from helpers.phantom_scene import body, settle
from helpers.refusals import refuses
from presenter_host import act, control, text

from MultiViewRegistrationLib.io.navigation import CASE_KINDS, POSE_FORMATS
from MultiViewRegistrationLib.mrml.case import change_settings
from MultiViewRegistrationLib.session.presenters import export as presenters


@pytest.fixture
def export(host):
    """At a pose that passes for a result."""

    settle(host.session)
    return host.presenters.export


def write(export, folder):
    """The names of the files."""
    download = control(export, "registration")
    assert download.enabled, download.tip
    export.session.run(download.action(folder), download.done)
    export.session.finish()
    return {path.name for path in folder.iterdir()}


def make_stale(export):
    export.registration.xrays[0].change(uncertainty={"rotation_sd_deg": 2.0})


def move(export):
    pose = export.registration.world_from_ct
    export.registration.world_from_ct = off(pose, [0, 0, 1.0], [1.0, 0, 0])


def be_wrong(export, verdict="reject"):
    """Have a wrong pose pass for a result of this verdict."""
    pose = off(export.registration.world_from_ct, [8.0, 0, 9.0], [12.0, 0, 5.0])
    settle(export.session, pose, verdict=verdict)


def test_result_and_case_are_written_to_a_folder(host, export, tmp_path):
    assert export.state().kind == "ready" and control(export, "override") is None
    act(export, "case", True)
    names = write(export, tmp_path / "out")
    assert {"result.json", "report.html", "world_from_ct.tfm", "case.json"} <= names
    assert export.state().text == "written" and text(export, "written")
    assert control(export, "report.html").path == tmp_path / "out" / "report.html"
    assert str(tmp_path / "out") in text(host.answer, "exported")
    export.host.slicer_tools = None  # a page offers single files, and no folder of the server
    assert control(export, "world_from_ct.tfm") is not None and control(export, "written") is None
    move(export)
    assert control(host.answer, "exported") is None
    export.reset()
    assert export.state().kind != "written" and control(export, "report.html") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, word",
    [(make_stale, "stale"), (move, "moved by hand"), (be_wrong, "The result was rejected.")],
)
def test_unusable_pose_needs_an_override_which_the_files_state(export, tmp_path, change, word):
    change(export)
    assert word in text(export, "stale_reason") and export.state().kind == "todo"
    for key in ("registration", "send"):
        assert not control(export, key).enabled and "override" in control(export, key).tip
    act(export, "override", True)
    assert control(export, "send").enabled
    write(export, tmp_path)
    assert word in read_json(tmp_path / "result.json")["override"]
    export.session.history.go(export.session.history.position)
    make_stale(export) if change is move else move(export)
    assert not control(export, "override").on  # it was for the earlier reason only


@pytest.mark.slow
def test_an_exported_pose_that_is_likely_wrong_says_so(export, tmp_path):
    be_wrong(export, verdict=None)
    write(export, tmp_path)
    result = read_json(tmp_path / "result.json")
    assert result["verdict"] == "check"
    assert "most-likely-wrong" in [finding["code"] for finding in result["findings"]]


@pytest.mark.parametrize("verdict, possible", [("check", True), ("reject", False)])
def test_usable_bones_of_a_ct_that_was_rejected_in_one_piece_go_to_navigation(
    export, verdict, possible
):
    settle(export.session, verdict="reject", bodies=[body("L1", verdict)])
    export.session.history.put(export.session.history.current)
    assert (control(export, "stale_reason") is None) == possible
    assert control(export, "send").enabled == possible


def test_a_folder_has_a_name_of_its_own_without_the_case(export):
    export.registration.node.SetName("DOE JOHN")
    one = control(export, "registration").name()
    assert re.fullmatch(r"registration-[0-9a-f]{6}-\d{8}-\d{6}", one)
    export.registration.xrays[1].change(use=False)
    assert control(export, "registration").name()[:20] != one[:20]


@pytest.mark.slow
def test_export_that_ends_after_another_registration_is_of_its_own_pose(export, tmp_path):
    download = control(export, "registration")
    write_files, first = download.action(tmp_path), export.session.history.position
    move(export)
    settle(export.session)
    download.done(write_files())
    assert export.state().kind == "ready" and control(export, "written") is None
    export.session.history.go(first)
    assert export.state().text == "written" and control(export, "report.html") is not None


def test_a_pose_that_nobody_registered_is_no_result_but_its_case_can_be_written(host, tmp_path):
    export = host.presenters.export
    assert "no result of a registration" in text(export, "stale_reason")
    act(export, "result", False)
    assert text(export, "missing") == "Choose what to write." and control(export, "formats") is None
    act(export, "case", True)
    names = write(export, tmp_path)
    assert "case.json" in names and "result.json" not in names


def test_formats_are_those_of_the_command_line(export):
    kinds = [each.key for each in control(export, "formats").children if "format." in each.key]
    assert kinds == [f"format.{kind}" for kind in (*POSE_FORMATS, *CASE_KINDS)]
    mask = control(export, "format.resampled-mask")
    assert not mask.enabled and "Choose a structure" in mask.tip
    change_settings(export.registration, reference_from_world=np.eye(4))
    assert "world_from_ct and reference_from_ct" in text(export, "poses")


def test_folder_that_cannot_be_created_is_reported(export, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    download = control(export, "registration")
    export.session.run(download.action(tmp_path / "file" / "out"), download.done)
    assert text(export, "missing") == "Wait until the work under way is done."
    with refuses("cannot be written"):
        export.session.finish()
    assert control(export, "written") is None
    assert (tmp_path / "file").read_text() == "not a folder"


def test_invalid_host_and_port_are_refused(export):
    for key, typed, problem in (
        ("host", " ", "found no host"),
        ("port", "184399", "Port: 184399 is outside 1 to 65535"),
    ):
        before = control(export, key).text
        act(export, key, typed)
        with refuses(problem):
            act(export, "send")
        act(export, key, before)


def test_preparation_of_the_link_is_cancelled(export, monkeypatch):
    assert text(export, "link") == "Not connected." and not control(export, "disconnect").enabled
    act(export, "mode", "server")
    assert not control(export, "host").enabled and text(export, "send") == "Offer"
    go = threading.Event()
    monkeypatch.setattr(
        presenters.result_files, "take_messages", lambda session, override: lambda: go.wait(20)
    )
    act(export, "send")
    assert text(export, "link") == "Preparing the overlays to send..."
    export.session.cancel()
    assert text(export, "link") == "Not connected."
    go.set()


def test_link_shows_which_pose_is_sent_and_when_that_stops(export, monkeypatch):
    peer = export.session.igtl
    monkeypatch.setattr(type(peer), "open", True)
    peer.status, peer.pose = "connected to 127.0.0.1:18944", "the pose of 12:00:00 (accept)"
    sent = "Connected to 127.0.0.1:18944. It gets the pose of 12:00:00 (accept)."
    assert text(export, "link") == sent
    peer.stale_reason = why = "The CT lies elsewhere than when this was sent."
    assert why in text(export, "link") and control(export, "link").tone == "caution"
    (news,) = export.session.news()
    assert "not sent to navigation any more" in news and why in news
