"""Transforms from and for other programs.

Every direction and frame is proved by a point, and none is guessed.
"""

import io
import json

import numpy as np
import pytest
import SimpleITK as sitk
from handed_result import pose, write_result
from numpy.testing import assert_allclose
from tiny_case import START, changed, full, refusal

from MultiViewRegistrationLib import CaseFile
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.datasets.autoscoper import read_tra
from MultiViewRegistrationLib.io.result_json import RegistrationExport
from MultiViewRegistrationLib.io.transforms import (
    NamedMatrix,
    read_pose,
    read_start_pose,
    read_transform,
    write_json,
    write_npy,
    write_slicer_transform,
    write_text,
    write_transform,
)

h5py = pytest.importorskip("h5py", reason='needs h5py: pip install -e ".[hdf5]"')
POSE = pose(5)
POINT = np.array([120.0, -340.0, 77.0, 1.0])
POINTS = np.random.default_rng(3).uniform(-1500, 1500, (50, 3))
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine(matrix):
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def by_itk(path, points):
    transform = sitk.ReadTransform(str(path))
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def test_simpleitk_takes_ct_to_world_with_the_one_and_back_with_the_other(tmp_path):
    write_transform(tmp_path / "a.tfm", POSE)
    write_slicer_transform(tmp_path / "b.tfm", POSE)
    in_world = rigid.transform_points(POSE, POINTS)
    assert_allclose(by_itk(tmp_path / "a.tfm", POINTS), in_world, atol=1e-9)
    assert_allclose(by_itk(tmp_path / "b.tfm", in_world), POINTS, atol=1e-9)
    assert_allclose(read_transform(tmp_path / "a.tfm"), POSE, atol=1e-9)


@pytest.mark.parametrize(
    "transform, ending",
    [
        (sitk.Euler3DTransform(), ".h5"),
        (sitk.VersorRigid3DTransform(), ".txt"),
        (sitk.AffineTransform(3), ".tfm"),
    ],
)
def test_transform_about_a_centre_is_read(tmp_path, transform, ending):
    transform.SetCenter((100.0, -250.0, 75.0))
    transform.SetMatrix(pose(7)[:3, :3].ravel().tolist())
    transform.SetTranslation((1.0, 2.0, 3.0))
    path = tmp_path / f"centred{ending}"
    sitk.WriteTransform(transform, str(path))
    found = rigid.transform_points(read_start_pose(path, "lps", "forward"), POINTS)
    assert_allclose(found, by_itk(path, POINTS), atol=1e-9)


@pytest.mark.parametrize(
    "transform, found",
    [
        (
            sitk.CompositeTransform([sitk.TranslationTransform(3), sitk.Euler3DTransform()]),
            "several transforms",
        ),
        (sitk.BSplineTransform(3), "BSplineTransform"),
    ],
)
def test_other_transforms_are_refused(tmp_path, transform, found):
    sitk.WriteTransform(transform, str(tmp_path / "other.tfm"))
    assert found in refusal(read_transform, tmp_path / "other.tfm")


@pytest.mark.parametrize("ending", ["tfm", "h5"])
def test_of_two_transforms_the_first_is_not_taken(tmp_path, ending):
    """SimpleITK takes it, with a word on stderr."""
    path = tmp_path / f"two.{ending}"
    sitk.WriteTransform(sitk.Euler3DTransform(), str(path))
    if ending == "tfm":
        _, first, content = path.read_text().partition("#Transform 0")
        path.write_text(path.read_text() + "#Transform 1" + content)
    else:
        with h5py.File(path, "a") as file:
            file.copy("TransformGroup/0", "TransformGroup/1")
    sitk.ReadTransform(str(path))
    assert "several transforms" in refusal(read_transform, path)


@pytest.mark.parametrize(
    "comment",
    ["Transform: Nothing\nParameters: 9 9 9\r\n\x00\u2028", "x" * 100_000, "\udc80"],
)
def test_comment_is_one_line_that_itk_skips(tmp_path, comment):
    path = tmp_path / "a.tfm"
    write_transform(path, POSE, comment)
    assert_allclose(by_itk(path, POINTS), rigid.transform_points(POSE, POINTS), atol=1e-9)
    lines = path.read_text("utf-8").splitlines()
    assert (
        len(lines) == 6
        and lines[1].startswith("# ")
        and lines[1].count("Nothing") == comment.count("Nothing")
    )


WRITERS = {
    ".txt": lambda path, matrix: np.savetxt(path, matrix, fmt="%.17g"),
    ".npy": np.save,
    ".json": lambda path, matrix: path.write_text(json.dumps(matrix.tolist())),
}


@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("frame", ["lps", "ras"])
@pytest.mark.parametrize("direction", ["forward", "resampling"])
def test_a_matrix_takes_a_point_where_its_frame_and_direction_say(
    tmp_path, ending, frame, direction
):
    to_frame = RAS_FROM_LPS if frame == "ras" else np.eye(4)
    matrix, path = to_frame @ POSE @ to_frame, tmp_path / f"pose{ending}"
    WRITERS[ending](path, matrix if direction == "forward" else np.linalg.inv(matrix))
    assert_allclose(read_start_pose(path, frame, direction) @ POINT, POSE @ POINT, atol=1e-9)
    for words in ([frame, direction], [direction, frame]):
        assert_allclose(read_pose(path, "world_from_ct", words) @ POINT, POSE @ POINT, atol=1e-9)


@pytest.mark.parametrize(
    "name, frame, direction, asked",
    [
        ("a.txt", None, "forward", "--frame lps or --frame ras"),
        ("a.tfm", "lps", None, "--direction"),
    ],
)
def test_missing_conventions_of_a_file_are_requested(tmp_path, name, frame, direction, asked):
    np.savetxt(tmp_path / "a.txt", POSE)
    write_transform(tmp_path / "a.tfm", POSE)
    assert asked in refusal(read_start_pose, tmp_path / name, frame, direction)


@pytest.mark.parametrize(
    "write, ending, axes, other",
    [
        (write_text, ".txt", "lps", "ras"),
        (write_npy, ".npy", "ras", "lps"),
        (write_json, ".json", "ras", "lps"),
    ],
)
def test_conventions_stored_in_a_file_are_used_and_not_contradicted(
    tmp_path, write, ending, axes, other
):
    path = tmp_path / f"named{ending}"
    said = {"override": "not for use: √ 1 2 3"}
    matrix = NamedMatrix(np.linalg.inv(POSE), "ct_from_world", "lps", said=said)
    write(path, matrix.in_axes(axes))
    for given in ((), (axes, "resampling")):
        assert_allclose(read_start_pose(path, *given), POSE, atol=1e-9)
    assert axes in refusal(read_start_pose, path, other, None)
    assert "resampling" in refusal(read_start_pose, path, None, "forward")


def array_bytes(shape, tail=b"\0" * 128):
    stream = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + tail


def pickled():
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.npy", pickled()),
        ("a.npy", array_bytes((100_000, 100_000))),
        ("a.txt", b"1 2 3"),
        ("a.txt", b"nan " * 16),
        ("a.json", b'{"world_from_ct": 3, "ct_from_world": 4}'),
        ("a.json", b'{"matrix": 1, "axes": "IJK"}'),
        ("a.json", json.dumps({"reference_from_ct": POSE.tolist(), "axes": "LPS"}).encode()),
        ("a.h5", b"\x89HDF\r\n\x1a\n"),
        (
            "a.tfm",
            b"#Insight Transform File V1.0\n#Transform 0\nTransform: \xff\xfe_double_3_3\nParameters: 1\n",
        ),
    ],
)
def test_a_file_without_a_matrix_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert name in refusal(read_start_pose, tmp_path / name, "lps", "forward")


def test_a_pose_stored_in_another_file_is_not_read(tmp_path):
    (tmp_path / "elsewhere").write_bytes(bytes(96))
    sitk.WriteTransform(sitk.AffineTransform(3), str(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        name = "TransformGroup/0/TransformParameters"
        del file[name]
        file.create_dataset(name, (12,), "f8", external=[(str(tmp_path / "elsewhere"), 0, 96)])
    assert "a.h5" in refusal(read_start_pose, tmp_path / "a.h5", "lps", "forward")


NOT_RIGID = START @ np.diag([1.02, 1.02, 1.02, 1])


@pytest.mark.parametrize(
    "path",
    ["reference_from_world", "views[2].camera.camera_from_world"],
)
def test_a_matrix_of_a_case_that_is_not_rigid_is_refused(case_folder, path):
    content = changed(full(), path, NOT_RIGID.tolist())
    assert path in refusal(CaseFile.from_json, case_folder / "case.json", content)


def test_non_rigid_matrix_of_a_result_is_refused(tmp_path):
    path = write_result(tmp_path, views=[{"name": "AP", "camera_from_world": NOT_RIGID}])
    assert "camera_from_world" in refusal(RegistrationExport.read, path)


def test_a_matrix_of_a_file_that_is_not_rigid_is_refused(file_of, tmp_path):
    """What else is not rigid, test_rigid tells."""
    np.savetxt(tmp_path / "a.txt", NOT_RIGID)
    assert "a.txt" in refusal(read_start_pose, tmp_path / "a.txt", "lps", "forward")
    path = file_of("a.tra", ",".join(map(repr, NOT_RIGID.ravel().tolist())))
    assert "a.tra" in refusal(read_tra, path, 0, 0, 1, 1.0)
    sitk.WriteTransform(affine(NOT_RIGID), str(tmp_path / "a.tfm"))
    assert "a.tfm" in refusal(read_start_pose, tmp_path / "a.tfm", "lps", "resampling")
