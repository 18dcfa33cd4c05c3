"""A CT made ready: its pyramid, and its bone alone."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers.phantom import CORNERS, TRUE_POSE, cut_tube, make_views, slab
from numpy.testing import assert_allclose, assert_array_equal

from MultiViewRegistrationLib.imaging.ct import BONE_PER_MM, CT, Volume, attenuation
from MultiViewRegistrationLib.registration import prepared_ct
from MultiViewRegistrationLib.registration.prepared_ct import (
    BODY,
    SCORING,
    STRUCTURE,
    PreparedCT,
    resolution_schedule,
)


@pytest.fixture(scope="module")
def camera(ct):
    return make_views(ct, size=64)[0].camera


def test_bones_are_what_attenuates_more_than_soft_tissue(ct, anatomy, camera):
    """The integral of the image over its rays is about that of the voxels."""
    bone = anatomy.projector(0, bones=True).render(camera, TRUE_POSE).image
    water = CT(Volume(np.minimum(ct.volume.values, 199.0), ct.volume.ct_from_index))
    assert PreparedCT(water).projector(0, bones=True).render(camera, TRUE_POSE).image.max() == 0
    assert (bone <= anatomy.projector(0).render(camera, TRUE_POSE).image + 1e-6).all()
    voxels = np.maximum(attenuation(ct).values - BONE_PER_MM, 0).sum() * 8
    assert bone.sum() * (160 / 64 * 0.7) ** 2 == pytest.approx(voxels, rel=0.1)


def test_rays_through_a_cut_end_are_nan_in_a_drr(camera):
    anatomy = PreparedCT(cut_tube())
    drr, finest = anatomy.drr(camera, np.eye(4)), anatomy.projector(0)
    seen = finest.seen(camera, np.eye(4)) > 0
    assert np.array_equal(np.isnan(drr), ~seen)
    assert 0.02 < np.isnan(drr).mean() < 0.9
    assert np.array_equal(drr[seen], finest.render(camera, np.eye(4)).image[seen])


@pytest.mark.parametrize("tilt_deg", [0, 10])
def test_a_cut_end_is_the_bodys_where_x_rays_show_air_beyond_it(ct, tilt_deg):
    part = slab(ct, slice(16, 40))
    cut = PreparedCT(part)
    angles = ((0, tilt_deg), (90, -tilt_deg))
    going_on = cut.ending_in_air(make_views(ct, angles), TRUE_POSE)
    assert going_on is cut and not cut.ends_in_air
    views = make_views(part, angles)
    ending = cut.ending_in_air(views, TRUE_POSE)
    for view in views:
        assert not cut.projector(0).seen(view.camera, TRUE_POSE).all()
        assert ending.projector(0).seen(view.camera, TRUE_POSE).all()
    assert ending.ends_in_air and ending.ending_in_air(views, TRUE_POSE) is ending


def test_the_coarsest_voxels_that_are_small_enough_are_taken(anatomy):
    """Of 2, 4, 8, 16, 32 mm."""
    assert [anatomy.level(mm) for mm in (1.0, 2.0, 3.9, 4.0, 15.9, 100.0)] == [0, 0, 0, 1, 2, 4]


def test_the_corners_are_those_of_the_box(ct, anatomy):
    """Of 96 mm about the origin, to half a voxel of the second level."""
    corners = anatomy.corners()
    assert_allclose(np.sort(np.unique(corners.round(6))), [-47, 47], atol=3)
    assert len(corners) == 8 and (np.ptp(corners, axis=0) > 85).all()


def test_a_structure_is_turned_about_its_own_centre_also_with_its_ct(ct, anatomy):
    mask = (np.indices(ct.volume.values.shape)[0] > 30) & (ct.volume.values > 300)
    structure = PreparedCT(replace(ct, mask=mask))
    assert_array_equal(structure.full_ct.centroid, structure.centroid)
    assert np.linalg.norm(structure.centroid - anatomy.centroid) > 5
    views = make_views(ct, size=64)
    kinds = {structure: STRUCTURE, anatomy: BODY}
    for each, compared in kinds.items():
        levels = each.levels(views, TRUE_POSE)
        assert [level.settings for level in levels] == [settings for settings, _, _ in compared]
    first = levels[0]
    coarser = {"pool": 2 * first.pool, "volume": first.volume + 1, "settings": SCORING}
    assert anatomy.scoring_level(first) == replace(first, **coarser)
    assert structure.scoring_level(first) is first


@pytest.mark.parametrize("extent_mm, columns", [(96.0, 128), (300.0, 128), (96.0, 512)])
def test_the_coarsest_image_has_32_pixels_across_what_is_imaged_and_voxels_as_large_as_pixels(
    ct, extent_mm, columns
):
    """The field is 112 mm wide at the depth of the anatomy, less than a body of 300 mm."""
    views = make_views(ct, size=columns)
    levels = resolution_schedule(views, TRUE_POSE[:3, 3], extent_mm, 0.5, 8, BODY)
    pixel_mm = 112 / columns
    assert 32 / np.sqrt(2) < min(extent_mm, 112) / pixel_mm / levels[0].pool < 32 * np.sqrt(2)
    for before, level in pairwise(levels):
        assert before.pool == 2 * level.pool
    for level in levels:
        assert 1 / 1.5 < 0.5 * 2**level.volume / (level.pool * pixel_mm) < 1.6


def test_a_structure_is_compared_on_the_part_of_an_image_around_it(views):
    """A box of 20 mm: 14 pixels of 1.25 mm are 12.25 mm at its depth, and 8 columns and rows are pooled."""
    box, view = CORNERS / 3, views[0]
    whole = view.camera
    part = prepared_ct._cropped(view, box, 15.0, 4)
    first = np.rint(whole.principal_point - part.camera.principal_point).astype(int)
    last = first + part.camera.size
    assert (first % 4 == 0).all() and (last % 4 == 0).all() and (last - first < 80).all()
    around = box[:, None] + 14.5 * np.concatenate([np.eye(3), -np.eye(3)])
    pixels = whole.project(around.reshape(-1, 3))
    assert (pixels > first - 0.5).all() and (pixels < last - 0.5).all()
    shown = view.xray.line_integrals[first[1] : last[1], first[0] : last[0]]
    assert_array_equal(part.xray.line_integrals, shown)


@pytest.mark.parametrize("aside", [[0, 0, -2000.0], [900.0, 0, 0]])
def test_what_no_pixel_shows_crops_nothing(views, aside):
    """Behind the source, and beside the image."""
    box = CORNERS / 3 + np.array(aside) @ views[0].camera.camera_from_world[:3, :3]
    assert prepared_ct._cropped(views[0], box, 15.0, 4) is views[0]
