"""Choosing jobs, running them for real at a tiny size, and what is said where a peer is missing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import phantom
from numpy.testing import assert_allclose

from benchmarks.speed import command, nanodrr_peer, registration, rendering
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
    monkeypatch.setattr(rendering, "COMPILED_AT", 16)
    monkeypatch.setattr(rendering, "PIXELS", 16)


def test_rendered_images_agree(setting, peers, sixteen, monkeypatch):
    monkeypatch.setattr(nanodrr_peer.modules().torch, "compile", lambda *args, **how: 1 / 0)
    plain, compiled, rtk, tissue = (job.run() for job in rendering.jobs(setting))
    assert not any(row["failed"] for row in tissue)
    for row in (*plain, *rtk):
        assert row["failed"] == "" and "images agree" in row["note"]
        assert row["ratio"] == pytest.approx(row["peer"] / row["ours"]) and row["ratio"] > 0
        assert json.dumps(row, allow_nan=False)
    assert rtk[1]["peer"] == pytest.approx(13 * rtk[0]["peer"])
    assert all("does not work here (ZeroDivisionError)" in row["failed"] for row in compiled)


def test_different_images_are_reported(setting, peers, sixteen):
    wrong = Setting(setting.case)
    wrong.volume = replace(setting.volume, values=setting.volume.values[::-1])
    wrong.projector = setting.projector
    rows = rendering.jobs(wrong)[0].run()
    assert all("do not agree" in row["failed"] for row in rows)


def test_peer_has_equal_step_and_gradient(setting, peers):
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


def test_time_to_stay_below():
    trace = [(1.0, 5.0), (2.0, 0.9), (3.0, 1.5), (4.0, 0.8), (5.0, 0.2)]
    assert registration.time_to_stay_below(trace, 1.0) == 4.0
    assert registration.time_to_stay_below(trace, 0.1) is None
    assert registration.time_to_stay_below(trace, 10.0) == 1.0
    row = registration.reached("to 0.3 mm", 0.3, [trace, trace[:-1]], [trace[:2]])
    assert (row["ours"], row["peer"], row["peer_at_least"]) == (5.0, 2.0, True)
    assert row["failed"] == "1 of 2 starts of ours did not get there"


def test_parts_are_written_one_by_one(setting, monkeypatch, tmp_path):
    jobs = [
        Job(f"render: {name}", lambda name=name: [compared(name, "ms", ([1.0], [2.0]), "peer")])
        for name in "ab"
    ]
    monkeypatch.setattr(command, "all_jobs", lambda setting: jobs)
    monkeypatch.setattr(nanodrr_peer, "modules", lambda: None)
    page = tmp_path / "docs" / "page.md"
    assert list(command.run(setting, "a", page)) == ["render: a"]
    assert list(command.run(setting, "b", page)) == ["render: b"]
    assert "| a |" in page.read_text() and "| b |" in page.read_text()

    def stopped():
        raise KeyboardInterrupt

    jobs[1] = Job("render: b", stopped)
    before = page.read_text()
    with pytest.raises(KeyboardInterrupt):
        command.run(setting, "b", page)
    assert page.read_text() == before
    assert list(command.run(Setting(setting.case, "cpu"), "a", page)) == ["card: render: a"]
    assert "| a, on the card |" in page.read_text() and "| a |" in page.read_text()
