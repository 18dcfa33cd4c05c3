"""Tracked poses of Autoscoper, by the steps of its own ray caster."""

import numpy as np
import pytest
from helpers.file_io import read_json
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from test_autoscoper import trial
from tiny_case import refusal, run

from MultiViewRegistrationLib.io.datasets.autoscoper import (
    autoscoper_from_ct,
    read_tra,
    write_tra,
)

__all__ = ["trial"]

POSE = np.eye(4)
POSE[:3, :3] = Rotation.from_euler("ZYX", [40, -20, 65], degrees=True).as_matrix()
POSE[:3, 3] = 110, -75.5, 300
OTHER = np.linalg.inv(POSE)


def sampled_voxel(world, pose, shape, voxel):
    """(i, j, k) that Autoscoper's ray caster samples at a world point: the texture's coordinates are (x, 1 - y, -z) of the volume's box,
    which is its frame by its size (RayCaster.cpp, setInvModelView; RayCaster_kernels.cu); texel n
    has its middle at (n + 0.5) / size."""
    size = np.array(shape[::-1])
    x, y, z = (np.linalg.inv(pose) @ [*world, 1])[:3] / (voxel * size)
    return np.array([x, 1 - y, -z]) * size - 0.5


def test_our_pose_puts_each_voxel_where_autoscoper_samples_it():
    shape, voxel = (5, 6, 7), np.array([0.4, 0.5, 0.6])
    world_from_ct = POSE @ autoscoper_from_ct(shape, voxel)
    assert np.linalg.det(world_from_ct) == pytest.approx(1)
    for index in np.random.default_rng(1).integers(0, shape[::-1], (20, 3)):
        world = (world_from_ct @ [*(index * voxel), 1])[:3]
        assert_allclose(sampled_voxel(world, POSE, shape, voxel), index, atol=1e-9)


def test_poses_are_written_and_read_as_autoscoper_saves_them(tmp_path):
    write_tra(tmp_path / "a.tra", [POSE, None, OTHER], unit_mm=10)
    first, second, _ = (tmp_path / "a.tra").read_text().splitlines()
    assert second == ",".join(["NaN"] * 16)
    written = np.array(first.split(","), float).reshape(4, 4)
    assert_allclose(written[:3], POSE[:3] / [1, 1, 1, 10], rtol=1e-12)
    assert_allclose(read_tra(tmp_path / "a.tra", 2, 0, 1, 10.0), OTHER, atol=1e-9)
    assert "not tracked" in refusal(read_tra, tmp_path / "a.tra", 1, 0, 1, 10.0)


def test_columns_spaces_and_several_volumes_are_read(file_of):
    def text(*matrices, between=" "):
        return between.join(map(repr, np.ravel(matrices).tolist()))

    lines = text(POSE, OTHER), text(POSE.T, OTHER.T, between=", "), text(OTHER)
    path = file_of("a.tra", "\n".join(lines) + "\n")
    for frame in range(3):
        assert_allclose(read_tra(path, frame, 1, 2, 1.0), OTHER, atol=1e-12)


def test_import_takes_initial_pose_and_truth_from_tracked_poses(trial, tmp_path):
    start = POSE.copy()
    start[0, 3] += 3
    write_tra(tmp_path / "start.tra", [None, start], unit_mm=10)
    write_tra(tmp_path / "truth.tra", [None, POSE], unit_mm=10)
    poses = f"--start {tmp_path}/start.tra --truth {tmp_path}/truth.tra --unit cm"
    words = f"--frame 1 --intensity linear --volume radius --out {tmp_path}/case"
    run(f"import autoscoper {trial} {poses} {words}")
    content = read_json(tmp_path / "case" / "case.json")
    turned = autoscoper_from_ct((5, 6, 7), [4, 5, 6])
    assert_allclose(content["world_from_ct"], start @ turned, atol=1e-9)
    assert_allclose(content["truth"]["world_from_ct"], POSE @ turned, atol=1e-9)


@pytest.mark.parametrize(
    "text, word",
    [
        ("1,2,3,4,5,6", "as matrices"),
        (",".join(["x"] * 16), "something that is no number"),
        (",".join(["NaN"] * 16), "not tracked"),
        (",".join(map(str, np.eye(4).ravel())), "by rows or by columns"),
        ("", "has 0 lines"),
    ],
)
def test_invalid_files_are_refused(file_of, text, word):
    assert word in refusal(read_tra, file_of("a.tra", text), 0, 0, 1, 1.0)
