"""Scale, shear and mirrors are refused at every door through which a transform may come."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from handed_result import write_result
from tiny_case import START, changed, full, refusal

from MultiViewRegistrationLib.io.calibration.read import read_calibration
from MultiViewRegistrationLib.io.case_file import CaseFile
from MultiViewRegistrationLib.io.datasets.autoscoper import read_tra
from MultiViewRegistrationLib.io.navigation.registration_export import RegistrationExport
from MultiViewRegistrationLib.io.transforms import read_pose, read_start_pose

SHEAR, PERSPECTIVE = np.eye(4), START.copy()
SHEAR[0, 1], PERSPECTIVE[3, 0] = 0.05, 0.1
AFFINE = {
    "scale": START @ np.diag([1.02, 1.02, 1.02, 1]),
    "stretch": START @ np.diag([1, 1, 1.1, 1]),
    "shear": START @ SHEAR,
    "mirror": START @ np.diag([-1.0, 1, 1, 1]),
    "flat": START @ np.diag([1.0, 1, 0, 1]),
}
BAD = {**AFFINE, "perspective": PERSPECTIVE}
bad = pytest.mark.parametrize("matrix", BAD.values(), ids=BAD.keys())
affine = pytest.mark.parametrize("matrix", AFFINE.values(), ids=AFFINE.keys())


@bad
@pytest.mark.parametrize(
    "key",
    [
        ["world_from_ct"],
        ["reference_from_world"],
        ["truth", "world_from_ct"],
        ["views", 2, "camera", "camera_from_world"],
    ],
    ids=lambda key: key[-1],
)
def test_in_a_case(write_case, matrix, key):
    assert key[-1] in refusal(CaseFile.read, write_case(changed(full(), key, matrix.tolist())))


@bad
@pytest.mark.parametrize("key", ["world_from_ct", "reference_from_world"])
def test_in_a_result(tmp_path, matrix, key):
    assert key in refusal(RegistrationExport.read, write_result(tmp_path, **{key: matrix.tolist()}))


@bad
def test_in_the_cameras_of_a_result(tmp_path, matrix):
    views = [{"name": "AP", "camera_from_world": matrix.tolist()}]
    assert "camera_from_world" in refusal(RegistrationExport.read, write_result(tmp_path, views=views))


@bad
@pytest.mark.parametrize("kind", ["txt", "npy", "json"])
def test_in_a_matrix_file(tmp_path, matrix, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        np.save(path, matrix)
    else:
        path.write_text(json.dumps(matrix.tolist()))
    assert path.name in refusal(read_start_pose, path, "lps", "forward")
    assert path.name in refusal(read_pose, path, "reference_from_world", ["ras", "resampling"])


@affine
@pytest.mark.parametrize("kind", ["tfm", "h5"])
def test_in_an_itk_transform(tmp_path, matrix, kind):
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    path = tmp_path / f"a.{kind}"
    sitk.WriteTransform(transform, str(path))
    assert path.name in refusal(read_start_pose, path, "lps", "resampling")
    given = {
        "direction": "forward",
        "axes": "ras",
        "fixed_transforms": "none",
        "intrinsics": np.eye(3),
        "first_pixel": 0,
    }
    assert path.name in refusal(lambda: read_calibration(path, **given))


@bad
def test_in_tracked_poses(tmp_path, matrix):
    (tmp_path / "a.tra").write_text(",".join(map(repr, matrix.ravel().tolist())))
    assert "a.tra" in refusal(read_tra, tmp_path / "a.tra", 0, 0, 1, 1.0)


@bad
def test_in_a_calibration(tmp_path, matrix):
    content = {"K": np.diag([100.0, 100, 1]).tolist(), "camera_from_world": matrix.tolist()}
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert "a.json" in refusal(lambda: read_calibration(tmp_path / "a.json", unit="mm", axes="lps", first_pixel=0))


def test_an_archive_whose_paths_leave_its_folder_writes_nothing(tmp_path):
    """NumPy's archives are the only ones that are opened, and never unpacked."""
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "a.npz", "w") as archive:
        for name in ("../outside.npy", "/tmp/outside.npy", "..\\outside.npy"):
            archive.writestr(name, b"no array")
    assert "a.npz" in refusal(lambda: read_calibration(folder / "a.npz", unit="mm", axes="lps", first_pixel=0))
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.npz"]
