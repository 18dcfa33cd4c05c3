"""What makes X-rays hard is there, in the measure that is said, and at one place in space."""

from __future__ import annotations

import numpy as np
import pytest

from MultiViewRegistrationLib.imaging.raw_image import raw_image
from MultiViewRegistrationLib.imaging.xray import to_line_integrals
from MultiViewRegistrationLib.simulation import simulator
from MultiViewRegistrationLib.simulation.cases import random_cameras
from MultiViewRegistrationLib.simulation.simulator import (
    FULL_SCALE,
    OVERLAYS,
    SIZE,
    TAKEN,
    Ball,
    Wire,
    overlays_with,
    xrays_with,
)

PIXELS = 128
CAMERAS = [camera.pooled(4) for camera in random_cameras(np.random.default_rng(1), 3, (60, 60))]
FLAT = np.full((PIXELS, PIXELS), 30000, np.uint16)


@pytest.fixture
def image():
    ramp = np.linspace(8000, 50000, PIXELS)
    return (ramp[None] + 4000 * np.sin(np.arange(PIXELS) / 3)[:, None]).astype(np.uint16)


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_changes_the_image_leaves_its_kind_and_repeats_with_its_seed(name, image):
    (put,), (again,) = (overlays_with(np.random.default_rng(3), [name]) for _ in range(2))
    for camera in CAMERAS:
        before = image.copy()
        after = put(image, camera)
        assert after.shape == image.shape and after.dtype == image.dtype
        assert (after != image).mean() > 0.003
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(again(image, camera), after)


@pytest.mark.parametrize("seed", range(3))
def test_tools_cover_a_tenth_to_a_quarter_and_let_little_through(seed):
    (put,) = overlays_with(np.random.default_rng(seed), ["tools"])
    for camera in CAMERAS:
        after = put(FLAT, camera)
        least, most = simulator.TOOLS_COVER
        assert least <= (after < FLAT).mean() <= most + 0.1  # the last tool may go beyond
        assert after[after < FLAT].max() <= 0.2 * 30000


def test_saturated_pixels_are_as_bright_as_can_be(image):
    (put,) = overlays_with(np.random.default_rng(0), ["saturated"])
    after = put(image, CAMERAS[0])
    assert 0.19 < (after == FULL_SCALE).mean() < 0.51
    assert (np.argsort(after[0], kind="stable") == np.argsort(image[0], kind="stable"))[:25].all()


def test_text_is_not_taken_for_the_patient():
    camera = random_cameras(np.random.default_rng(1), 1, (0, 0))[0]
    ramp = np.broadcast_to(np.linspace(8000, 50000, 512), (512, 512)).astype(np.uint16)
    found = 0
    for seed in range(8):
        after = overlays_with(np.random.default_rng(seed), ["text"])[0](ramp, camera)
        assert 0 < (after != ramp).mean() < 0.05
        found += not to_line_integrals(raw_image(after)).valid[after != ramp].all()
    assert found >= 6


@pytest.mark.parametrize("name", ["contrast", "cast", "table"])
def test_what_is_in_space_is_seen_where_it_projects_to(name):
    """Behind what attenuates alike the image is darker by a factor, wherever the camera stands, and nowhere brighter."""
    (put,) = overlays_with(np.random.default_rng(2), [name])
    shadows = [-np.log(put(FLAT, camera) / 30000) for camera in CAMERAS]
    for shadow in shadows:
        assert shadow.min() >= 0 and 0.1 < shadow.max() < 12
    assert not np.allclose(shadows[0], shadows[1], atol=0.05)


def xrays(*names, seed=0):
    return xrays_with(np.random.default_rng(seed), names, 2)


def covered(xray):
    left, top, right, bottom = xray.collimation
    return 1 - (1 - (left + right) / SIZE[0]) * (1 - (top + bottom) / SIZE[1])


@pytest.mark.parametrize(
    ("kind", "ball", "thickest"), [("wires", None, 5.0), ("rods", 15.0, 6.5), ("prosthesis", 32.0, 22.0)]
)
def test_metal_is_of_its_kind_and_the_same_in_all_views(kind, ball, thickest):
    first, second = xrays(kind)
    assert first == second and first.collimation == (0, 0, 0, 0) and first.mineral == 1
    assert {part.diameter_mm for part in first.metal if isinstance(part, Ball)} == ({ball} if ball else set())
    assert max(part.diameter_mm for part in first.metal if isinstance(part, Wire)) == thickest


def test_fields_are_narrow_scatter_is_heavy_and_bone_is_weak():
    for seed in range(20):
        first, second = xrays("blades", seed=seed)
        assert first.collimation == second.collimation and 0.4 < covered(first) < 0.75 and not first.metal
        first, second = xrays("shutters", seed=seed)
        assert first.collimation != second.collimation
        assert all(0.24 < covered(xray) < 0.46 for xray in (first, second))
        plain, scatter = xrays(seed=seed)[0], xrays("scatter", seed=seed)[0]
        assert scatter.scatter_to_primary >= 2 > 1 >= plain.scatter_to_primary
        assert scatter.photons <= 500 <= plain.photons
        assert 0.35 <= xrays("weak", seed=seed)[1].mineral <= 0.65


def test_several_at_once_are_drawn_from_the_seed():
    names = ("round field", "wires", "shutters", "tools", "motion")  # the last two are put on elsewhere
    first, second = xrays(*names)
    assert first.round_field and first.metal and first.metal == second.metal
    assert first.collimation != second.collimation
    assert xrays(*names) == xrays(*names) != xrays(*names, seed=1)
    assert set(TAKEN).isdisjoint(OVERLAYS)
