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
        (np.int16, 4095, 4095),
        (np.uint16, 4096, 16_383),
        (np.uint16, 60_000, 65_535),
        (np.int32, 70_000, None),
        (np.float32, 800, None),
        (np.float64, 4095, None),
    ],
)
def test_an_array_is_the_image_that_its_file_is(tmp_path, dtype, largest, white):
    values = np.linspace(0, largest, 30 * 20).reshape(30, 20).astype(dtype)
    array, file = raw_image(values), load_image(written(tmp_path / "a.mha", values))
    assert_array_equal(array.values, file.values)
    assert array.values.dtype == np.float32 and array.values.flags.owndata
    assert white in (None, array.white)
    assert (array.step, array.white, array.curve, array.pixel_mm) == (
        file.step,
        file.white,
        None,
        None,
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_an_array_is_the_ct_that_its_file_is(tmp_path, oblique, dtype):
    values = body(-2000).astype(dtype)
    before = values.copy()
    array, file = (
        ct_from_array(values, oblique),
        load_ct(written(tmp_path / "ct.nrrd", values, oblique)),
    )
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
        (body(), "relative"),
        (body(24), "hu"),
        (body(), "HU"),
        (body()[:1], "hu"),
        (body()[0], "hu"),
        (np.stack([body()] * 3, -1), "hu"),
    ],
)
def test_a_ct_is_refused_in_the_same_words(tmp_path, values, unit):
    path = written(tmp_path / "ct.nrrd", values, vector=values.ndim == 4)
    assert refusal(ct_from_array, values, np.eye(4), unit, name=path) == refusal(
        load_ct, path, unit
    )


def test_a_grid_without_a_place_is_refused(oblique):
    sheared = oblique @ [[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert refusal(ct_from_array, body(), sheared, name="CTChest").startswith(
        "CTChest: its axes are not at right angles"
    )
    for wrong in (np.diag([1, 0, 1, 1]), np.diag([1, np.nan, 1, 1])):
        assert "position is not given" in refusal(ct_from_array, body(), wrong)


def test_masks(tmp_path, oblique):
    ct = ct_from_array(body(), oblique)
    path = written(tmp_path / "ct.nrrd", body(), oblique)
    labels = (body() > 0) * np.uint8(3)
    assert_array_equal(masked(ct, labels).mask, labels > 0)
    for labels in (np.zeros(body().shape, np.uint8), (body() < 0).astype(np.uint8)):
        file = written(tmp_path / "mask.nrrd", labels, oblique)
        assert refusal(masked, ct, labels, file) == refusal(load_ct, path, mask=file)
    assert "7 x 7 x 6 voxels, but the CT's 8 x 7 x 6" in refusal(
        masked, ct, body()[:, :, 1:], "Femur"
    )
