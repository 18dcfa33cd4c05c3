"""The section Export, without a host's widgets: nothing is handed on that nobody vouches for."""

import re
import threading

import numpy as np
import pytest
from file_io import read_json
from phantom import off
from phantom_scene import settle
from presenter_host import act, control, text
from refusals import refuses

from MultiViewRegistrationLib.io.navigation import CASE_KINDS, KINDS
from MultiViewRegistrationLib.mrml.case import change_settings
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.presenters import export as presenters


@pytest.fixture
def export(host):
    """At a pose that passes for a result."""

    settle(host.session)
    return host.presenters.export


def write(export, folder) -> list[str]:
    """The names of the files."""
    download = control(export, "registration")
    assert download.enabled, download.tip
    export.session.run(download.action(folder), download.done)
    export.host.wait(export, lambda: not export.session.running)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def make_stale(export) -> None:
    export.registration.xrays[0].change(uncertainty={"rotation_sd_deg": 2.0})


def move(export) -> None:
    pose = export.registration.world_from_ct
    export.registration.world_from_ct = off(pose, [0, 0, 1.0], [1.0, 0, 0])


def test_a_result_and_its_case_go_to_a_folder(export, tmp_path):
    assert export.state().kind == "ready" and control(export, "override") is None
    act(export, "case", True)
    names = write(export, tmp_path / "out")
    assert {
        "result.json",
        "report.html",
        "report.pdf",
        "world_from_ct.tfm",
        "world_from_ct.slicer.tfm",
        "case.json",
    } <= set(names)
    assert export.state().text == "written" and "world_from_ct.slicer.tfm" in text(
        export, "written"
    )
    assert (
        control(export, "report.html").path == tmp_path / "out" / "report.html"
        and control(export, "result.json") is None
    )
    export.host.slicer_tools = (
        None  # a page offers single files, and says nothing of the server's folders
    )
    assert control(export, "world_from_ct.tfm") is not None and control(export, "written") is None
    export.reset()
    assert export.state().kind == "ready" and control(export, "report.html") is None


@pytest.mark.parametrize("change, word", [(make_stale, "stale"), (move, "moved by hand")])
def test_what_has_changed_since_needs_an_override_which_the_files_carry(
    export, tmp_path, change, word
):
    change(export)
    assert word in text(export, "stale_reason") and export.state().kind == "todo"
    assert not control(export, "registration").enabled and "override the warning" in text(
        export, "missing"
    )
    assert not control(export, "send").enabled and "override" in control(export, "send").tip
    act(export, "override", True)
    assert control(export, "send").enabled
    write(export, tmp_path / "out")
    assert word in read_json(tmp_path / "out" / "result.json")["override"]
    export.session.history.go(export.session.history.position)
    if change is move:
        make_stale(export)
    else:
        move(export)
    assert not control(export, "override").on  # which was for what was said, and for nothing else


def reject(export, verdict: str | None) -> None:
    """Have a wrong pose pass for a result of this verdict."""
    pose = export.registration.world_from_ct
    settle(export.session, off(pose, [8.0, 0, 9.0], [12.0, 0, 5.0]), verdict=verdict)


def test_a_rejected_result_needs_an_override_which_its_transforms_carry(export, tmp_path):
    reject(export, "reject")
    assert text(export, "stale_reason") == "\u26a0 The result was rejected."
    assert not control(export, "registration").enabled and not control(export, "send").enabled
    act(export, "override", True)
    write(export, tmp_path / "out")
    assert (
        "# Override: The result was rejected."
        in (tmp_path / "out" / "world_from_ct.tfm").read_text()
    )


def test_one_that_only_the_export_finds_wrong_comes_without_transforms_and_says_so(
    export, tmp_path
):
    reject(export, None)
    assert control(export, "stale_reason") is None
    names = write(export, tmp_path / "out")
    assert "result.json" in names and not [name for name in names if name.endswith(".tfm")]
    assert "its transforms were not written" in text(export, "written")
    assert (
        "The result was rejected." in text(export, "stale_reason")
        and not control(export, "registration").enabled
    )
    act(export, "override", True)
    assert "world_from_ct.tfm" in write(export, tmp_path / "again")
    assert read_json(tmp_path / "again" / "result.json")["override"] == "The result was rejected."


def test_a_folder_has_a_name_of_its_own_without_the_case(export):
    export.registration.node.SetName("DOE JOHN")
    one = control(export, "registration").name()
    assert re.fullmatch(r"registration-[0-9a-f]{6}-\d{8}-\d{6}", one)
    export.registration.xrays[1].change(use=False)
    assert control(export, "registration").name()[:20] != one[:20]


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


def test_written_is_said_of_the_pose_that_was_written_and_of_no_other(export, tmp_path):
    write(export, tmp_path / "out")
    assert export.state().text == "written" and control(export, "report.html") is not None
    first = export.session.history.position
    move(export)
    settle(export.session)  # another registration
    assert export.state().kind == "ready"
    for key in ("report.html", "written"):
        assert control(export, key) is None
    export.session.history.go(first)
    assert export.state().text == "written"  # the one that was
    make_stale(export)
    settle(export.session)
    assert export.state().kind == "ready"
    write(export, tmp_path / "again")
    host, before = export.host, export.registration
    host.choose(Registration.create(host.scene, "Another patient"))
    host.choose(before)
    assert control(export, "report.html") is None and export.state().text != "written"


def test_what_was_written_meanwhile_is_that_of_the_pose_from_before(export, tmp_path):
    download = control(export, "registration")
    write_files = download.action(tmp_path / "out")
    move(export)
    settle(export.session)
    download.done(write_files())
    assert export.state().kind == "ready" and control(export, "written") is None


def test_a_pose_that_nobody_registered_is_no_result_but_its_case_can_be_written(host, tmp_path):

    export = host.presenters.export
    assert "no result of a registration" in text(export, "stale_reason")
    act(export, "result", False)
    assert text(export, "missing") == "Choose what to write." and control(export, "formats") is None
    act(export, "case", True)
    names = write(export, tmp_path / "out")
    assert "case.json" in names and "result.json" not in names


def test_all_that_the_command_line_writes_can_be_chosen(export, tmp_path):
    kinds = [
        each.key for each in control(export, "formats").children if each.key.startswith("format.")
    ]
    assert kinds == [f"format.{kind}" for kind in (*KINDS, *CASE_KINDS)]
    mask = control(export, "format.resampled-mask")
    assert not mask.enabled and "Choose a structure" in mask.tip
    for kind in ("tfm", "json"):
        act(export, f"format.{kind}", True)
    assert text(export, "formats") == "Files for other programs (2)"
    names = write(export, tmp_path / "out")
    assert {"world_from_ct.forward.tfm", "world_from_ct.ras.json", "ct_from_world.lps.json"} <= set(
        names
    )
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
    export.host.wait(export, lambda: not export.session.running)
    assert (
        "cannot be written there" in export.session.message and control(export, "written") is None
    )
    assert (tmp_path / "file").read_text() == "not a folder"


def test_the_link_asks_for_a_host_and_a_port_and_says_what_it_prepares(export, monkeypatch):
    assert text(export, "link") == "Not connected." and not control(export, "disconnect").enabled
    for key, typed, problem in (
        ("host", " ", "found no host"),
        ("port", "184399", "Port: 184399 is outside 1 to 65535"),
        ("port", "18944,5", "no whole number"),
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
    assert (
        text(export, "link")
        == "Connected to 127.0.0.1:18944. It gets the pose of 12:00:00 (accept)."
    )
    peer.stale_reason = "The CT lies elsewhere than when this was sent."
    said = text(export, "link")
    assert (
        "not sent any more" in said
        and "The CT lies elsewhere" in said
        and control(export, "link").tone == "caution"
    )
    assert export.session.news() == [
        "Phantom: its pose is not sent to navigation any more. The CT lies elsewhere than when "
        "this was sent."
    ]
    monkeypatch.undo()
