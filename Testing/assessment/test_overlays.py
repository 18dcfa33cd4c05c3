"""Pictures of a bright disc, of which everything is known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.report import overlays as pictures

SIZE = 640
ROWS, COLUMNS = np.indices((SIZE, SIZE))
CENTRE = (340, 300)
RADIUS = 160


def texture(shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """Smooth random bone, about 1 +- 0.2, everywhere."""
    noise = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    smooth = ndimage.gaussian_filter(noise, 12, mode="wrap")
    return (1 + 0.2 * np.roll(smooth / smooth.std(), shift, (0, 1))).astype(np.float32)


def disc(centre=CENTRE, radius=RADIUS) -> np.ndarray:
    return np.hypot(ROWS - centre[0], COLUMNS - centre[1]) < radius


def xray_of(image: np.ndarray, valid: np.ndarray | None = None) -> XRay:
    """Another gain and offset than the DRR's, as real images have."""
    return XRay((0.7 * image + 2).astype(np.float32), np.ones_like(image, bool) if valid is None else valid)


def is_orange(image: np.ndarray) -> np.ndarray:
    return image[..., 0].astype(int) - image[..., 2] > 40


def is_blue(image: np.ndarray) -> np.ndarray:
    return image[..., 2].astype(int) - image[..., 0] > 40


def one(xray: XRay, drr: np.ndarray) -> dict[str, np.ndarray]:
    return pictures.overlays(xray, [drr])[0]


def test_outline_is_drawn_thin_and_where_it_is():
    drr = np.where(disc(), 1, 0).astype(np.float32)
    drawn = is_orange(one(xray_of(texture()), drr)["edges"])
    # The part shown is the disc with two thirds of its radius around it, enlarged.
    zoom = max(drawn.shape) / (2 * RADIUS + 2 * (2 * RADIUS // 3))
    middle = (np.array(drawn.shape) - 1) / 2
    distance = np.hypot(*(np.indices(drawn.shape) - middle[:, None, None])) / zoom
    assert drawn.any()
    assert np.abs(distance[drawn] - RADIUS).max() < 3
    angles = np.degrees(np.arctan2(*(np.argwhere(drawn) - middle).T))
    assert np.histogram(angles, 90, (-180, 180))[0].min() > 0, "all around"
    assert drawn.sum() < 4 * 2 * np.pi * RADIUS, "thin"


def test_inner_edges_are_drawn():
    drr = texture() * 0 + 1 + 0.5 * disc()
    drawn = is_orange(one(xray_of(texture()), drr.astype(np.float32))["edges"])
    found = np.argwhere(drawn)
    distance = np.hypot(*(found - CENTRE).T)
    assert np.mean(np.abs(distance - RADIUS) < 3) > 0.95
    assert len(found) > 2 * np.pi * RADIUS


def test_checkerboard_of_the_right_pose_is_seamless_and_of_a_wrong_one_is_not():
    image = texture()
    xray = xray_of(image)
    reference = one(xray, np.zeros_like(image))["checkerboard"]  # tiles of X-ray and dimmed X-ray
    right = one(xray, image * 3)["checkerboard"].astype(int)
    wrong = one(xray, texture((30, 0)) * 3)["checkerboard"].astype(int)
    tile = SIZE // pictures.TILES
    xray_tiles = (ROWS // tile + COLUMNS // tile) % 2 == 0
    np.testing.assert_array_equal(right[xray_tiles], reference[xray_tiles])

    def steps(picture: np.ndarray) -> float:
        return np.abs(picture[:, tile::tile, 0] - picture[:, tile - 1 : -1 : tile, 0]).mean()

    assert steps(right) < 4
    assert steps(wrong) > 20


def test_difference_is_dark_at_the_right_pose_and_tells_which_is_brighter():
    image = texture()
    right = one(xray_of(image), image * 3)["difference"]
    assert (is_orange(right) | is_blue(right)).mean() < 1e-4
    # A spot that only the X-ray has, and one that only the DRR has.
    spot, other = disc((160, 160), 16), disc((480, 480), 16)
    shown = one(xray_of(image + spot), image + other)["difference"]
    assert is_orange(shown)[spot].mean() > 0.9
    assert is_blue(shown)[other].mean() > 0.9


def test_what_cannot_be_used_is_shown_dimmed_and_uncoloured():
    wire = np.abs(ROWS - COLUMNS) < 6
    field = disc((320, 320), 380)
    image = texture() + 3 * wire
    shown = one(xray_of(image, field & ~wire), texture())
    unused = ndimage.binary_erosion(~field | wire, iterations=2)
    assert not (is_orange(shown["difference"]) | is_blue(shown["difference"]))[unused].any()
    assert 40 < shown["edges"][unused & field & ~is_orange(shown["edges"])].mean() < 120
    assert shown["edges"][unused & ~field].max() == 0


def test_a_bone_is_shown_large_with_the_same_part_of_the_image_at_start_and_result():
    first, second = disc((300, 300), 60), disc((330, 320), 60)
    start, result = pictures.overlays(xray_of(texture()), [texture() * first, texture() * second])
    assert start["edges"].shape == result["edges"].shape
    assert max(start["edges"].shape) == pictures.SHORTEST_SIDE
    zoom = pictures.SHORTEST_SIDE / (150 + 2 * 50)
    moved = [np.argwhere(is_orange(p["edges"])).mean(axis=0) / zoom for p in (start, result)]
    np.testing.assert_allclose(moved[1] - moved[0], (30, 20), atol=4)


def test_large_images_come_down_to_the_longest_side():
    large = np.ones((1760, 1760), np.float32)
    shown = pictures.overlays(XRay(large, large > 0), [large], longest_side=512)[0]
    assert {picture.shape for picture in shown.values()} == {(512, 512, 3)}
    assert {picture.dtype for picture in shown.values()} == {np.dtype(np.uint8)}


@pytest.mark.parametrize("value", [0.0, np.nan, 1.0])
@pytest.mark.parametrize("usable", [True, False])
def test_images_that_show_nothing_make_pictures_all_the_same(value, usable):
    blank = np.full((60, 90), value, np.float32)
    xray = XRay(np.zeros((60, 90), np.float32), np.full((60, 90), usable))
    for picture in one(xray, blank).values():
        assert picture.shape == (427, 640, 3)


def test_nan_says_nothing():
    image = texture()
    holes = np.where(disc(), np.nan, image)
    zeros = np.where(disc(), 0, image)
    a, b = one(xray_of(image), holes), one(xray_of(image), zeros)
    for kind in pictures.LEGENDS:
        np.testing.assert_array_equal(a[kind], b[kind])


def test_png_files_decode_to_the_pictures():
    xray, drr = xray_of(texture()), texture((9, 0))
    expected = pictures.overlays(xray, [drr, texture()])
    files = pictures.picture_files(xray, [drr, texture()])
    assert list(files) == ["edges", "checkerboard", "difference"]
    for kind, pair in files.items():
        for file, picture in zip(pair, expected, strict=True):
            decoded = Image.open(io.BytesIO(file))
            assert decoded.format == "PNG"
            np.testing.assert_array_equal(np.asarray(decoded.convert("RGB")), picture[kind])


def test_real_radiograph(shared_data):
    """A real round field, 1760 x 1760: the picture shows the wrist, not the blades."""
    raw = np.asarray(Image.open(shared_data / "wrist" / "camera1_0099.png"), np.float32)
    xray = XRay(-np.log((raw + 0.5) / raw.max()), raw > 8)
    bone = np.zeros_like(raw)
    bone[1200:1500, 800:1000] = 1
    shown = one(xray, bone)["edges"]
    grey = shown[~is_orange(shown)][:, 0]
    assert max(shown.shape) == pictures.SHORTEST_SIDE
    assert grey.std() > 30, "contrast"
