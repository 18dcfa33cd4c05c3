"""Pictures of a bright disc, of which everything is known.

Those of the report, and live ones under a moving DRR.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import TRUE_POSE, c_arm, make_ct, make_views
from numpy.testing import assert_allclose
from scipy import ndimage

from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report import overlays as pictures
from MultiViewRegistrationLib.report.overlays import DRRs, film_of, live_layer, live_picture

SIZE = 256
ROWS, COLUMNS = np.indices((SIZE, SIZE))
CENTRE, RADIUS = (136, 120), 64


def texture(shift=0):
    """Smooth random bone, about 1 +- 0.2, everywhere."""
    smooth = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(size=(SIZE, SIZE)), 8, mode="wrap"
    )
    return (1 + 0.2 * np.roll(smooth / smooth.std(), shift, 0)).astype(np.float32)


def disc(radius=RADIUS, centre=CENTRE):
    return np.hypot(ROWS - centre[0], COLUMNS - centre[1]) < radius


def at(drr):
    """Of a structure."""
    return DRRs(drr.astype(np.float32), drr.astype(np.float32), structure=True)


def xray_of(image, valid=None):
    """Another gain and offset than the DRR's, as real images have."""
    return XRay(
        (0.7 * image + 2).astype(np.float32), np.ones_like(image, bool) if valid is None else valid
    )


def orange(image):
    return image[..., 0].astype(int) - image[..., 2] > 40


def blue(image):
    return image[..., 2].astype(int) - image[..., 0] > 40


@pytest.fixture
def report(monkeypatch):
    """A function: the report's pictures of an X-ray and a DRR, as large as they are."""
    monkeypatch.setattr(pictures, "MIN_LONGEST_SIDE", 1)
    return lambda xray, drr: pictures.overlays(xray, [at(drr)])[0]


def test_a_ct_behind_the_source_is_an_empty_picture():
    ct = make_ct()
    camera = make_views(ct, size=32)[0].camera
    behind = TRUE_POSE.copy()
    behind[:3, 3] += 2 * (camera.source - behind[:3, 3])
    drawn = DRRs.of(PreparedCT(ct), camera, behind).whole
    assert drawn.shape == (32, 32) and not np.nan_to_num(drawn).any()


def draw(kind, drr, over=None, *, structure=False):
    over = film_of(xray_of(texture())) if over is None else over
    return live_picture(kind, over, drr.astype(np.float32), structure=structure).astype(int)


def test_an_outline_is_drawn_thin_and_where_it_is():
    """The part shown is the disc with two thirds of its radius around it, enlarged, at start and result the same."""
    moved = disc(centre=(146, 126))
    pair = pictures.overlays(xray_of(texture()), [at(1.0 * disc()), at(1.0 * moved)])
    drawn, there = (orange(each["edges"]) for each in pair)
    assert drawn.shape == there.shape and max(drawn.shape) == pictures.MIN_LONGEST_SIDE
    zoom = pictures.MIN_LONGEST_SIDE / (2 * RADIUS + 10 + 2 * ((2 * RADIUS + 9) // 3))
    place, other = np.argwhere(drawn), np.argwhere(there)
    middle, shifted = ((each.min(axis=0) + each.max(axis=0)) / 2 for each in (place, other))
    assert_allclose((shifted - middle) / zoom, (10, 6), atol=1)
    distance = np.hypot(*(place - middle).T) / zoom
    assert np.abs(distance - RADIUS).max() < 3 and drawn.sum() < 8 * np.pi * RADIUS * zoom


def test_the_checkerboard_of_the_right_pose_is_seamless_and_of_a_wrong_one_is_not(report):
    image, tile = texture(), SIZE // pictures.TILES
    right, wrong = (
        report(xray_of(image), 3 * drr)["checkerboard"].astype(int) for drr in (image, texture(20))
    )
    steps = [
        np.abs(each[:, tile::tile, 0] - each[:, tile - 1 : -1 : tile, 0]).mean()
        for each in (right, wrong)
    ]
    assert steps[0] < 8 and steps[1] > 20


@pytest.mark.parametrize("kind", ["difference", "colours"])
def test_it_is_grey_at_the_right_pose_and_else_tells_which_is_brighter(kind):
    image = texture()
    right = draw(kind, 3 * image)
    assert np.ptp(right, axis=2).mean() < 8 and (orange(right) | blue(right)).mean() < 1e-3
    # A spot that only the X-ray has, and one that only the DRR has.
    spot, other = disc(10, (70, 70)), disc(10, (190, 190))
    shown = draw(kind, image + 0.5 * other, film_of(xray_of(image + 0.5 * spot)))
    assert orange(shown)[spot].mean() > 0.5 and blue(shown)[other].mean() > 0.5


def test_what_cannot_be_used_is_shown_dimmed_and_uncoloured(report):
    wire, field = np.abs(ROWS - COLUMNS) < 4, disc(150, (128, 128))
    shown = report(xray_of(texture() + 3 * wire, field & ~wire), texture())
    unused = ndimage.binary_erosion(~field | wire, iterations=2)
    assert not (orange(shown["difference"]) | blue(shown["difference"]))[unused].any()
    assert 40 < shown["edges"][unused & field & ~orange(shown["edges"])].mean() < 120
    assert shown["edges"][unused & ~field].max() == 0


@pytest.mark.quick_variants("nan")
@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_images_that_show_nothing_make_pictures_all_the_same(value):
    blank, empty = np.full((60, 90), value, np.float32), np.zeros((60, 90), np.float32)
    for usable in (True, False):
        (shown,) = pictures.overlays(XRay(empty, np.full((60, 90), usable)), [at(blank)])
        assert {picture.shape[:2] for picture in shown.values()} == {(341, 512)}
    for kind in ("checkerboard", "edges", "colours", "difference"):
        shown = draw(kind, np.full((SIZE, SIZE), value), film_of(xray_of(texture(), disc(100))))
        assert shown.shape == (SIZE, SIZE, 3) and shown[~disc(104)].max() == 0  # beyond the field


@pytest.mark.parametrize("kind", ["edges", "difference"])
def test_a_layer_over_the_x_ray_is_the_picture(kind):
    over = film_of(xray_of(texture() + 0.5 * disc(10, (70, 70)), disc(100)))
    drr = np.where(disc(110), 2 * texture(3) + disc(40), np.nan).astype(np.float32)
    rgba = live_layer(kind, over, drr, structure=False).astype(float)
    alpha, grey = rgba[..., 3:] / 255, 235 * over.grey[..., None]
    flattened = alpha * rgba[..., :3] + (1 - alpha) * grey
    assert np.abs(flattened - draw(kind, drr, over))[over.valid].max() <= 2
    assert rgba[..., 3].max() == 255 and (rgba[..., 3] == 0).any() == (kind == "edges")


def test_pixels_that_are_not_square_are_shown_in_proportion():
    """As those of a CT's scout: a disc stays round, and marks stay where they are."""
    row, column = np.indices((100, 160))
    ring = np.hypot(row - 49.5, (column - 79.5) / 2) < 30
    xray = XRay(ring.astype(np.float32), np.ones(ring.shape, bool), (0.5, 1.0))
    (shown,) = pictures.overlays(xray, [at(np.where(ring, 2.0, 0))], longest_side=320)
    rows, columns = np.nonzero(orange(shown["edges"]))
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.03)
    marked = pictures.tile_map(xray, [(40, 120, 20, 4.0)])
    found = np.argwhere(orange(marked))
    assert marked.shape == (200, 160, 3) and found.min(axis=0) == pytest.approx([80, 120], abs=1)
    assert found.max(axis=0) == pytest.approx([119, 139], abs=1)


#: mm: the bone's radius, its wall, and the voxels.
BONE_MM, WALL, VOXEL = 9.0, 3.0, 0.5
#: Angles of the C-arm: square to the bone, and so oblique that the cut faces the beam.
ANGLES = [(60, 20), (0, 50)]


@pytest.fixture(scope="module")
def bone():
    """A hollow rod in water, 60 x 60 x 70 mm, round at +k and cut off at -k.

    Its mask is the rod.
    """
    k, j, i = (np.indices((140, 120, 120)).T - [0, 59.5, 59.5]).T * VOXEL
    top = 50.0
    from_axis = np.hypot(np.hypot(i, j), np.maximum(k - top, 0))
    rod, marrow = from_axis < BONE_MM, from_axis < BONE_MM - WALL
    values = np.where(rod & ~marrow, 1200.0, np.where(np.hypot(i, j) < 27, 0.0, -1000.0))
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = [-29.75, -29.75, -35]
    return CT(
        Volume(ndimage.gaussian_filter(values, 0.5, mode="nearest").astype(np.float32), affine),
        mask=rod,
    )


def surface(camera, along_mm):
    """(n, 360, 2): pixels of the rod's surface at places along it, mm of the CT."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    ring = BONE_MM * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)
    return camera.project(ring + along_mm[:, None, None] * [0, 0, 1])


def near(lines, pixels):
    """Distance, in pixels, of pixels (..., 2) from the nearest line."""
    distance = ndimage.distance_transform_edt(~lines)
    return ndimage.map_coordinates(
        distance, np.moveaxis(pixels[..., ::-1], -1, 0), order=1, mode="nearest"
    )


@pytest.mark.quick_variants("structure-angles0", "body-angles0")
@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("structure", [True, False], ids=["structure", "body"])
def test_edges_run_along_a_bone_and_not_along_its_cut(bone, angles, structure):
    """Drawn as if the CT were the whole bone it has a line along the cut."""
    anatomy = PreparedCT(bone if structure else replace(bone, mask=None))
    camera, pose = c_arm(*angles, pixel_mm=(0.6, 0.6), size=(SIZE, SIZE)), np.eye(4)
    drr = anatomy.drr(camera, pose, bones=True)
    film = film_of(XRay(np.nan_to_num(drr), np.ones(drr.shape, bool)))

    def lines(image):
        return live_layer("edges", film, image, structure=structure)[..., 3] > 100

    cut = surface(camera, np.array([-35.25]))[0]
    naive = anatomy.projector(1, bones=True).render(camera, pose).image
    assert near(lines(naive), cut).min() < 2 < near(lines(drr), cut).min()
    # Its silhouette: of each ring the points farthest to both sides of the rod's axis as it is
    # seen.
    shaft = surface(camera, np.linspace(-28, 10, 39))
    upper, lower = camera.project(np.array([[0, 0, 20.0], [0, 0, -20.0]]))
    across = shaft @ np.array([[0, 1], [-1, 0]]) @ (upper - lower)
    ends = np.stack([across.argmin(1), across.argmax(1)], 1)
    sides = np.take_along_axis(shaft, ends[..., None], axis=1)
    assert (near(lines(drr), sides) < 3).mean() > 0.9, "no line along the shaft"


def test_dots_stand_where_bone_was_tested_at_the_last_pose_alone():
    tested = np.array([[CENTRE[1] + 20.0, CENTRE[0] - 10.0]])
    ahead, there = pictures.overlays(
        xray_of(texture()), [at(1.0 * disc()), at(1.0 * disc())], SIZE, tested
    )
    dot = np.argwhere(blue(there["outlines"]) & (there["outlines"][..., 3] == 255))
    middle = np.array(there["outlines"].shape[:2]) / 2  # of the disc
    assert_allclose(dot.mean(axis=0) - middle, np.array([-10, 20]) * SIZE / 218, atol=1.5)
    assert not blue(ahead["outlines"]).any()
