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


def test_a_result_and_its_case_go_to_a_folder(export, tmp_path):
    assert export.state().kind == "ready" and control(export, "override") is None
    act(export, "case", True)
    names = write(export, tmp_path / "out")
    assert {"result.json", "report.html", "world_from_ct.tfm", "case.json"} <= names
    assert export.state().text == "written"
    assert "world_from_ct.slicer.tfm" in text(export, "written")
    assert control(export, "report.html").path == tmp_path / "out" / "report.html"
    assert control(export, "result.json") is None
    export.host.slicer_tools = None  # a page offers single files, and no folder of the server
    assert control(export, "world_from_ct.tfm") is not None and control(export, "written") is None
    export.reset()
    assert export.state().kind == "ready" and control(export, "report.html") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, word",
    [(make_stale, "stale"), (move, "moved by hand"), (be_wrong, "The result was rejected.")],
)
def test_what_nobody_vouches_for_needs_an_override_which_the_files_carry(
    export, tmp_path, change, word
):
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
    assert not control(export, "override").on  # which was for what was said, and for nothing else


@pytest.mark.parametrize("verdict, possible", [("check", True), ("reject", False)])
def test_usable_bones_of_a_ct_that_was_rejected_in_one_piece_go_to_navigation(
    export, verdict, possible
):
    settle(export.session, verdict="reject", bodies={"L1": body(verdict)})
    export.session.history.put(export.session.history.current)
    assert (control(export, "stale_reason") is None) == possible
    assert control(export, "send").enabled == possible


@pytest.mark.slow
def test_one_that_only_the_export_finds_wrong_comes_without_transforms_and_says_so(
    export, tmp_path
):
    be_wrong(export, verdict=None)
    assert control(export, "stale_reason") is None
    act(export, "format.npy", True)
    names = write(export, tmp_path)
    assert "result.json" in names and not [name for name in names if "world_from_ct" in name]
    assert "its transforms were not written" in text(export, "written")
    assert "The result was rejected." in text(export, "stale_reason")
    assert not control(export, "registration").enabled


def test_a_folder_has_a_name_of_its_own_without_the_case(export):
    export.registration.node.SetName("DOE JOHN")
    one = control(export, "registration").name()
    assert re.fullmatch(r"registration-[0-9a-f]{6}-\d{8}-\d{6}", one)
    export.registration.xrays[1].change(use=False)
    assert control(export, "registration").name()[:20] != one[:20]


@pytest.mark.slow
def test_the_answer_says_where_the_pose_that_is_shown_was_written(host, tmp_path):
    answer = host.answer
    settle(host.session)
    assert control(answer, "exported") is None
    write(host.presenters.export, tmp_path / "out")
    assert (
        str(tmp_path / "out") in text(answer, "exported")
        and control(answer, "open_report").path.is_file()
    )
    host.slicer_tools = None  # a browser says it itself
    assert control(answer, "exported") is None
    host.slicer_tools = host
    move(host.presenters.export)
    assert control(answer, "exported") is None


@pytest.mark.slow
def test_written_is_said_of_the_pose_that_was_written_and_of_no_other(export, tmp_path):
    download = control(export, "registration")
    write_files, first = download.action(tmp_path), export.session.history.position
    move(export)
    settle(export.session)  # another registration, meanwhile
    download.done(write_files())
    assert export.state().kind == "ready" and control(export, "written") is None
    export.session.history.go(first)
    assert export.state().text == "written" and control(export, "report.html") is not None
    make_stale(export)
    settle(export.session)
    assert export.state().kind == "ready"


def test_a_pose_that_nobody_registered_is_no_result_but_its_case_can_be_written(host, tmp_path):
    export = host.presenters.export
    assert "no result of a registration" in text(export, "stale_reason")
    act(export, "result", False)
    assert text(export, "missing") == "Choose what to write." and control(export, "formats") is None
    act(export, "case", True)
    names = write(export, tmp_path)
    assert "case.json" in names and "result.json" not in names


@pytest.mark.slow
def test_all_that_the_command_line_writes_can_be_chosen(export, tmp_path):
    kinds = [each.key for each in control(export, "formats").children if "format." in each.key]
    assert kinds == [f"format.{kind}" for kind in (*POSE_FORMATS, *CASE_KINDS)]
    mask = control(export, "format.resampled-mask")
    assert not mask.enabled and "Choose a structure" in mask.tip
    for kind in ("tfm", "json"):
        act(export, f"format.{kind}", True)
    assert text(export, "formats") == "Files for other programs (2)"
    assert {"world_from_ct.forward.tfm", "ct_from_world.lps.json"} <= write(export, tmp_path)
    assert text(export, "poses").startswith("Of world_from_ct; transforms in both directions")
    change_settings(export.registration, reference_from_world=np.eye(4))
    assert "world_from_ct and reference_from_ct" in text(export, "poses")


@pytest.mark.parametrize("what", ["result", "case"])
def test_a_folder_that_cannot_be_made_is_a_message_and_all_waits_meanwhile(export, tmp_path, what):
    (tmp_path / "file").write_text("not a folder")
    for each in ("result", "case"):
        act(export, each, each == what)
    download = control(export, "registration")
    export.session.run(download.action(tmp_path / "file" / "out"), download.done)
    assert text(export, "missing") == "Wait until the work under way is done."
    assert text(export, "written") == "Writing..."
    with refuses("cannot be written"):
        export.session.finish()
    assert control(export, "written") is None
    assert (tmp_path / "file").read_text() == "not a folder"


def test_the_link_asks_for_a_host_and_a_port_and_says_what_it_prepares(export, monkeypatch):
    assert text(export, "link") == "Not connected." and not control(export, "disconnect").enabled
    for key, typed, problem in (
        ("host", " ", "found no host"),
        ("port", "184399", "Port: 184399 is outside 1 to 65535"),
        ("port", "18944,5", "no whole number"),
        ("port", "", "none is given"),
    ):
        before = control(export, key).text
        act(export, key, typed)
        with refuses(problem):
            act(export, "send")
        act(export, key, before)
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


def test_the_link_says_which_pose_is_sent_and_that_it_is_stopped(export, monkeypatch):
    peer = export.session.igtl
    monkeypatch.setattr(type(peer), "open", True)
    peer.status, peer.pose = "connected to 127.0.0.1:18944", "the pose of 12:00:00 (accept)"
    said = "Connected to 127.0.0.1:18944. It gets the pose of 12:00:00 (accept)."
    assert text(export, "link") == said
    peer.stale_reason = why = "The CT lies elsewhere than when this was sent."
    assert "not sent any more" in text(export, "link") and why in text(export, "link")
    assert control(export, "link").tone == "caution"
    said = f"Phantom: its pose is not sent to navigation any more. {why}"
    assert export.session.news() == [said]
    monkeypatch.undo()
