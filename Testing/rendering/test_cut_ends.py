"""A CT that was cut off: where the body goes on, and which rays show it."""

import numpy as np
import pytest
from scenes import random_scene

from MultiViewRegistrationLib import Camera, Volume
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.rendering.drr import Projector, cut_ends

MU = 0.02
ALONG_K = [False] * 4 + [True] * 2


def elliptic(shape, axis, radii, centre):
    """(nk, nj, ni): a cylinder along an index axis.

    Radii and centre of the two other axes, in voxels.
    """
    index = [i for a, i in enumerate(np.indices(shape)[::-1]) if a != axis]
    return MU * (sum(((i - c) / r) ** 2 for i, r, c in zip(index, radii, centre, strict=True)) < 1)


@pytest.mark.parametrize("axis", range(3))
def test_a_body_that_goes_on(axis):
    values = elliptic((60, 60, 60), axis, (20, 15), (29, 31))
    ends = np.arange(6) // 2 == axis
    assert cut_ends(Volume(values, np.eye(4))).tolist() == ends.tolist()
    values.swapaxes(0, 2 - axis)[-5:] = 0
    ends[1::2] = False
    assert cut_ends(Volume(values, np.eye(4))).tolist() == ends.tolist()


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_skin_that_touches_a_face_is_not_cut_off(spacing):
    """A body 80 mm thick that lies on the face +j, flattened by 2 mm."""
    size = round(100 / spacing)
    values = elliptic(
        (10, size, size), 2, (45 / spacing, 40 / spacing), (49 / spacing, size - 0.5 - 38 / spacing)
    )
    assert values[:, -1].any()
    assert cut_ends(Volume(values, np.diag([spacing, spacing, spacing, 1]))).tolist() == ALONG_K


def test_a_side_that_the_field_of_view_cut_off():
    """10 of 80 mm are missing, where it is 60 mm wide."""
    values = elliptic((10, 100, 100), 2, (45, 40), (49, 70))
    assert cut_ends(Volume(values, np.eye(4))).tolist() == [False, False, False, True, True, True]


def unseen_mm(scene, cut, step_mm=0.25):
    """(rows, columns): path through the repeated end slices, by small steps."""
    values, camera = scene.volume.values, scene.camera
    ct_from_world = np.linalg.inv(scene.world_from_ct @ scene.volume.ct_from_index)
    pixels = np.moveaxis(np.indices(camera.size), 0, -1).swapaxes(0, 1)
    directions = rigid.rotate(ct_from_world, camera.ray_directions(pixels))
    source = rigid.transform_points(ct_from_world, camera.source)
    last, total = np.array(values.shape[::-1]) - 1, np.zeros(pixels.shape[:2])
    for length in np.arange(150, 600, step_mm):  # the body is 250 to 450 mm away
        position = source + length * directions
        for side in np.flatnonzero(cut):
            axis, end = divmod(int(side), 2)
            beyond = position[..., axis] > last[axis] if end else position[..., axis] < 0
            nearest = np.rint(position).astype(int)
            nearest[..., axis] = last[axis] * end
            beyond &= ((nearest >= 0) & (nearest <= last)).all(axis=-1)
            i, j, k = nearest[beyond].T
            total[beyond] += step_mm * (values[k, j, i] > 0)
    return total


@pytest.mark.parametrize("axis, mirrored", [(0, False), (1, True), (2, False)])
def test_rays_through_tissue_beyond_a_cut_end_are_marked(axis, mirrored):
    """A cylinder seen from the side, tilted.

    A hole runs from one side of it to the other, so its end slices differ.
    """
    shape, along = [48, 42, 45], [1, 1, 1]
    shape[2 - axis] = 26  # so short that both ends are seen
    along[2 - axis] = -1
    across = np.linspace(-7, 7, shape[2 - axis]).reshape(along)
    hole = elliptic(shape, axis, (6, 5), (22 + across, 20 + 0.7 * across))
    values = elliptic(shape, axis, (17, 12), (22, 20)) - hole
    scene = random_scene(
        axis, leading=(axis + 1) % 3, mirrored=mirrored, left_handed=mirrored, values=values
    )
    projector = Projector(scene.volume)
    assert projector.cut.tolist() == [a == axis for a in range(3) for _ in range(2)]
    seen = projector.seen(scene.camera, scene.world_from_ct).astype(bool)
    expected = unseen_mm(scene, projector.cut)
    hits = projector.render(scene.camera, scene.world_from_ct).image > 0
    assert 0.04 < np.mean(~seen[hits]) < 0.9
    # The kernel looks every 2.4 mm and stops at the third hit; these bounds are for two pieces of
    # tissue with a gap.
    assert not seen[expected > 10].any() and seen[expected < 2].all()
    assert np.mean(seen == (expected < 6)) > 0.99


def test_tissue_behind_the_source_hides_no_ray():
    """The beam points along +i to the air end of the body (35 degrees), or to its cut end (-35 degrees)."""
    values = elliptic((60, 60, 60), 2, (20, 15), (29, 31))
    values[-5:] = 0
    projector = Projector(Volume(values, np.eye(4)))
    assert projector.cut.tolist() == [False] * 4 + [True, False]
    source = np.array([29.0, 31, 5])
    rotation = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])
    pose = rigid.from_rotation_translation(rotation, -rotation @ source)
    camera = Camera([[400, 0, 9.5], [0, 400, 9.5], [0, 0, 1]], pose, (20, 20))
    for degrees, hidden in ((35, 0), (-35, 400)):
        tilt = rigid.turn_and_shift([0, np.radians(degrees), 0], np.zeros(3))
        seen = projector.seen(camera, rigid.about(source, tilt))
        assert np.count_nonzero(seen == 0) == hidden
