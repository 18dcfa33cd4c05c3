"""What is put on X-rays is there, in the measure that is said, and at one place in space."""

from __future__ import annotations

import numpy as np
import pytest

from MultiViewRegistrationLib.imaging.raw_image import raw_image
from MultiViewRegistrationLib.imaging.xray import to_line_integrals
from MultiViewRegistrationLib.simulation import nuisances
from MultiViewRegistrationLib.simulation.cases import random_cameras
from MultiViewRegistrationLib.simulation.nuisances import OVERLAYS, TAKEN, overlays_with, xrays_with
from MultiViewRegistrationLib.simulation.simulator import FULL_SCALE


@pytest.fixture
def image():
    ramp = np.linspace(8000, 50000, 512)
    return (ramp[None] + 4000 * np.sin(np.arange(512) / 9)[:, None]).astype(np.uint16)


CAMERAS = random_cameras(np.random.default_rng(1), 3, (60, 60))


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_changes_the_image_and_leaves_its_kind(name, image):
    (put,) = overlays_with(np.random.default_rng(3), [name])
    for camera in CAMERAS:
        before = image.copy()
        after = put(image, camera)
        assert after.shape == image.shape and after.dtype == image.dtype
        assert (after != image).mean() > 0.003
        np.testing.assert_array_equal(image, before)


def test_the_same_seed_puts_the_same_on():
    flat = np.full((512, 512), 30000, np.uint16)
    for name in OVERLAYS:
        first, again = (overlays_with(np.random.default_rng(5), [name])[0](flat, CAMERAS[0]) for _ in range(2))
        np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("seed", range(6))
def test_tools_cover_a_tenth_to_a_quarter_and_let_little_through(seed):
    flat = np.full((512, 512), 30000, np.uint16)
    (put,) = overlays_with(np.random.default_rng(seed), ["tools"])
    for camera in CAMERAS:
        after = put(flat, camera)
        least, most = nuisances.TOOLS_COVER
        assert least <= (after < flat).mean() <= most + 0.1  # the last tool may go beyond
        assert after[after < flat].max() <= 0.2 * 30000


def test_saturated_pixels_are_as_bright_as_can_be(image):
    (put,) = overlays_with(np.random.default_rng(0), ["saturated"])
    after = put(image, CAMERAS[0])
    assert 0.19 < (after == FULL_SCALE).mean() < 0.51
    assert (np.argsort(after[0], kind="stable") == np.argsort(image[0], kind="stable"))[:100].all()


def test_text_is_not_taken_for_the_patient(image):
    found = 0
    for seed in range(8):
        after = overlays_with(np.random.default_rng(seed), ["text"])[0](image, CAMERAS[0])
        assert 0 < (after != image).mean() < 0.05
        found += not to_line_integrals(raw_image(after)).valid[after != image].all()
    assert found >= 6


@pytest.mark.parametrize("name", ["contrast", "cast", "table"])
def test_what_is_in_space_is_seen_where_it_projects_to(name):
    """Behind what attenuates alike the image is darker by a factor, wherever the camera stands, and nowhere brighter."""
    flat = np.full((512, 512), 40000, np.uint16)
    (put,) = overlays_with(np.random.default_rng(2), [name])
    shadows = [-np.log(put(flat, camera) / 40000) for camera in CAMERAS]
    for shadow in shadows:
        assert shadow.min() >= 0 and 0.1 < shadow.max() < 12
    assert not np.allclose(shadows[0], shadows[1], atol=0.05)


def test_how_it_is_taken():
    names = ("round field", "wires", "shutters", "tools", "motion")  # the last two are put on elsewhere
    first, second = xrays_with(np.random.default_rng(0), names, 2)
    assert first.round_field and first.metal and first.metal == second.metal
    assert first.collimation != second.collimation
    assert set(TAKEN).isdisjoint(OVERLAYS)
