"""Images and CTs from arrays go by the rules for files, in the same words."""

import numpy as np
import pytest
from helpers.file_io import write_volume as written
from image_files import refusal
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.imaging.ct import ct_from_array, load_ct, masked
from MultiViewRegistrationLib.imaging.xray import load_image, raw_image


def body(low=-1000):
    hu = np.full((6, 7, 8), low)
    hu[2:5, 2:5, 2:6] = 300
    return hu


@pytest.mark.parametrize(
    "dtype, largest, white",
    [
        (np.uint8, 200, 255),
        (np.int16, 256, 1023),
        (np.uint16, 60_000, 65_535),
        (np.float64, 4095, None),
    ],
)
def test_raw_image_equals_loaded_file(tmp_path, dtype, largest, white):
    values = np.linspace(0, largest, 30 * 20).reshape(30, 20).astype(dtype)
    array, file = raw_image(values), load_image(written(tmp_path / "a.mha", values))
    assert_array_equal(array.values, file.values)
    assert array.values.dtype == np.float32 and array.values.flags.owndata
    assert (array.step, array.white) == (file.step, file.white)
    assert white in (None, array.white)


def test_ct_from_array_equals_loaded_file(tmp_path, oblique):
    values = body(-2000).astype(np.int16)
    before = values.copy()
    array = ct_from_array(values, oblique)
    file = load_ct(written(tmp_path / "ct.nrrd", values, oblique))
    assert_array_equal(array.volume.values, file.volume.values)
    assert_allclose(array.volume.ct_from_index, file.volume.ct_from_index, atol=1e-12)
    assert array.volume.values.min() == -1024 and array.mask is None and array.unit == "hu"
    assert_array_equal(values, before)


@pytest.mark.parametrize(
    "values, unit",
    [
        (body(np.nan), "hu"),
        (np.full((4, 4, 4), -1000.0), "hu"),
        (np.zeros((4, 4, 4)), "relative"),
        (body(), "HU"),
        (body()[:1], "hu"),
        (body()[0], "hu"),
    ],
)
def test_ct_from_array_rejects_what_load_ct_rejects(tmp_path, values, unit):
    path = written(tmp_path / "ct.nrrd", values)
    of_array = refusal(ct_from_array, values, np.eye(4), unit, name=path)
    assert of_array == refusal(load_ct, path, unit)


def test_ct_from_array_rejects_invalid_affine(oblique):
    sheared = oblique @ [[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert refusal(ct_from_array, body(), sheared, name="CTChest").startswith(
        "CTChest: its axes are not at right angles"
    )
    for wrong in (np.diag([1, 0, 1, 1]), np.diag([1, np.nan, 1, 1])):
        assert "position is not given" in refusal(ct_from_array, body(), wrong)


def test_masked_checks_array_as_load_ct_checks_file(tmp_path, oblique):
    ct = ct_from_array(body(), oblique)
    labels = (body() > 0) * np.uint8(3)
    assert_array_equal(masked(ct, labels).mask, labels > 0)
    empty = np.zeros(body().shape, np.uint8)
    file = written(tmp_path / "mask.nrrd", empty, oblique)
    path = written(tmp_path / "ct.nrrd", body(), oblique)
    assert refusal(masked, ct, empty, file) == refusal(load_ct, path, mask=file)
    cut = refusal(masked, ct, body()[:, :, 1:], "Femur")
    assert "7 x 7 x 6 voxels, but the CT's 8 x 7 x 6" in cut
