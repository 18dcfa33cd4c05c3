"""Beads in simulated X-ray images are located to a tenth of a pixel."""

import numpy as np
import pytest
from helpers.bead_scene import draw_beads, take_phantom
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import Camera
from MultiViewRegistrationLib.imaging.beads import find_beads, stopped_by_ball
from MultiViewRegistrationLib.imaging.field import find_field
from MultiViewRegistrationLib.imaging.reading import raw_image
from MultiViewRegistrationLib.imaging.xray import to_line_integrals

SIZE, FOCAL = (360, 360), 3000.0


def camera():
    pose = np.eye(4)
    pose[:3, 3] = 0, 0, 700
    return Camera([[FOCAL, 0, 179.5], [0, FOCAL, 179.5], [0, 0, 1]], pose, SIZE)


def beads_in(image):
    xray = to_line_integrals(raw_image(image))
    return find_beads(xray.line_integrals, find_field(xray.line_integrals), (1.3, 26))


def nearest(beads, place):
    """The bead nearest to a place in the world, and how far from it, px."""
    pixel = camera().project(np.array(place, float))
    bead = min(beads, key=lambda each: np.linalg.norm(each.pixel - pixel))
    return bead, float(np.linalg.norm(bead.pixel - pixel))


@pytest.mark.slow
def test_find_beads_locates_beads_before_and_behind_bone(rtk):
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid((-24, -8, 8, 24), (-24, 0, 24)), axis=-1).reshape(-1, 2)
    places = np.c_[grid + rng.uniform(-2, 2, grid.shape), rng.uniform(-60, 60, len(grid))]
    beads = beads_in(*take_phantom([camera()], places))
    off = [nearest(beads, place)[1] for place in places]
    assert max(off) < 0.35 and np.median(off) < 0.1
    assert len(beads) <= len(places) + 4


@pytest.mark.parametrize("diameter_mm", [2.0, 10.0])
def test_find_beads_measures_position_and_radius(diameter_mm):
    place = np.array([[11.0, -7.0, 20.0]])
    bead, off = nearest(beads_in(draw_beads(camera(), place, ball_mm=diameter_mm)), place[0])
    assert off < 0.15
    radius = diameter_mm / 2 * FOCAL / camera().depth(place[0])
    assert bead.radius_px == pytest.approx(radius, rel=0.12, abs=0.5)


@pytest.mark.slow
def test_standard_deviation_of_beads_is_that_of_their_errors():
    grid = np.stack(np.meshgrid((-30, -18, -6, 6, 18, 30), (-24, -8, 8, 24)), axis=-1)
    places = np.c_[grid.reshape(-1, 2) + [0.13, 0.31], np.full(24, 10.0)]
    beads = beads_in(draw_beads(camera(), places))
    found = [nearest(beads, place) for place in places]
    ratio = np.median([off / bead.sd_px for bead, off in found])
    assert 0.4 < ratio / 1.177 < 1.8  # 1.177 is the median of a Rayleigh distribution


def test_find_beads_separates_overlapping_beads():
    places = np.array([(-3.4, 5.0, 0.0), (-0.2, 5.6, 30.0)])  # their images overlap by a quarter
    beads = beads_in(draw_beads(camera(), places, ball_mm=4.0))
    for place in places:
        assert nearest(beads, place)[1] < 1.2


def test_find_beads_finds_holes():
    v, u = np.mgrid[:200, :200]
    centres = [(40.3, 60.7), (120.9, 71.2), (88.4, 150.5)]
    depth = np.full((200, 200), 0.8)
    for column, row in centres:
        distance = np.hypot(u - column, v - row).ravel()
        depth -= 0.5 * stopped_by_ball(distance, 8.0, 1.2, 0.1).reshape(200, 200)
    depth += np.random.default_rng(0).normal(0, 0.01, depth.shape)
    found = find_beads(depth, radius_px=(3, 15), holes=True)
    places = np.array([bead.pixel for bead in found[:3]])
    for centre in centres:
        assert np.linalg.norm(places - centre, axis=1).min() < 0.1
    assert all(bead.stopped < 0 for bead in found)


def test_find_beads_returns_none_for_noise():
    image = np.random.default_rng(0).normal(1.0, 0.02, (200, 200))
    assert find_beads(image) == []
    assert find_beads(image, np.zeros(image.shape, bool)) == []


@pytest.mark.parametrize("blur", [0.5, 6.0])
def test_stopped_by_ball_is_its_blurred_chords(blur):
    from scipy.ndimage import gaussian_filter

    v, u = np.mgrid[-200:201, -200:201] / 8.0
    plain = np.expm1(-1.3 * np.sqrt(np.clip(1 - (u**2 + v**2) / 10.0**2, 0, None))) / np.expm1(-1.3)
    blurred = gaussian_filter(plain, 8 * blur, truncate=6)
    row = stopped_by_ball(np.abs(u[200]), 10.0, blur, 1.3)
    middle = np.abs(u[200]) < 14
    assert_allclose(row[middle], blurred[200][middle], atol=0.012)
