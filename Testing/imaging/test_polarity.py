"""Whether bone is bright or dark, recognised from the image."""

import numpy as np
import pytest
from helpers.refusals import refuses
from numpy.testing import assert_array_equal
from radiographs import FIELDS, collimated, exposed, limb, trunk

from MultiViewRegistrationLib.imaging.field import bone_is_bright
from MultiViewRegistrationLib.imaging.xray import RawImage, load_image, to_line_integrals

IMAGES = {
    "limb in air": exposed(limb(200, 110)),
    "limb in saturated air": np.minimum(2 * exposed(limb(200, 110)), 65_535),
    "round field": collimated(exposed(trunk(2)), FIELDS["circle"], "lead"),
    "painted white": collimated(exposed(trunk(3)), FIELDS["octagon"], "painted white"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGES)
def test_bone_is_bright(name):
    assert bone_is_bright(IMAGES[name]) is False
    assert bone_is_bright(65_535 - IMAGES[name]) is True
    assert bone_is_bright(-np.log((IMAGES[name] + 60) / 65_535)) is True


@pytest.mark.slow
def test_auto_intensity_equals_stated_intensity():
    image = IMAGES["round field"].astype(np.float32)
    for values, word, curve, inverted in (
        (image, "linear", None, False),
        (-np.log((image + 60) / 65_535), "log", None, False),
        (65_535 - image, "linear", "linear", True),
        (7 + np.log((image + 60) / 65_535), "log", "log", True),
    ):
        raw = RawImage(values, 0, 7 if word == "log" else 65_535, curve)
        given, recognised = to_line_integrals(raw, word, inverted), to_line_integrals(raw, "auto")
        assert_array_equal(recognised.line_integrals, given.line_integrals)
        assert_array_equal(recognised.valid, given.valid)


@pytest.mark.slow
def test_bone_is_bright_of_real_and_simulated_radiographs(shared_data):
    """Never wrong, seldom silent, as intensities and as logarithms."""
    paths = [
        *sorted((shared_data / "wrist").glob("*.png"))[::2],
        *sorted((shared_data / "sim").glob("*/view*.mha")),
    ]
    paths.append(shared_data / "dicom" / "rf-circular-shutter.dcm")
    silent = 0
    for path in paths:
        values = load_image(path).values
        answers = bone_is_bright(values), bone_is_bright(-np.log(values + 0.5))
        assert answers[0] is not True and answers[1] is not False, path.name
        silent += answers.count(None)
    assert silent <= 0.2 * 2 * len(paths)


def test_bone_is_bright_is_unknown_for_noise():
    noise = np.random.default_rng(0).normal(30_000, 500, (400, 400)).astype(np.float32)
    assert bone_is_bright(noise) is None
    assert bone_is_bright(np.zeros((64, 64))) is None
    with refuses('"linear".*"log"'):
        to_line_integrals(RawImage(noise, 1, 65_535), "auto")
