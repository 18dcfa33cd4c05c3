"""Burned-in text."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from radiographs import FIELDS, collimated, exposed, limb, trunk
from scipy import ndimage

from MultiViewRegistrationLib.imaging.field import find_annotations
from MultiViewRegistrationLib.imaging.xray import RawImage, to_line_integrals


def with_text(image, grey):
    """8 bit: the image with a word and a ruler on it, and where they are."""
    plain = Image.fromarray(np.clip(image / 257, 1, 254).astype(np.uint8))
    drawn = plain.copy()
    draw = ImageDraw.Draw(drawn)
    draw.fontmode = "1"  # without smoothing, as scanners write
    draw.text((120, 180), "L 12:34", fill=grey, font=ImageFont.load_default(size=18))
    draw.line((100, 300, 260, 290), fill=grey, width=2)
    return np.array(drawn).astype(np.float32), np.array(drawn) != np.array(plain)


@pytest.mark.quick_variants("255")
@pytest.mark.parametrize("grey", [0, 255])
def test_find_annotations_masks_text_and_lines(grey):
    image, text = with_text(collimated(exposed(trunk()), FIELDS["circle"], "lead"), grey)
    valid = to_line_integrals(RawImage(image, 1, 255)).valid
    around = ndimage.binary_dilation(text, np.ones((37, 73)))  # a box around the word
    assert np.mean(valid[text]) < 0.02
    assert valid[~around & (FIELDS["circle"] > 16)].mean() > 0.997


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_find_annotations_ignores_saturated_air_and_noise(gain):
    image = np.minimum(gain * exposed(limb(200, 110)), 65_535)
    assert not find_annotations(-np.log(image + 1), np.ones(image.shape, bool)).any()
