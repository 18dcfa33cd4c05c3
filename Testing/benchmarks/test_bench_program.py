"""Choosing jobs, running them for real at a tiny size, and what is said where a peer is missing."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import phantom
from numpy.testing import assert_allclose

from benchmarks.speed import command, dragging, nanodrr_peer, registration, rendering
from benchmarks.speed.measurement import Job, Setting, compared
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io.case import Case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def setting():
    """The phantom in place of the chest."""
    ct = phantom.make_ct()
    return Setting(
        Case(
            (Body(ct),),
            phantom.make_views(ct),
            targets=phantom.CORNERS,
            truth_world_from_ct=phantom.TRUE_POSE,
        )
    )


@pytest.fixture
def peers(rtk):
    for package in ("torch", "nanodrr"):
        pytest.importorskip(package, reason='needs the peers: pip install -e ".[bench]"')


@pytest.fixture
def sixteen(monkeypatch):
    """Images of 16 x 16 pixels, once."""
    monkeypatch.setattr(rendering, "SIZES", ((16, 1, 1),))
    monkeypatch.setattr(rendering, "BATCHES", ((16, 2, 1),))
    monkeypatch.setattr(rendering, "COMPILED_AT", 16)
    monkeypatch.setattr(rendering, "PIXELS", 16)


def does_not_compile(monkeypatch):
    monkeypatch.setattr(nanodrr_peer.modules().torch, "compile", lambda *args, **how: 1 / 0)


def test_images_agree_and_rows_are_whole(setting, peers, sixteen, monkeypatch):
    does_not_compile(monkeypatch)
    plain, compiled, rtk, tissue = (job.run() for job in rendering.jobs(setting))
    assert not any(row["failed"] for row in tissue)
    for row in (*plain, *rtk):
        assert row["failed"] == "" and "images agree" in row["note"]
        assert row["ratio"] == pytest.approx(row["peer"] / row["ours"]) and row["ratio"] > 0
        assert row["repeats"] == [1, 1] and json.dumps(row, allow_nan=False)
    names = ["image 16x16", "image+jacobian 16x16"]
    assert [row["name"] for row in (*plain, *rtk)] == [*names, *(f"{each}, RTK" for each in names)]
    assert rtk[1]["peer"] == pytest.approx(13 * rtk[0]["peer"])
    failed = "nanodrr compiled does not work here (ZeroDivisionError)"
    assert [row["failed"] for row in compiled] == 2 * [failed]


def test_images_that_differ_are_noticed(setting, peers, sixteen):
    wrong = Setting(setting.case)
    wrong.volume = replace(setting.volume, values=setting.volume.values[::-1])
    wrong.projector = setting.projector
    rows = rendering.jobs(wrong)[0].run()
    assert all("do not agree" in row["failed"] for row in rows)


def test_both_step_equally_far_and_derive_the_same(setting, peers):
    """nanodrr's gradient by its 4x4 matrix, carried to our twist, is the sum of our Jacobian over the pixels.

    Over half the image: the sum over all of it hardly changes with the pose.
    """
    camera, pose = setting.camera(64).cropped(0, 0, 30, 64), setting.pose
    samples, ours, theirs = nanodrr_peer.samples_for_step(setting.volume, camera, pose)
    assert (
        theirs == pytest.approx(ours, rel=0.02) and 2.0 <= ours < 2.3
    )  # 2 mm voxels, looked at straight and a little obliquely
    gradient = (
        nanodrr_peer.Renderer(setting.subject, setting.volume, [camera], [pose], 8 * samples)
        .run_backward()
        .numpy()[0]
    )
    by_twist = []
    for twist in 1e-4 * np.eye(6):
        there, back = (
            nanodrr_peer.ras_from_camera(camera, rigid.exp_se3(sign * twist) @ pose)
            for sign in (1, -1)
        )
        by_twist.append(np.sum(gradient * (there - back)) / 2e-4)
    jacobian = setting.projector.render(camera, pose, jacobian=True).jacobian.sum(axis=(1, 2))
    assert_allclose(by_twist, jacobian, rtol=0.02, atol=0.02 * np.abs(jacobian).max())


def test_a_registration_is_there_once_it_stays_there():
    trace = [(1.0, 5.0), (2.0, 0.9), (3.0, 1.5), (4.0, 0.8), (5.0, 0.2)]
    assert registration.time_to_stay_below(trace, 1.0) == 4.0
    assert registration.time_to_stay_below(trace, 0.1) is None
    assert registration.time_to_stay_below(trace, 10.0) == 1.0
    row = registration.reached("to 0.3 mm", 0.3, [trace, trace[:-1]], [trace[:2]])
    assert (row["ours"], row["peer"], row["peer_at_least"]) == (5.0, 2.0, True)
    assert row["failed"] == "1 of 2 starts of ours did not get there"


def test_the_peers_loop_goes_to_the_true_pose(setting, peers):
    """Its pose has to come back from RAS and cameras to our world_from_ct.

    Then the error falls from where it started.
    """
    from MultiViewRegistrationLib.assessment.metrics import mtre

    start = rigid.exp_se3([0.02, -0.03, 0.01, 3.0, 2.0, -2.0]) @ setting.pose
    poses = []

    def note(pose):
        poses.append(pose)
        return len(poses) < 10

    how = setting.subject, setting.volume, setting.case.views, start, note
    assert nanodrr_peer.register(*how, iterations=2)  # two steps at each of three scales
    assert len(poses) == 6 and not nanodrr_peer.register(*how, iterations=20)
    errors = [mtre(pose, setting.pose, setting.targets) for pose in poses[:6]]
    assert errors[-1] < 0.8 * mtre(start, setting.pose, setting.targets)


def test_parts_are_written_one_by_one_and_kept(setting, monkeypatch, tmp_path):
    jobs = [
        Job(f"render: {name}", lambda name=name: [compared(name, "ms", ([1.0], [2.0]), "peer")])
        for name in "ab"
    ]
    monkeypatch.setattr(command, "all_jobs", lambda setting: jobs)
    monkeypatch.setattr(nanodrr_peer, "modules", lambda: None)
    page, told = tmp_path / "docs" / "page.md", []
    assert list(command.run(setting, "a", page, lambda *at: told.append(at))) == ["render: a"]
    assert list(command.run(setting, "b", page)) == ["render: b"]
    assert "| a |" in page.read_text() and "| b |" in page.read_text()
    assert told[-1] == (0.0, "render: a")

    def stopped():
        raise KeyboardInterrupt

    jobs[1] = Job("render: b", stopped)
    before = page.read_text()
    with pytest.raises(KeyboardInterrupt):
        command.run(setting, "b", page)
    assert page.read_text() == before
    assert list(command.run(Setting(setting.case, "cpu"), "a", page)) == ["card: render: a"]
    assert "| a, on the card |" in page.read_text() and "| a |" in page.read_text()
    assert sorted(path.name for path in (tmp_path / "docs").rglob("*")) == [
        "page",
        "page.md",
        "results.json",
    ]


def test_on_a_device_both_render_the_same_in_batches(setting, peers, sixteen, monkeypatch):
    """Ours and nanodrr on the processor in place of a card, with its volume in bfloat16, too."""
    does_not_compile(monkeypatch)
    plain, half, compiled = (job.run() for job in rendering.jobs(Setting(setting.case, "cpu")))
    for row in (*plain, *half):
        assert row["failed"] == "" and "images agree" in row["note"]
    assert plain[0]["name"] == "image 16x16, 2 at a time, nanodrr Triton"
    failed = "nanodrr Triton, bf16, torch.compile does not work here (ZeroDivisionError)"
    assert [row["failed"] for row in compiled] == 2 * [failed]


def test_pictures_of_a_dragged_ct_are_counted(setting, monkeypatch):
    found = {"mode": "blend", "rates": [12.0, 14.0, 13.0], "cpu_ms": 40.0, "load": 0.5}
    found |= {"columns": 256, "other_columns": 128}
    done = SimpleNamespace(returncode=0, stdout=json.dumps([found]), stderr="")
    monkeypatch.setattr(dragging.subprocess, "run", lambda *_, **__: done)
    (job,) = dragging.jobs(setting)
    (row,) = job.run()
    assert row["ours"] == 13 and row["unit"] == "a second" and row["repeats"] == [3, 0]
    assert "12.0 to 14.0" in row["note"] and "40 ms of processor time" in row["note"]
