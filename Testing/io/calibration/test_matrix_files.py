"""Projection matrices as numbers: text, NumPy, OpenGL's.

And a tracked C-arm's transforms, as Plus, Slicer and SimpleITK write them.
"""

import numpy as np
import pytest
import SimpleITK as sitk
from helpers.refusals import refusal
from known_points import LPS_FROM_RAS, POINTS, POSE, SIZE, K, R, T, check, pinhole, rows
from numpy.testing import assert_allclose
from test_transforms import affine

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.calibration.read import read_calibration

P = K @ POSE[:3]
LPS = {"unit": "mm", "axes": "lps", "first_pixel": 0}


@pytest.mark.parametrize(
    "text, count",
    [
        (rows(P) + "\n\n" + rows(P), 2),
        (rows(np.vstack([P, [0, 0, 0, 1]] * 3)), 3),
        ("# c-arm\n" + rows(P, "; "), 1),
    ],
)
def test_several_matrices_in_text(read_text, text, count):
    views = read_text(text, **LPS)
    assert len(views) == count == len({view.name for view in views})
    for view in views:
        check(view)


def test_numpy(tmp_path):
    np.save(tmp_path / "one.npy", np.asfortranarray(P))
    np.savez_compressed(tmp_path / "named.npz", AP=P, LAT=P)
    np.savez(tmp_path / "parts.npz", mtx=K, dist=np.zeros((1, 5)), R=R, t=T, size=SIZE)
    expected = {"one.npy": "one", "named.npz": "AP,LAT"}
    for name, names in {**expected, "parts.npz": "parts"}.items():
        views = read_calibration(tmp_path / name, **LPS)
        assert ",".join(view.name for view in views) == names
        for view in views:
            check(view)
    assert views[0].camera.size == SIZE


def test_opengl_by_vtk(read_text):
    """vtkCamera's composite matrix, and where vtkRenderer's formula shows points.

    x from the left edge, y from the bottom.
    """
    camera = pytest.importorskip("vtkmodules.vtkRenderingCore").vtkCamera()
    camera.SetPosition(300, -500, 250)
    camera.SetFocalPoint(5, 8, -3)
    camera.SetViewUp(0.1, 0.2, 1)
    camera.SetViewAngle(22)
    matrix = camera.GetCompositeProjectionTransformMatrix(SIZE[0] / SIZE[1], -1, 1)
    matrix = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    clip = matrix @ np.c_[POINTS, np.ones(20)].T
    edges = (clip[:2] / clip[3]).T * (0.5, -0.5) + 0.5  # 0 at the left and top edges of the image
    given = {"unit": "mm", "axes": "lps", "projects_to": "opengl"}
    (view,) = read_text(rows(matrix), **given, size=SIZE)
    check(view, POINTS, edges * SIZE - 0.5)
    assert_allclose(view.camera.source, (300, -500, 250), atol=1e-6)
    assert "set projects_to to opengl" in refusal(read_text, rows(matrix), **LPS, size=SIZE)
    assert "set size to" in refusal(read_text, rows(matrix), **given)


#: Of the same camera, whose image is stored as seen from the detector: columns run the other way.
FLIPPED = np.array([[-1.0, 0, SIZE[0] - 1], [0, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("seen_from, sign", [("source", -1), ("detector", 1)])
def test_a_matrix_with_a_negative_determinant_asks_from_which_end_the_image_is_seen(
    read_text, seen_from, sign
):
    """P of a mirrored image, and -P of one that is not, differ in nothing else."""
    pixels = FLIPPED @ K if seen_from == "detector" else K
    text = rows(5 * sign * pixels @ POSE[:3])
    assert "set seen_from to source" in refusal(read_text, text, **LPS, size=SIZE)
    (view,) = read_text(text, **LPS, size=SIZE, seen_from=seen_from)
    check(view, POINTS, pinhole(POINTS, pixels))
    assert_allclose(view.camera.source, -R.T @ T, atol=1e-6)
    assert (view.camera.intrinsics[0, 0] < 0) == (seen_from == "detector")


WORLD_FROM_CARM = rigid.turn_and_shift([0.3, -1, 0.5], [100, -50, 900])
CARM_FROM_CAMERA = rigid.inverse(WORLD_FROM_CARM) @ rigid.inverse(POSE)


def plus(carm_from_camera=CARM_FROM_CAMERA, to="Camera"):
    def matrix(values):
        return " ".join(map(repr, values.ravel().tolist()))

    return (
        '<PlusConfiguration version="2.9"><CoordinateDefinitions>'
        f'<Transform From="CArm" To="Reference" Matrix="{matrix(WORLD_FROM_CARM)}"/>'
        f'<Transform From="CArm" To="{to}" Matrix="{matrix(rigid.inverse(carm_from_camera))}"/>'
        '<Transform From="Stylus" To="Tip" Matrix="1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"/></CoordinateDefinitions></PlusConfiguration>'
    )


FRAMES = {
    **LPS,
    "intrinsics": K,
    "size": SIZE,
    "camera_frame": "Camera",
    "world_frame": "Reference",
}


def test_a_tracked_c_arm(read_text):
    """A point's coordinates go from the reference to the C-arm's marker to the camera.

    One of the two transforms is written inverted.
    """
    (view,) = read_text(plus(), "plus.xml", **FRAMES)
    check(view)
    (moved,) = read_text(plus(), "plus.xml", **{**FRAMES, "axes": "ras"})
    check(moved, POINTS @ LPS_FROM_RAS.T)


@pytest.fixture
def recording(tmp_path):
    """Three frames of a C-arm's marker; the second was not tracked."""
    image = sitk.Image(4, 3, 3, sitk.sitkUInt8)
    for frame, (status, x) in enumerate((("OK", 0.0), ("INVALID", 0.0), ("OK", 10.0))):
        moved = rigid.translation([x, 0, 0]) @ WORLD_FROM_CARM
        prefix = f"Seq_Frame{frame:04d}_"
        tracked = {"Transform": " ".join(map(repr, moved.ravel().tolist()))}
        for key, value in {**tracked, "TransformStatus": status}.items():
            image.SetMetaData(f"{prefix}CArmToReference{key}", value)
        image.SetMetaData(f"{prefix}Timestamp", "1.5")
    for name in ("sequence.mha", "sequence.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
    tracked = '<Transform From="CArm" To="Reference"'
    skipped = plus().replace(tracked, tracked.replace("Transform", "Skipped"))
    (tmp_path / "plus.xml").write_text(skipped)
    return {**FRAMES, "fixed_transforms": tmp_path / "plus.xml"}


@pytest.mark.parametrize("name", ["sequence.mha", "sequence.nrrd"])
def test_a_recording_of_a_tracked_c_arm(recording, tmp_path, name):
    """It moved along x, and what it sees with it."""
    first, last = read_calibration(tmp_path / name, **recording)
    assert (first.name, last.name) == ("frame 0", "frame 2")
    check(first)
    check(last, POINTS + [10, 0, 0])
    assert "set fixed_transforms to" in refusal(read_calibration, tmp_path / name, **FRAMES)


@pytest.mark.parametrize(
    "text, given, word",
    [
        (plus(), {"world_frame": "Tip"}, 'to world_frame "Tip"'),
        (plus().replace('Matrix="1 0 0 0 0', 'Matrix="2 0 0 0 0'), {}, "from Stylus to Tip"),
        (plus().replace('Matrix="1 0', 'Matrix="1'), {}, "16 numbers"),
    ],
)
def test_incomplete_tracked_c_arm_is_refused(read_text, text, given, word):
    assert word in refusal(read_text, text, "plus.xml", **FRAMES | given)


CAMERA = {"intrinsics": K, "size": SIZE, "first_pixel": 0}


def test_transforms_saved_by_slicer(slicer_storage, tmp_path):
    """In a scene, which is RAS, a point goes from the reference to the marker to the camera."""
    import slicer

    for name, matrix in (("CArmToReference", WORLD_FROM_CARM), ("CameraToCArm", CARM_FROM_CAMERA)):
        node, storage = slicer_storage("LinearTransform", "Transform", tmp_path / f"{name}.tfm")
        node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
        assert storage.WriteData(node)
    given = {"direction": "resampling", "axes": "ras"}
    given["fixed_transforms"] = tmp_path / "CameraToCArm.tfm"
    path = tmp_path / "CArmToReference.tfm"
    (view,) = read_calibration(path, "transform", **CAMERA, **given)
    check(view, POINTS @ LPS_FROM_RAS.T)


def test_a_cameras_own_pose_by_simpleitk(tmp_path):
    """TransformPoint takes a point from the camera's frame to the world."""
    transform, path = affine(rigid.inverse(POSE)), tmp_path / "camera.tfm"
    given = {**CAMERA, "axes": "lps", "fixed_transforms": "none"}
    for each, direction in ((transform, "forward"), (transform.GetInverse(), "resampling")):
        sitk.WriteTransform(each, str(path))
        (view,) = read_calibration(path, **given, direction=direction)
        check(view)
        assert_allclose(view.camera.source, transform.TransformPoint((0.0, 0.0, 0.0)), atol=1e-9)
