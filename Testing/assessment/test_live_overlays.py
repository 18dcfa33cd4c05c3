"""Pictures of a whole X-ray under a moving DRR; the kinds that the report has, too, are tested in test_overlays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.report.overlays import film_of, live_layer, live_picture

SIZE = 256
ROWS, COLUMNS = np.indices((SIZE, SIZE))


def texture(shift: int = 0) -> np.ndarray:
    """Smooth random bone, about 1 +- 0.2."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(SIZE, SIZE)), 8, mode="wrap")
    return (1 + 0.2 * np.roll(smooth / smooth.std(), shift, 0)).astype(np.float32)


def disc(radius: float, centre=(128, 128)) -> np.ndarray:
    return np.hypot(ROWS - centre[0], COLUMNS - centre[1]) < radius


def film(image: np.ndarray | None = None, valid=None):
    image = texture() if image is None else image
    return film_of(XRay((0.7 * image + 2).astype(np.float32), np.ones(image.shape, bool) if valid is None else valid))


def draw(kind: str, drr: np.ndarray, over=None, *, structure: bool = False) -> np.ndarray:
    return live_picture(kind, film() if over is None else over, drr.astype(np.float32), structure=structure).astype(int)


def orange(image: np.ndarray) -> np.ndarray:
    return image[..., 0] - image[..., 2] > 40


def blue(image: np.ndarray) -> np.ndarray:
    return image[..., 2] - image[..., 0] > 40


def test_two_colours_are_grey_where_both_agree():
    right = draw("colours", 3 * texture())
    assert np.ptp(right, axis=2).max() <= 20  # of 255: at the image's edge
    assert np.ptp(right, axis=2).mean() < 3
    assert right.std() > 20
    wrong = draw("colours", 3 * texture(20))
    assert orange(wrong).mean() > 0.05
    assert blue(wrong).mean() > 0.05


def test_what_only_the_x_ray_shows_is_orange_and_what_only_the_drr_shows_is_blue():
    spot, other = disc(10, (70, 70)), disc(10, (190, 190))
    for kind in ("colours", "difference"):
        shown = draw(kind, texture() + 0.5 * other, film(texture() + 0.5 * spot))
        assert orange(shown)[spot].mean() > 0.5
        assert blue(shown)[other].mean() > 0.5


@pytest.mark.parametrize("kind", ["checkerboard", "edges"])
def test_the_x_ray_looks_the_same_at_every_pose(kind):
    over = film()
    one, other = draw(kind, 3 * texture(), over), draw(kind, disc(30) * 5.0, over)
    quiet = ~orange(one) & ~orange(other)
    if kind == "checkerboard":
        tile = SIZE // 8
        quiet &= (ROWS // tile + COLUMNS // tile) % 2 == 0
    away = ndimage.binary_erosion(quiet, iterations=2)
    assert away.mean() > 0.2
    assert np.array_equal(one[away], other[away])


def test_edges_are_those_of_bone_and_not_where_the_ct_ends():
    bone = np.where(disc(60), 1 + 0.5 * disc(30), 0)
    bone[:100] = np.nan
    lines = orange(draw("edges", bone))
    assert not lines[:103].any()
    distance = np.hypot(*(np.argwhere(lines) - 128).T)
    near = np.minimum(np.abs(distance - 60), np.abs(distance - 30))
    assert (near < 3).mean() > 0.95
    assert (np.abs(distance - 30) < 3).sum() > 60


def test_a_structure_has_an_outline():
    lines = orange(draw("edges", 1.0 * disc(60), structure=True))
    distance = np.hypot(*(np.argwhere(lines) - 128).T)
    assert len(distance) > 2 * np.pi * 55
    assert np.abs(distance - 60).max() < 3


def test_a_structure_has_none_where_the_ct_ends():
    structure = 1.0 * disc(60)
    structure[:128] = np.nan
    lines = orange(draw("edges", structure, structure=True))
    assert not lines[:131].any()
    assert lines[135:].sum() > 150


@pytest.mark.parametrize("kind", ["checkerboard", "edges", "colours", "difference"])
@pytest.mark.parametrize("value", [0.0, np.nan, 1.0])
def test_a_drr_that_shows_nothing_is_drawn_all_the_same(kind, value):
    shown = draw(kind, np.full((SIZE, SIZE), value), film(valid=disc(100)))
    assert shown.shape == (SIZE, SIZE, 3)
    assert shown[~disc(104)].max() == 0  # beyond the field


@pytest.mark.parametrize("kind", ["edges", "colours", "difference"])
@pytest.mark.parametrize("field", [500, 100])
def test_a_layer_over_the_x_ray_is_the_picture(kind, field):
    over = film(texture() + 0.5 * disc(10, (70, 70)), disc(field))
    drr = np.where(disc(110), 2 * texture(3) + disc(40), np.nan).astype(np.float32)
    rgba = live_layer(kind, over, drr, structure=False).astype(float)
    alpha, grey = rgba[..., 3:] / 255, 235 * over.grey[..., None]
    flattened = alpha * rgba[..., :3] + (1 - alpha) * grey
    shown = draw(kind, drr, over)
    assert np.abs(flattened - shown)[over.valid].max() <= 2
    assert rgba[..., 3].max() == 255
    assert (rgba[..., 3] == 0).any() == (kind == "edges")
