"""A mask stays on what it was drawn on.

Collimator blades are not shown as the brightest bone of all.
"""

import numpy as np
import pytest
from helpers.refusals import refuses
from helpers.tiny_scene import READING, add_xray, c_arm, dot_image
from numpy.testing import assert_array_equal

from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.mrml.case import xray_of
from MultiViewRegistrationLib.mrml.image import (
    change_image,
    draw_mask,
    refresh,
    segmentation_node,
    set_mask,
)
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.session.geometry import give_geometry

SIZE = (96, 72)


USED = np.zeros((72, 96), bool)
USED[10:40, 20:70] = True
USED[12, 22] = False


@pytest.fixture
def view(scene):
    registration = Registration.create(scene)
    image = dot_image(SIZE, (40, 30), sigma=15)
    return add_xray(registration, "AP", c_arm(20, 10, size=SIZE), image)


def drawn(view, used=USED, volume=None):
    """A segmentation of `used`, drawn on a volume, the X-ray's picture by default."""
    volume = volume or view.node
    frames = volume.GetImageData().GetDimensions()[2]
    return segmentation_node(
        view.node.GetScene(), "mask", np.repeat(used[None], frames, 0), volume
    )[0]


def valid(view):
    return xray_of(view).valid


def test_a_mask_without_pixels_is_refused(view):
    good = drawn(view)
    set_mask(view, good)
    with refuses("^AP: the mask .* leaves nothing"):
        set_mask(view, drawn(view, np.zeros_like(USED)))
    assert view.mask is good


@pytest.mark.parametrize(
    "geometry",
    [
        {"mirrored": True},
        {"pixel_mm": [1.0, 3.0]},
        {"principal_point": [10, 60], "roll_deg": 33},
    ],
)
def test_it_goes_with_the_image(view, geometry):
    set_mask(view, drawn(view))
    give_geometry(view, CArm(**{**READING, **geometry, "size": SIZE}))
    assert_array_equal(valid(view), USED)
    give_geometry(view, CArm(**READING, size=SIZE))
    assert_array_equal(valid(view), USED)


@pytest.mark.parametrize(
    "on_source", [False, True], ids=["drawn on the picture", "drawn on the source volume"]
)
def test_it_goes_with_a_corrected_camera_and_a_flipped_image(view, on_source):
    view.source.SetOrigin(50, 60, 70)
    set_mask(view, drawn(view, volume=view.source if on_source else view.node))
    assert_array_equal(valid(view), USED)
    view.change(corrected=c_arm(24, 8, size=SIZE))
    view.place()
    assert_array_equal(valid(view), USED)
    change_image(view, flipped=True)
    assert_array_equal(valid(view), USED[:, ::-1])
    change_image(view, flipped=False)
    assert_array_equal(valid(view), USED)


def test_a_new_one_covers_what_is_used_and_goes_with_its_view(view):
    scene = view.node.GetScene()
    set_mask(view, drawn(view))
    node, segment = draw_mask(view)
    assert view.mask is node and node.GetSegmentation().GetSegment(segment) is not None
    assert_array_equal(valid(view), USED)
    node_id = node.GetID()
    Registration.all(scene)[0].remove_xray(view)
    assert scene.GetNodeByID(node_id) is None


ROWS, COLUMNS = np.indices((160, 200))


FIELD = np.hypot(ROWS - 80, COLUMNS - 100) < 75


def body(blades=9.0, metal=None):
    """Line integrals of 0.5 to 3 in a round field."""
    image = np.where(FIELD, 1.75 + 1.25 * np.sin(COLUMNS / 15) * np.cos(ROWS / 11), blades)
    if metal is not None:
        image[60:64, 60:70] = metal
    return image + 0.01 * np.random.default_rng(0).normal(size=image.shape)


def shown(scene, image):
    """Which pixels are not transparent, and the display node."""
    registration = Registration.create(scene)
    view = add_xray(registration, "AP", c_arm(size=(200, 160)), image.astype(np.float32))
    refresh(view)
    display = view.node.GetDisplayNode()
    if not display.GetApplyThreshold():
        return np.ones(image.shape, bool), display
    return (image >= display.GetLowerThreshold()) & (image <= display.GetUpperThreshold()), display


def test_blades_are_black_and_the_field_is_all_there(scene):
    seen, _ = shown(scene, body())
    assert seen[np.hypot(ROWS - 80, COLUMNS - 100) < 72].all()
    assert not seen[np.hypot(ROWS - 80, COLUMNS - 100) > 77].any()


@pytest.mark.parametrize(
    "image",
    [
        np.where(True, body(), 0)[35:125, 45:155],  # without blades
        body(metal=9.0),  # as dense as they are
    ],
)
def test_unclear_blades_stay_visible(scene, image):
    seen, _ = shown(scene, image)
    assert seen.all()
