"""The CT moved by hand in an X-ray does there what the hand did, in pixels."""

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import window_of, window_point
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.mrml import manual_pose
from MultiViewRegistrationLib.mrml.image import segmentation_node
from MultiViewRegistrationLib.mrml.manual_pose import Dragging

START = np.array([[1.0, 0, 0, 12], [0, 1, 0, -9], [0, 0, 1, 20], [0, 0, 0, 1]])
LUMP = np.array([10.0, 6.0, -4.0])  # LPS mm in the CT: the middle of the bone


@pytest.fixture
def registration(scene, two_xrays):
    ct = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    values = np.full((20, 24, 28), -1000, np.int16)
    values[6:11, 8:13, 10:15] = 800
    slicer.util.updateVolumeFromArray(ct, values)
    ct.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    ct.SetSpacing(2, 2, 2)
    ct.SetOrigin(*(-(LUMP - 2 * np.array([12, 10, 8])) * [1, 1, -1]))
    two_xrays.ct = ct
    two_xrays.world_from_ct = START
    return two_xrays


@pytest.fixture
def view(registration):
    """The mirrored X-ray."""
    return registration.xrays[1]


def seen(registration, view, in_ct=LUMP):
    """Pixel of a point (3,), LPS mm in the CT."""
    return view.camera.project((registration.world_from_ct @ [*in_ct, 1])[:3])


def test_centre_is_of_bone_then_of_chosen_segment(registration):
    assert np.allclose(manual_pose.centre_in_ct(registration), LUMP)
    assert np.allclose(manual_pose.centre(registration), LUMP + START[:3, 3])
    selected = np.zeros((20, 24, 28), bool)
    selected[7, 9, 14] = True
    registration.choose_segment(
        *segmentation_node(registration.scene, "One voxel", selected, registration.ct)
    )
    assert np.allclose(
        manual_pose.centre_in_ct(registration), LUMP + 2 * np.array([14 - 12, 9 - 10, 7 - 8])
    )


def test_shift_is_in_pixels_and_parallel_to_the_image(registration, view):
    before, depth = seen(registration, view), view.camera.depth(manual_pose.centre(registration))
    manual_pose.shift(registration, view, 7.0, -3.0)
    assert np.allclose(seen(registration, view) - before, [7, -3], atol=1e-9)
    assert view.camera.depth(manual_pose.centre(registration)) == pytest.approx(depth)
    assert np.allclose(registration.world_from_ct[:3, :3], np.eye(3))


def test_turn_is_counter_clockwise_in_the_image(registration, view):
    centre, right = seen(registration, view), 10 * view.camera.ray_matrix @ [1, 0, 0] * 100
    beside = LUMP + right
    before = seen(registration, view, beside) - centre
    manual_pose.turn(registration, view, 20.0)
    assert np.allclose(seen(registration, view), centre, atol=1e-9)
    after = seen(registration, view, beside) - centre
    assert before[0] > 0
    assert np.degrees(np.arctan2(-after[1], after[0])) == pytest.approx(
        20.0, abs=2.0
    )  # the ray is not quite square to the image


def test_tilt_takes_the_near_side_along(registration, view):
    mirrored = np.sign(
        view.camera.intrinsics[0, 0]
    )  # a mirrored image is looked at from the detector
    near = LUMP - 10 * mirrored * view.camera.camera_from_world[2, :3]
    for amount, expected in (((4.0, 0.0), (1, 0)), ((0.0, 4.0), (0, 1))):
        registration.world_from_ct = START
        before = seen(registration, view, near)
        manual_pose.tilt(registration, view, *amount)
        moved = seen(registration, view, near) - before
        assert np.allclose(moved / np.linalg.norm(moved), expected, atol=0.1)
        turned = Rotation.from_matrix(registration.world_from_ct[:3, :3]).magnitude()
        assert np.degrees(turned) == pytest.approx(4.0)


def test_along_the_beam_the_centre_stays_and_looks_smaller(registration, view):
    before, source = seen(registration, view), view.camera.source
    distance = np.linalg.norm(manual_pose.centre(registration) - source)
    manual_pose.along_beam(registration, view, 30.0)
    assert np.allclose(seen(registration, view), before, atol=1e-9)
    assert np.linalg.norm(manual_pose.centre(registration) - source) == pytest.approx(distance + 30)


def test_handles_turn_about_the_centre(registration):
    manual_pose.show_handles(registration, True)
    display = registration.ct_transform.GetDisplayNode()
    assert display.GetEditorVisibility()
    assert not display.GetEditorScalingEnabled()
    assert np.allclose(registration.ct_transform.GetCenterOfTransformation(), LUMP * [-1, -1, 1])
    manual_pose.show_handles(registration, False)
    assert not display.GetEditorVisibility()


class Hand:
    """The mouse and the keys in one slice view.

    Positions from the lower left corner of a window of 360 x 270 pixels.
    """

    def __init__(self, shown):
        self.shown, self.interactor = shown, shown.interactor()
        self.seen_by_others = []
        for event in (
            "LeftButtonPressEvent",
            "MouseMoveEvent",
            "LeftButtonReleaseEvent",
            "KeyPressEvent",
        ):
            self.interactor.AddObserver(
                event, lambda _, event: self.seen_by_others.append(event), 0.5
            )

    def at(self, ras):
        x, y = window_point(self.shown, ras)
        return np.array([x, self.shown.get_view_node().GetDimensions()[1] - y])

    def drag(self, positions, *, shift=False, ctrl=False):
        for i, (x, y) in enumerate(np.round(positions).astype(int)):
            self.interactor.SetEventInformation(
                int(x), int(y), int(ctrl), int(shift), "\0", 0, None
            )
            self.interactor.InvokeEvent("LeftButtonPressEvent" if i == 0 else "MouseMoveEvent")
        self.interactor.InvokeEvent("LeftButtonReleaseEvent")

    def press(self, key, *, shift=False):
        self.interactor.SetEventInformation(100, 100, 0, int(shift), "\0", 0, key)
        self.interactor.InvokeEvent("KeyPressEvent")


@pytest.fixture
def hand(slicer_app, registration, view):
    return Hand(window_of(slicer_app, view, (360, 270), zoom=1.7))


@pytest.fixture
def dragging(hand, registration, view):
    calls = []
    made = Dragging(
        hand.interactor,
        registration,
        view,
        begin=lambda: calls.append("begin"),
        end=lambda: calls.append("end"),
    )
    made.calls = calls
    yield made
    made.stop()


def test_the_ct_follows_the_mouse(hand, dragging, registration, view):
    start = hand.at(view.ras_of(seen(registration, view)))
    told = []
    moved = registration.ct_transform.TransformModifiedEvent
    registration.ct_transform.AddObserver(moved, lambda *_: told.append(1))
    hand.drag([start, start + [20, 5], start + [60, -40]])
    assert len(told) == 1  # a picture, not each movement
    assert (
        np.abs(hand.at(view.ras_of(seen(registration, view))) - start - [60, -40]).max() < 1e-6
    )  # though the view is zoomed
    assert dragging.calls == ["begin", "end"]
    assert not hand.seen_by_others


@pytest.mark.parametrize("key, shift, pixels", [("Up", False, (0, -1)), ("Left", True, (-10, 0))])
def test_arrows_move_by_pixels(hand, dragging, registration, view, key, shift, pixels):
    before = seen(registration, view)
    hand.press(key, shift=shift)
    assert np.allclose(seen(registration, view) - before, pixels, atol=1e-9)
    assert dragging.calls == ["begin", "end"]
    assert not hand.seen_by_others


def test_other_events_go_to_slicer(hand, dragging, registration):
    hand.press("r")
    hand.interactor.InvokeEvent("MouseMoveEvent")
    assert hand.seen_by_others == ["KeyPressEvent", "MouseMoveEvent"]
    assert not dragging.calls
