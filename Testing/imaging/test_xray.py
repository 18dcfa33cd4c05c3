"""X-ray images of all kinds as line integrals."""

from functools import partial

import numpy as np
import pytest
from dicom_files import XA_IMAGE, write_dicom
from helpers.file_io import write_volume as written
from helpers.refusals import refuses
from image_files import refusal
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from radiographs import FIELDS, SIZE, collimated, exposed, limb, trunk

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.imaging.xray import (
    RawImage,
    View,
    XRay,
    load_image,
    to_line_integrals,
)

LINE_INTEGRALS = limb(200, 110)


def raw(values, step=1, white=65_535):
    return RawImage(np.asarray(values, np.float32), step, white)


refused = partial(refusal, load_image)


def test_linear_intensities_give_line_integrals():
    """Direct exposure is visible beside the limb, so the default I0 is right, too."""
    xray = to_line_integrals(raw(50_000 * np.exp(-LINE_INTEGRALS), step=0))
    assert_allclose(xray.line_integrals, LINE_INTEGRALS, atol=1e-4)
    assert xray.line_integrals.dtype == np.float32 and xray.valid.all()


@pytest.mark.parametrize("bits", [8, 16])
def test_quantisation_does_not_bias_line_integrals(bits):
    """Truncated to 8 bits, intensities are half a level too low on average.

    Line integrals must not be biased by it.
    """
    detected = np.random.default_rng(0).uniform(0.02, 1, (SIZE, SIZE)) * 2**bits
    xray = to_line_integrals(
        raw(np.floor(detected), white=2**bits - 1), valid=np.ones((SIZE, SIZE), bool)
    )
    bias = xray.line_integrals + np.log(detected / np.percentile(np.floor(detected) + 0.5, 99.5))
    assert abs(bias.mean()) < 1e-3


@pytest.mark.parametrize(
    "worst, intensity", [(0, "linear"), (-500, "log"), (np.nan, "linear"), (np.inf, "log")]
)
def test_line_integrals_are_finite(worst, intensity):
    image = exposed(trunk()).astype(np.float32)
    image[100:103, 200:210] = worst
    xray = to_line_integrals(raw(image, step=0), intensity)
    assert np.isfinite(xray.line_integrals).all()
    assert np.isfinite(worst) or not xray.valid[101, 205]
    assert xray.valid.mean() > 0.99


def test_to_line_integrals_rejects_unusable_images():
    with refuses("no contrast"):
        to_line_integrals(raw(np.full((20, 20), 7)))
    with refuses('"bright"'):
        to_line_integrals(raw(exposed(trunk())), "bright")
    with refuses("no valid pixel"):
        to_line_integrals(raw(exposed(trunk())), valid=np.zeros((SIZE, SIZE), bool))


@pytest.mark.parametrize(
    "name, dtype",
    [
        ("a.png", np.uint8),
        ("a.tif", np.uint16),
        ("a.nrrd", np.float32),
        ("a.nii.gz", np.int16),
    ],
)
def test_load_image_reads_common_formats(tmp_path, name, dtype):
    values = (exposed(trunk())[::8, ::8] / (257 if dtype == np.uint8 else 2)).astype(dtype)
    image = load_image(written(tmp_path / name, values))
    assert_array_equal(image.values, values)
    assert image.values.dtype == np.float32


def test_load_image_selects_frame(tmp_path):
    frames = np.stack([exposed(trunk(seed)) for seed in range(3)]).astype(np.uint16)
    write_dicom(tmp_path / "run.dcm", frames, XA_IMAGE, Modality="XA")
    for path in (tmp_path / "run.dcm", written(tmp_path / "run.mha", frames)):
        assert_array_equal(load_image(path).values, frames[0])
        assert_array_equal(load_image(path, 2).values, frames[2])
        assert "frame 3 was requested, but it has 3; give a frame from 0 to 2" in refused(
            path, frame=3
        )
        assert "frame -1" in refused(path, frame=-1)


def test_load_image_reads_grey_colour_images_only(tmp_path):
    grey = (exposed(trunk())[::8, ::8] / 257).astype(np.uint8)
    for name, mode in (("rgb.png", "RGB"), ("rgba.png", "RGBA"), ("palette.png", "P")):
        Image.fromarray(grey).convert(mode).save(tmp_path / name)
        assert_array_equal(load_image(tmp_path / name).values, grey)
    colour = np.stack([grey, grey, grey], -1)
    colour[10:12, 10:30, 0] = 255
    Image.fromarray(colour).save(tmp_path / "overlay.png")
    assert "colour image" in refused(tmp_path / "overlay.png")


def test_load_image_rejects_damaged_files(tmp_path, capfd):
    whole = written(tmp_path / "whole.png", (exposed(trunk()) / 257).astype(np.uint8)).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("hello")
    for name, why in (
        ("half.png", "cannot be read"),
        ("notes.txt", "cannot be read"),
        ("nowhere.png", "no such file"),
        ("", "is a folder"),
    ):
        assert why in refused(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_pooled_averages_valid_pixels():
    xray = to_line_integrals(raw(collimated(exposed(trunk()), FIELDS["circle"], "lead")))
    pooled = xray.pooled(8)
    assert pooled.line_integrals.shape == pooled.valid.shape == (50, 50)
    for row, column in np.ndindex(50, 50):
        block = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        valid = xray.valid[block]
        assert pooled.valid[row, column] == (valid.mean() >= 0.7)
        expected = xray.line_integrals[block][valid].mean() if valid.any() else 0
        assert pooled.line_integrals[row, column] == pytest.approx(expected, abs=1e-4)
    assert xray.pooled(1) is xray


def test_view_rejects_camera_of_another_size():
    camera = Camera(np.diag([900.0, 900, 1]), np.eye(4), (70, 45))
    with refuses('view "lateral": the image has 45 x 70 pixels, its camera 70 x 45'):
        View("lateral", XRay(np.zeros((70, 45), np.float32), np.ones((70, 45), bool)), camera)
