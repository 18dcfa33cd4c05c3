"""Outlines against what they must be.

Hulls of convex bodies, the circle in which a cone touches a sphere.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from MultiViewRegistrationLib.geometry.silhouette import Surface

SOURCE = np.array([20.0, -700.0, 90.0])


def convex_body(points):
    """Points and triangles of a hull, all the same way round."""
    hull = ConvexHull(points)
    triangles = hull.simplices.copy()
    corners = points[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    return points, triangles


def sphere(count=4000, radius=40.0, centre=(0.0, 0.0, 0.0)):
    """A sphere of about 2 count triangles, by a spiral of points."""
    n = np.arange(count) + 0.5
    z, turn = 1 - 2 * n / count, np.pi * (1 + 5**0.5) * n
    ring = np.sqrt(1 - z**2)
    return convex_body(radius * np.stack([ring * np.cos(turn), ring * np.sin(turn), z], 1) + centre)


def seen_flat(points, source=SOURCE):
    """Perspective onto a plane behind the origin, (..., 2)."""
    beam = -source / np.linalg.norm(source)
    x = np.cross(beam, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    rays = points - source
    return 1000 * np.stack([rays @ x, rays @ np.cross(beam, x)], -1) / (rays @ beam)[..., None]


def test_a_source_that_moves_along_sees_where_its_level_rays_touch():
    """Those of a slot scan: none of them climbs, wherever its source began."""
    centre, scan = np.array([5.0, 0, 10]), np.array([0, 0, 1.0])
    outline = Surface(*sphere(centre=centre)).outline(SOURCE, scan).reshape(-1, 3)
    rays, outwards = (outline - SOURCE) * (1 - scan), (outline - centre) / 40
    assert np.abs((rays * outwards).sum(axis=1) / np.linalg.norm(rays, axis=1)).max() < 0.06
    assert np.ptp(outline[:, 2]) > 78


@given(st.integers(0, 10**6), st.integers(8, 60))
@settings(max_examples=40, deadline=None)
def test_a_convex_body_has_the_outline_of_its_hull(seed, count):
    points, triangles = convex_body(
        np.random.default_rng(seed).normal(size=(count, 3)) * [50, 20, 30]
    )
    outline = seen_flat(Surface(points, triangles).outline(SOURCE))
    flat = seen_flat(points)
    hull = flat[ConvexHull(flat).vertices]
    corners = np.unique(outline.reshape(-1, 2).round(9), axis=0)
    assert len(outline) == len(hull)
    assert np.allclose(corners, np.unique(hull.round(9), axis=0))


def test_a_fold_inwards_is_no_outline():
    """Two roofs side by side, seen from the front.

    The valley between them shows in no X-ray, the ridges do.
    """
    profile = np.array([[0, 0], [30, 0], [60, 0], [45, 30], [30, 10], [15, 30]], float)
    front, back = [
        np.column_stack([profile[:, 0], np.full(6, y), profile[:, 1]]) for y in (0.0, 50.0)
    ]
    walls = [[(i, (i + 1) % 6, 6 + i), ((i + 1) % 6, 6 + (i + 1) % 6, 6 + i)] for i in range(6)]
    cap = np.array([(0, 1, 5), (1, 4, 5), (1, 2, 3), (1, 3, 4)])
    triangles = np.concatenate([np.reshape(walls, (-1, 3)), cap[:, ::-1], cap + 6])
    surface = Surface(np.concatenate([front, back]), triangles)
    along = surface.outline(
        np.array([-300.0, 25.0, 20.0])
    )  # square to the ridges: a face of each roof is lit from there, a face not
    along = along[np.ptp(along[:, :, 1], axis=1) > 49]
    assert {tuple(line[0, [0, 2]]) for line in along} == {(0.0, 0.0), (15.0, 30.0), (45.0, 30.0)}
