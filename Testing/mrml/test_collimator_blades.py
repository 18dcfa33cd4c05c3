"""Collimator blades are not shown as the brightest bone of all."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from tiny_scene import add_xray, c_arm

from MultiViewRegistrationLib.mrml.image import refresh
from MultiViewRegistrationLib.mrml.loading import camera_content
from MultiViewRegistrationLib.mrml.registration import Registration

ROWS, COLUMNS = np.indices((160, 200))
FIELD = np.hypot(ROWS - 80, COLUMNS - 100) < 75


def body(blades: float = 9.0, metal: float | None = None) -> np.ndarray:
    """Line integrals of 0.5 to 3 in a round field."""
    image = np.where(FIELD, 1.75 + 1.25 * np.sin(COLUMNS / 15) * np.cos(ROWS / 11), blades)
    if metal is not None:
        image[60:64, 60:70] = metal
    return image + 0.01 * np.random.default_rng(0).normal(size=image.shape)


def shown(scene, image) -> tuple[np.ndarray, object]:
    """Which pixels are not transparent, and the display node."""
    registration = Registration.create(scene)
    view = add_xray(registration, "AP", camera_content(c_arm(size=(200, 160))), image.astype(np.float32))
    refresh(view)
    display = view.node.GetDisplayNode()
    if not display.GetApplyThreshold():
        return np.ones(image.shape, bool), display
    return (image >= display.GetLowerThreshold()) & (image <= display.GetUpperThreshold()), display


def test_blades_are_black_and_the_field_is_all_there(scene):
    seen, _ = shown(scene, body())
    assert seen[np.hypot(ROWS - 80, COLUMNS - 100) < 72].all()
    assert not seen[np.hypot(ROWS - 80, COLUMNS - 100) > 77].any()


@pytest.mark.parametrize(
    "image",
    [
        np.where(True, body(), 0)[35:125, 45:155],  # without blades
        body(blades=3.2),  # hardly told apart from bone
        body(metal=9.0),  # as dense as they are
    ],
)
def test_where_they_cannot_be_told_apart_all_is_shown(scene, image):
    seen, _ = shown(scene, image)
    assert seen.all()


def test_an_image_without_them_after_one_with_them_is_shown_as_a_whole(scene):

    _, display = shown(scene, body())
    [registration] = Registration.all(scene)
    view = registration.xrays[0]
    slicer.util.updateVolumeFromArray(view.source, body()[None, 35:125, 45:155].astype(np.float32))
    assert display.GetApplyThreshold()
    refresh(view)
    assert not display.GetApplyThreshold()
