"""Cases written from memory are read by Case.load as they were, and nothing is left where they cannot be written."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation
from tiny_case import PLACE, READING, START, camera, changed, refusal

from MultiViewRegistrationLib import Camera, Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.imaging.ct import ct_from_array, masked
from MultiViewRegistrationLib.imaging.reading import itk_image, raw_image, write_image
from MultiViewRegistrationLib.imaging.xray import to_line_integrals
from MultiViewRegistrationLib.io.case_writer import write_case

DTYPES = (np.uint8, np.int16, np.float32, np.float64)
PIXEL_MM = (None, (1.0, 0.3), (0.194, 0.1 + 0.2), (1 / 3, 1 / 3))


def grid(seed, *, mirrored):
    """(4, 4): an oblique grid of one or the other handedness, with numbers of many digits."""
    random = np.random.default_rng(seed)
    axes = random.uniform(0.3, 3, 3) * [1, 1, -1 if mirrored else 1]
    return rigid.from_rotation_translation(
        Rotation.random(random_state=seed).as_matrix() * axes, random.uniform(-400, 400, 3)
    )


def picture(seed, dtype, shape):
    top = 255 if dtype == np.uint8 else 32_000 if dtype == np.int16 else 60_000
    return np.random.default_rng(seed).uniform(0.4 * top, top, shape).astype(dtype)


@pytest.mark.parametrize("seed, dtype", list(enumerate(DTYPES)))
def test_written_case_is_read_to_the_last_digit(tmp_path, seed, dtype):
    odd = bool(seed % 2)
    unit, intensity, low = ("relative", "log", 0) if odd else ("hu", "linear", -1024)
    random = np.random.default_rng(seed)
    values = np.rint(random.uniform(low, 3071, (5, 6, 7)))
    ct = ct_from_array(values, grid(seed, mirrored=odd), unit)
    ct = masked(ct, ct.volume.values > 1000)
    image = raw_image(picture(seed, dtype, (14, 23)), PIXEL_MM[seed])
    pose = rigid.turn_and_shift(random.normal(size=3), [10, -20, 700])
    focal = random.uniform(500, 9000)
    K = np.array([[-focal if odd else focal, 0.3, 23 / 3], [0, 1.01 * focal, 2], [0, 0, 1]])
    view = {"name": "Säule", "camera": Camera(K, pose, (23, 14)).to_json(), "intensity": intensity}
    case = Case.load(write_case(tmp_path, {"views": [view]}, [Body(ct)], {"Säule": image}, {}))
    assert_array_equal(case.ct.volume.values, ct.volume.values)
    assert_allclose(case.ct.volume.ct_from_index, ct.volume.ct_from_index, rtol=1e-14, atol=1e-14)
    assert case.ct.unit == unit and np.array_equal(case.ct.mask, ct.mask)
    (view,) = case.views
    assert_array_equal(view.xray.line_integrals, to_line_integrals(image, intensity).line_integrals)
    assert_array_equal(view.camera.intrinsics, K)
    assert_allclose(view.camera.camera_from_world, pose, atol=1e-13)
    assert view.xray.pixel_mm == (PIXEL_MM[seed] and pytest.approx(PIXEL_MM[seed], rel=1e-15))


def memory(**changes):
    """What write_case takes, beside the folder: a case with everything in it."""
    values = np.full((12, 12, 12), -1000.0)
    values[3:9, 3:9, 3:9] = 500
    ct = ct_from_array(values, PLACE)
    images = {
        name: raw_image(picture(seed, np.uint16, (16, 20)), (4.0, 4.0))
        for seed, name in enumerate(("AP", "LAT"))
    }
    matrix = {"name": "AP", "frame": 7, "image": "elsewhere.dcm"}
    c_arm = {**READING, "rao_lao_deg": np.float32(90), "size": np.array([20, 16])}
    content = {
        "version": 1,
        "views": [
            {**matrix, "projection_matrix": camera(0).projection_matrix},
            {"name": "LAT", "c_arm": c_arm, "rotation_sd_deg": None, "translation_sd_mm": 2.5},
        ],
        "ct": "/scans/ct.nii.gz",
        "world_from_ct": START,
        "targets": np.array([[1 / 3, 2, 3]]),
        "landmarks": [
            {"name": "tip", "ct": np.array([1, 2, 3]), "views": {"AP": [9.5, 7], "LAT": [10, 7.5]}}
        ],
        "truth": {"world_from_ct": START},
    }
    given = {"content": content, "bodies": [Body(masked(ct, values > 0))], "images": images}
    return {**given, "masks": {"LAT": np.indices((16, 20))[0] > 2}, **changes}


def test_written_case_keeps_all_keys_and_adds_no_file(tmp_path):
    folder = tmp_path / "a" / "case"
    path = write_case(folder, **memory())
    assert path == folder / "case.json"
    names = set("case.json ct.mha mask.mha view1.mha view2.mha view2_mask.png".split())
    case = Case.load(path)
    assert {file.name for file in folder.iterdir()} == set(case.inputs) == names
    assert case.targets[0, 0] == 1 / 3
    assert case.landmarks[0].pixels["LAT"].tolist() == [10, 7.5]
    assert_allclose(case.truth_world_from_ct, START, atol=1e-15)
    lateral = case.views[1].xray
    assert lateral.pixel_mm == (4, 4) and not lateral.valid[:3].any()
    assert not any(b"elsewhere" in file.read_bytes() for file in folder.iterdir())


def test_a_case_is_replaced_as_a_whole(tmp_path):
    write_case(tmp_path, **memory())
    (tmp_path / "notes.txt").write_text("kept")
    other = ct_from_array(np.linspace(0, 9, 1000).reshape(10, 10, 10), np.eye(4), "relative")
    case = Case.load(write_case(tmp_path, **memory(bodies=[Body(other)], masks={})))
    assert case.ct.unit == "relative" and case.ct.mask is None and case.views[1].xray.valid.all()
    assert (tmp_path / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize("nth", [0, 5])
@pytest.mark.parametrize("older", [False, True])
def test_full_disk_leaves_no_partial_case(tmp_path, monkeypatch, nth, older):
    folder = tmp_path / "case"
    if older:
        write_case(folder, **memory())
    before = {file: file.read_bytes() for file in folder.glob("*")}
    written = []

    def until_full(write, at):
        def writing(*given, **options):
            written.append(given[at])
            write(*given, **options)
            if len(written) > nth:
                os.truncate(given[at], os.path.getsize(given[at]) // 2)
                if not at:  # ITK says nothing
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return writing

    monkeypatch.setattr(Path, "write_bytes", until_full(Path.write_bytes, 0))
    monkeypatch.setattr(sitk, "WriteImage", until_full(sitk.WriteImage, 1))
    message = refusal(write_case, folder, **memory())
    assert message.startswith(f"{folder} cannot be written (No space left on device)")
    assert len(written) == nth + 1 and folder.exists() == older
    assert before == {file: file.read_bytes() for file in folder.glob("*")}


def test_invalid_case_is_refused_and_not_written(tmp_path):
    content = changed(memory()["content"], "views[1].c_arm.rao_lao_deg", np.nan)
    message = refusal(write_case, tmp_path / "case", **memory(content=content))
    path = tmp_path / "case" / "case.json"
    assert message.startswith(f"{path}: ") and "views[1].c_arm.rao_lao_deg" in message
    assert not (tmp_path / "case").exists()


def test_simpleitk_reads_the_values_where_they_were(tmp_path):
    values, affine = np.arange(24).reshape(2, 3, 4), grid(3, mirrored=True)
    write_image(tmp_path / "a.mha", itk_image(values, affine))
    image = sitk.ReadImage(tmp_path / "a.mha")
    with pytest.raises(IsADirectoryError):  # not that the disk is full
        write_image(tmp_path, image)
    assert_array_equal(sitk.GetArrayFromImage(image), values)
    for index in ((0, 0, 0), (3, 1, 0), (0, 2, 1)):
        assert_allclose(
            image.TransformIndexToPhysicalPoint(index), (affine @ [*index, 1])[:3], rtol=1e-14
        )
