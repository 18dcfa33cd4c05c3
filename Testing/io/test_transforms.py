"""Transform files, read back with SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from tiny_case import refusal

from MultiViewRegistrationLib.io.transforms import read_transform, write_slicer_transform, write_transform

POINTS = np.random.default_rng(3).uniform(-1500, 1500, (50, 3))


def pose(seed):
    random = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(random_state=seed).as_matrix()
    matrix[:3, 3] = random.uniform(-2000, 2000, 3)
    return matrix


def by_itk(path, points):
    transform = sitk.ReadTransform(str(path))
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


@pytest.mark.parametrize("seed", range(5))
def test_simpleitk_takes_ct_to_world_with_the_one_and_back_with_the_other(tmp_path, seed):
    world_from_ct = pose(seed)
    write_transform(tmp_path / "world_from_ct.tfm", world_from_ct)
    write_slicer_transform(tmp_path / "world_from_ct.slicer.tfm", world_from_ct)
    in_world = POINTS @ world_from_ct[:3, :3].T + world_from_ct[:3, 3]
    np.testing.assert_allclose(by_itk(tmp_path / "world_from_ct.tfm", POINTS), in_world, atol=1e-9)
    np.testing.assert_allclose(by_itk(tmp_path / "world_from_ct.slicer.tfm", in_world), POINTS, atol=1e-9)
    np.testing.assert_allclose(read_transform(tmp_path / "world_from_ct.tfm"), world_from_ct, atol=1e-9)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", [sitk.Euler3DTransform, sitk.VersorRigid3DTransform, sitk.AffineTransform])
def test_a_transform_about_a_centre_is_read_as_it_acts(tmp_path, kind):
    transform = kind(3) if kind is sitk.AffineTransform else kind()
    transform.SetCenter((100.0, -250.0, 75.0))
    transform.SetMatrix(pose(7)[:3, :3].ravel().tolist())
    transform.SetTranslation((1.0, 2.0, 3.0))
    path = tmp_path / "centred.tfm"
    sitk.WriteTransform(transform, str(path))
    matrix = read_transform(path)
    np.testing.assert_allclose(POINTS @ matrix[:3, :3].T + matrix[:3, 3], by_itk(path, POINTS), atol=1e-9)


def scaled(*diagonal):
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(np.diag(diagonal).ravel().tolist())
    return transform


@pytest.mark.parametrize(
    "transform, found",
    [
        (scaled(1.1, 1.1, 1.1), "scale"),
        (scaled(1.0, 1.0, -1.0), "mirror"),
        (sitk.Euler2DTransform(), "2D"),
        (
            sitk.CompositeTransform([sitk.TranslationTransform(3), sitk.Euler3DTransform()]),
            "several transforms",
        ),
        (sitk.BSplineTransform(3), "BSplineTransform"),
    ],
)
def test_other_transforms_are_refused(tmp_path, transform, found):
    path = tmp_path / "other.tfm"
    sitk.WriteTransform(transform, str(path))
    message = refusal(read_transform, path)
    assert found in message and str(path) in message


@pytest.mark.parametrize("ending", ["tfm", "h5"])
def test_of_two_transforms_the_first_is_not_taken(tmp_path, ending):
    """SimpleITK takes it, with a word on stderr."""
    path = tmp_path / f"two.{ending}"
    sitk.WriteTransform(sitk.Euler3DTransform(), str(path))
    if ending == "tfm":
        path.write_text(
            path.read_text() + path.read_text().partition("#Transform 0")[2].replace("#Transform 0", "#Transform 1")
        )
    else:
        h5py = pytest.importorskip("h5py", reason="needs h5py: pip install -e .[hdf5]")
        with h5py.File(path, "a") as file:
            file.copy("TransformGroup/0", "TransformGroup/1")
    sitk.ReadTransform(str(path))
    assert "several transforms" in refusal(read_transform, path)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"no transform",
        b"#Insight Transform File V1.0\nTransform: Nothing\n",
        b"#Insight Transform File V1.0\n#Transform 0\nTransform: \xff\xfe_double_3_3\nParameters: 1\nFixedParameters: 0\n",
    ],
)
def test_files_that_are_no_transform_are_refused(tmp_path, content):
    path = tmp_path / "broken.tfm"
    if content is not None:
        path.write_bytes(content)
    assert str(path) in refusal(read_transform, path)


@pytest.mark.parametrize(
    "comment",
    [
        "Override: an X-ray was replaced: 1 2 3.",
        "Transform: Nothing\nParameters: 9 9 9\r\n\x00\u2028",
        "mm ± 2°",
        "",
        "x" * 100_000,
        "\udc80",
    ],
)
def test_a_comment_is_one_line_that_itk_skips(tmp_path, comment):
    plain, commented = tmp_path / "plain.tfm", tmp_path / "commented.tfm"
    write_transform(plain, pose(4))
    write_transform(commented, pose(4), comment)
    np.testing.assert_array_equal(by_itk(commented, POINTS), by_itk(plain, POINTS))
    first, *rest = plain.read_text("utf-8").splitlines()
    lines = commented.read_text("utf-8").splitlines()
    assert lines[0] == first == "#Insight Transform File V1.0" and lines[2:] == rest
    assert lines[1].startswith("# ") and lines[1].count("Nothing") == comment.count("Nothing")
    write_slicer_transform(commented, pose(4), comment)
    np.testing.assert_allclose(read_transform(commented) @ pose(4), np.eye(4), atol=1e-9)
    assert commented.read_text("utf-8").splitlines()[1] == lines[1] and len(list(tmp_path.iterdir())) == 2


def test_the_file_is_what_itk_writes(tmp_path):
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(pose(2)[:3, :3].ravel().tolist())
    transform.SetTranslation(pose(2)[:3, 3].tolist())
    sitk.WriteTransform(transform, str(tmp_path / "itk.tfm"))
    write_transform(tmp_path / "ours.tfm", pose(2))
    assert (tmp_path / "ours.tfm").read_text().split() == (tmp_path / "itk.tfm").read_text().split()
