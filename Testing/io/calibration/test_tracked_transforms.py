"""A tracked C-arm by transform files, as Slicer saves them and as SimpleITK writes them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from known_points import LPS_FROM_RAS, POINTS, POSE, SIZE, K, check, pinhole
from tiny_case import refusal

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.calibration.read import read_calibration

WORLD_FROM_CARM = rigid.from_rotation_translation(rigid.exp_so3([0.3, -1, 0.5]), [100, -50, 900])
CARM_FROM_CAMERA = rigid.inverse(WORLD_FROM_CARM) @ rigid.inverse(POSE)
GIVEN = {"intrinsics": K, "size": SIZE, "first_pixel": 0}


@pytest.mark.parametrize("ending", [".tfm", ".h5"])
def test_transforms_that_slicer_saved(tmp_path, ending):
    """In a scene, which is RAS, a point goes from the reference to the marker to the camera, and by the pinhole to its pixel."""
    pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
    import slicer

    scene = slicer.vtkMRMLScene()
    for name, matrix in (("CArmToReference", WORLD_FROM_CARM), ("CameraToCArm", CARM_FROM_CAMERA)):
        node, storage = slicer.vtkMRMLLinearTransformNode(), slicer.vtkMRMLTransformStorageNode()
        scene.AddNode(node)
        scene.AddNode(storage)
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        storage.SetFileName(str(tmp_path / (name + ending)))
        assert storage.WriteData(node)
    path = tmp_path / f"CArmToReference{ending}"
    (view,) = read_calibration(
        path,
        "transform",
        **GIVEN,
        direction="resampling",
        axes="ras",
        fixed_transforms=tmp_path / f"CameraToCArm{ending}",
    )
    check(view, POINTS @ LPS_FROM_RAS.T, pinhole(POINTS))
    assert view.name == "CArmToReference"


@pytest.mark.parametrize("axes", ["lps", "own"])
def test_a_cameras_own_pose_by_simpleitk(tmp_path, axes):
    """TransformPoint takes a point from the camera's frame to the world."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(rigid.inverse(POSE)[:3, :3].ravel().tolist())
    transform.SetTranslation(rigid.inverse(POSE)[:3, 3].tolist())
    sitk.WriteTransform(transform, str(tmp_path / "camera.tfm"))
    (view,) = read_calibration(
        tmp_path / "camera.tfm", **GIVEN, direction="forward", axes=axes, fixed_transforms="none"
    )
    check(view, POINTS, pinhole(POINTS))
    source = transform.TransformPoint((0.0, 0.0, 0.0))
    np.testing.assert_allclose(view.camera.source, source, atol=1e-9)
    (back,) = read_calibration(
        _written(tmp_path / "back.tfm", transform.GetInverse()),
        **GIVEN,
        direction="resampling",
        axes=axes,
        fixed_transforms="none",
    )
    check(back, POINTS, pinhole(POINTS))


def _written(path, transform):
    sitk.WriteTransform(transform, str(path))
    return path


@pytest.mark.parametrize("key", "direction axes fixed_transforms intrinsics first_pixel".split())
def test_missing_conventions_of_a_transform_are_requested(tmp_path, key):
    path = _written(tmp_path / "a.tfm", sitk.Euler3DTransform())
    given = {**GIVEN, "direction": "forward", "axes": "lps", "fixed_transforms": "none"}
    assert f"set {key} to" in refusal(read_calibration, path, **{**given, key: None})
