"""The bone of another structure in the scene, beside the sequence that is played: where it is, when it is seen, and when it goes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import slicer
from moving import write_blinking_case, write_track, write_turning
from phantom import make_ct
from running_session import no_thread_is_left, playing, poll
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.imaging.ct import BONE_HU
from MultiViewRegistrationLib.mrml import ct_3d
from MultiViewRegistrationLib.mrml.detector import detectors
from MultiViewRegistrationLib.mrml.frames import transform_of
from MultiViewRegistrationLib.mrml.structures import choose_structures, structures_of

COUNT, BLANK = 4, 2


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """Of a case whose images have four frames, the third one blank."""
    return write_track(
        write_blinking_case(tmp_path_factory.mktemp("moving"), COUNT, BLANK), tmp_path_factory.mktemp("out") / "track"
    )


@pytest.fixture
def session(scene, track):
    yield from playing(scene, track)


def held(session, path):
    """The node of the other's bone, once it is made."""
    motion = session.sequence.compare_with(path)
    assert motion is session.sequence.other.motion
    poll(session, 20, lambda: session.sequence.other.worker is None)
    return session.registration.node.GetNodeReference("otherStructure")


def go(session, number: int) -> None:
    player = session.sequence.player
    player.go(number)
    poll(session, 5, lambda: player.number == number)
    session.poll()


def test_it_moves_with_the_frames_and_is_not_seen_where_it_was_lost(session, track, tmp_path):
    path = write_turning(track, tmp_path / "turning")
    node, poses = held(session, path), [frame["world_from_ct"] for frame in json.loads(path.read_text())["frames"]]
    for number in (0, 3, BLANK, 1):
        go(session, number)
        assert node.GetDisplayVisibility() == (number != BLANK)
        if number != BLANK:
            np.testing.assert_allclose(transform_of(node.GetParentTransformNode()), poses[number], atol=1e-9)
            assert not np.allclose(poses[number], session.registration.world_from_ct) or number == 0
    assert session.sequence.other.problem == "" and node.GetDisplayNode().GetColor() == (0.34, 0.71, 0.91)


def test_it_is_drawn_in_the_x_rays_too(session, track, tmp_path):
    node = held(session, write_turning(track, tmp_path / "turning"))
    seen = detectors(session.registration)
    for number in (0, 1):
        go(session, number)
        points = vtk_to_numpy(node.GetPolyData().GetPoints().GetData())
        matrix = slicer.util.arrayFromTransformMatrix(node.GetParentTransformNode())
        for detector in seen:
            fallen = detector.pixels(points @ matrix[:3, :3].T + matrix[:3, 3])
            lines = session.sequence.other.outline(detector).reshape(-1, 2)
            assert len(lines) > 40  # of its outermost points, none of a speck, nothing lies outside
            np.testing.assert_allclose(
                [lines.min(axis=0), lines.max(axis=0)], [fallen.min(axis=0), fallen.max(axis=0)], atol=0.5
            )
    go(session, BLANK)
    assert len(session.sequence.other.outline(seen[0])) == 0
    go(session, 0)
    assert structures_of(session.registration) == [node]
    choose_structures(session.registration, [])
    assert structures_of(session.registration) == []


def test_of_a_masked_ct_its_bone_alone_is_seen():
    ct = make_ct()
    mask = np.indices(ct.volume.values.shape)[2] >= ct.volume.values.shape[2] // 2
    whole, half = (
        vtk_to_numpy(ct_3d.structure_surface(one).GetPoints().GetData()) * [-1, -1, 1]
        for one in (ct, replace(ct, mask=mask))
    )
    index = [(points - ct.volume.ct_from_index[:3, 3]) / ct.volume.spacing_mm for points in (whole, half)]
    near = [
        ct.volume.values[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3] for i, j, k in np.rint(index[0][::50]).astype(int)
    ]
    assert np.mean([cube.min() < BONE_HU < cube.max() for cube in near]) > 0.95
    middle = ct.volume.values.shape[2] // 2
    assert index[0][:, 0].min() < middle - 5 and middle - 2 < index[1][:, 0].min() < middle + 2


def test_it_goes_with_the_sequence_and_is_not_saved(session, scene, track, tmp_path, slicer_app):
    path = write_turning(track, tmp_path / "turning")
    node = held(session, path)
    again = held(session, path)
    assert again is not node and not scene.IsNodePresent(node)
    assert slicer_app.io_manager.write_scene(tmp_path / "scene.mrb")
    before = scene.GetNumberOfNodes()
    session.sequence.close()
    frames = 2 * len(session.registration.xrays)  # volumes that stood in for the sources, with what stores them
    assert (
        session.sequence.other is None
        and not scene.IsNodePresent(again)
        and scene.GetNumberOfNodes() == before - 3 - frames
    )
    scene.Clear(False)
    slicer_app.io_manager.load_scene(tmp_path / "scene.mrb")
    names = [scene.GetNthNode(n).GetName() or "" for n in range(scene.GetNumberOfNodes())]
    assert not [name for name in names if "turning" in name]


def test_where_its_ct_is_not_there_the_motion_is_told_all_the_same(session, track, tmp_path):
    path = write_turning(track, tmp_path / "turning")
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "inputs": dict.fromkeys(told["inputs"], "0" * 64)}))
    assert held(session, path) is None
    assert (
        "Its bone is not shown: " in session.sequence.other.problem
        and "is not what was tracked" in session.sequence.other.problem
    )
    path.write_text(json.dumps({**told, "sequence": {"cases": ["nowhere/case.json"]}}))
    assert held(session, path) is None and "nowhere/case.json, which is not there" in session.sequence.other.problem
    session.stop()
    assert no_thread_is_left()
