"""The map of where an X-ray agrees: orange lies on what is not in the CT, also where only a part of the image is compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from phantom import TRUE_POSE

from MultiViewRegistrationLib.assessment.features import compute_features
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.registration.pipeline import Refinement
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.overlays import mask_excluding_outliers, tile_map


def with_tool(view, column: int, row: int):
    """The view with a rod of metal about a pixel, 16 pixels long."""
    image = view.xray.line_integrals.copy()
    image[row - 8 : row + 8, column - 3 : column + 3] += 2.0
    image[row - 2 : row + 2, column - 8 : column + 8] += 2.0
    return replace(view, xray=XRay(image, view.xray.valid))


def orange(anatomy, views, view: int) -> np.ndarray:
    """(rows, columns) bool on the X-ray's pixels: what the map of a view marks."""
    found = Refinement(TRUE_POSE, None, [], views, np.zeros(6))
    features = compute_features(anatomy, views, found, TRUE_POSE, anatomy.bone_points(100))
    picture = tile_map(views[view].xray, features.tiles(view)).astype(int)
    assert picture.shape == (*views[view].xray.valid.shape, 3)
    return picture[..., 0] - picture[..., 2] > 40


def test_a_tool_is_marked_and_nothing_else(anatomy, views):
    assert not orange(anatomy, views, 1).any()
    marked = orange(anatomy, [views[0], with_tool(views[1], 56, 72)], 1)
    assert marked[72, 56]
    rows, columns = np.nonzero(marked)
    assert np.abs(rows - 72).max() < 32 and np.abs(columns - 56).max() < 32


def test_a_suggested_mask_leaves_the_tool_out_and_little_else(anatomy, views):
    spoilt = [views[0], with_tool(views[1], 56, 72)]
    told = compute_features(
        anatomy, spoilt, Refinement(TRUE_POSE, None, [], spoilt, np.zeros(6)), TRUE_POSE, anatomy.bone_points(100)
    )
    kept = mask_excluding_outliers(spoilt[1].xray, told.tiles(1))
    assert kept.shape == spoilt[1].xray.valid.shape and not kept[66:78, 52:60].any()
    assert kept.mean() > 0.9
    assert mask_excluding_outliers(spoilt[0].xray, told.tiles(0)).all()


def test_of_a_structure_the_map_lies_where_it_is(ct, views):
    """A corner of the body, off the middle of the images, of which only the surroundings are compared."""
    k, j, i = np.indices(ct.volume.values.shape)
    structure = PreparedCT(replace(ct, mask=(k > 26) & (j > 22) & (i > 22) & (ct.volume.values > 300)))
    centre = views[0].camera.project(rigid.transform_points(TRUE_POSE, structure.centroid)).round().astype(int)
    spoilt = [with_tool(views[0], *centre), views[1]]
    found = Refinement(TRUE_POSE, None, [], spoilt, np.zeros(6))
    told = compute_features(structure, spoilt, found, TRUE_POSE, structure.bone_points(100))
    assert max(told.corners[0]) > 0
    marked = orange(structure, spoilt, 0)
    assert marked[centre[1] - 12 : centre[1] + 12, centre[0] - 12 : centre[0] + 12].mean() > 0.4
    assert not marked[:, :8].any() and not marked[:8].any()
