"""The validity mask: borders of any kind are found, and no anatomy is taken for one."""

import numpy as np
import pytest
from radiographs import FIELDS, X, Y, bone, collimated, exposed, limb, trunk
from scipy import ndimage

from MultiViewRegistrationLib.imaging.field import find_field
from MultiViewRegistrationLib.imaging.xray import RawImage, load_image, to_line_integrals

STYLES = ["lead", "blurred lead", "leaky lead", "painted black", "painted white"]


def encoded(intensity, encoding):
    """The same image as files hold it, and how to read it."""
    if encoding == "16 bit":
        return RawImage(intensity.astype(np.float32), 1, 65_535), {}
    if encoding == "8 bit":
        return RawImage(np.floor(intensity / 257).astype(np.float32), 1, 255), {}
    if encoding == "inverted 8 bit":
        return RawImage((255 - np.floor(intensity / 257)).astype(np.float32), 1, 255), {
            "inverted": True
        }
    return RawImage(-np.log((intensity + 60) / 65_595).astype(np.float32), 0, 7), {
        "intensity": "log"
    }


def valid_of(intensity, encoding="16 bit"):
    raw, how = encoded(intensity, encoding)
    return to_line_integrals(raw, **how).valid


def assert_is_field(valid, inside):
    """Next to nothing outside is left, and at most a rim of 16 pixels (4 % of the image) is lost."""
    assert np.mean(valid[inside < 0]) < 0.003
    assert np.mean(valid[inside > 16]) > 0.99


@pytest.mark.quick_variants("circle-lead", "one blade-blurred lead")
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("shape", FIELDS)
def test_find_field_excludes_borders(shape, style):
    seed = len(shape) + len(style)
    assert_is_field(valid_of(collimated(exposed(trunk(seed)), FIELDS[shape], style)), FIELDS[shape])


@pytest.mark.quick_variants("leaky lead-inverted 8 bit")
@pytest.mark.parametrize("encoding", ["8 bit", "inverted 8 bit", "log"])
@pytest.mark.parametrize("style", STYLES)
def test_find_field_excludes_borders_in_other_encodings(style, encoding):
    inside = FIELDS["turned rectangle"]
    assert_is_field(valid_of(collimated(exposed(trunk(3)), inside, style), encoding), inside)


@pytest.mark.parametrize("encoding", ["16 bit", "inverted 8 bit", "log"])
def test_find_field_is_whole_image_without_border(encoding):
    assert valid_of(exposed(trunk()), encoding).all()


ANATOMY = {
    "thigh in air": limb(200, 110),
    "two thighs": limb(80, 90) + limb(310, 90),
    "head": 0.012 * 2 * np.sqrt(np.maximum(150**2 - (X - 200) ** 2 - (Y - 200) ** 2, 0)),
    "bone along the edge": limb(360, 150) + bone(X, 375, 22),
    "plate from the edge": limb(200, 150) + 6.0 * ((X < 100) & (abs(Y - 200) < 45)),
    "hip stem": limb(200, 150)
    + 6.0 * ((np.hypot(X - 250, Y - 90) < 35) | (abs(X - 235) < 12) & (Y > 90)),
    "table edge": trunk() + 0.25 * (X > 260),
}


@pytest.mark.quick_variants("head-1.0", "plate from the edge-1.0")
@pytest.mark.parametrize("gain", [1.0, 1.6])
@pytest.mark.parametrize("name", ANATOMY)
def test_find_field_keeps_anatomy_metal_and_direct_exposure(name, gain):
    """With a gain of 1.6 the air is saturated."""
    assert valid_of(np.minimum(gain * exposed(ANATOMY[name]), 65_535)).all()


def test_find_field_keeps_metal_touching_a_black_border():
    inside = FIELDS["circle"]
    metal = (abs(X - 190) < 12) & (Y > 200)
    valid = valid_of(collimated(exposed(trunk() + 7.0 * metal), inside, "lead"))
    assert_is_field(valid, inside)
    assert np.mean(valid[metal & (inside > 16)]) > 0.99


def test_find_field_detects_nested_borders():
    """Nested borders: black all around, within it the grey of scattered rays, within that the image."""
    lead = collimated(exposed(trunk()), FIELDS["rectangle"], "leaky lead")
    valid = valid_of(collimated(lead, 185 - np.hypot(X - 210, Y - 190), "painted black"))
    assert_is_field(valid, np.minimum(FIELDS["rectangle"], 185 - np.hypot(X - 210, Y - 190)))


def test_find_field_detects_border_around_dense_body():
    """A hundredth of direct exposure, which is seen at one spot, arrives behind the body."""
    line_integrals = np.where(np.hypot(X - 120, Y - 140) < 30, 0.1, trunk() + 3.0)
    image = collimated(exposed(line_integrals, photons=50_000), FIELDS["circle"], "lead")
    assert_is_field(valid_of(image), FIELDS["circle"])


def test_find_field_ignores_bright_spot():
    line_integrals = np.where(np.hypot(X - 300, Y - 140) < 40, 0.3, 6.0)
    assert valid_of(exposed(line_integrals), "8 bit").mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("name", ["camera1_0002", "camera2_0158"])
def test_find_field_of_real_radiographs(shared_data, name):
    """Round field, vignetted, with a halo of scattered light of up to 20 grey levels around it in a ragged, painted border."""
    path = shared_data / "wrist" / f"{name}.png"
    image, valid = load_image(path).values, to_line_integrals(load_image(path)).valid
    field = ndimage.binary_fill_holes(ndimage.binary_opening(image > 40, iterations=5))
    depth = ndimage.distance_transform_edt(field)
    assert np.mean(valid[~field]) < 0.002
    assert np.mean(valid[depth > 80]) > 0.995


def test_find_field_returns_independent_masks():
    image = np.random.default_rng(7).random((40, 50), np.float32)
    find_field(image)[:] = False
    assert find_field(image).all()
