"""The picture of the C-arm: source and detector are where DICOM's words for the angles say (PS3.3 C.8.7.5.1.2)."""

import numpy as np
import pytest
from helpers.tiny_scene import c_arm

from MultiViewRegistrationLib.report.scene import DrawnView, machine_figure


def camera(primary, secondary, mirrored=True):
    return c_arm(primary, secondary, size=(512, 512), mirrored=mirrored)


def panels(camera, image=None):
    """Return the three drawings of the figure."""
    return machine_figure(DrawnView("", camera, 1000.0, image)).axes


def words(drawing):
    return [text.get_text() for text in drawing.texts]


def source_and_detector(axes):
    """Return the positions (2,) of the source and of the detector's centre from the isocentre, mm, y down."""
    (ball,) = [line for line in axes.lines if line.get_marker() == "o"]
    (detector,) = [line for line in axes.lines if len(line.get_xdata()) == 5]
    return ball.get_xydata()[0], detector.get_xydata()[:4].mean(axis=0)


@pytest.mark.parametrize(
    "angles, feet, right",
    [
        ((40, 0), (1, -1), (0, -1)),  # LAO: to the patient's left, on the right seen from the feet
        ((0, 25), (0, -1), (-1, -1)),  # CRA: to the head, on the left seen from the right
        ((180, 0), (0, 1), (0, 1)),
    ],
)
def test_source_and_detector_are_drawn_at_the_angles(angles, feet, right):
    from_feet, from_right, _image = panels(camera(*angles))
    for drawing, way in ((from_feet, feet), (from_right, right)):
        source, detector = source_and_detector(drawing)
        assert np.array_equal(np.sign(np.where(np.abs(detector) < 1, 0, detector)), way), detector
        # 700 mm on one side of the isocentre, 300 mm on the other
        assert np.allclose(source, -7 / 3 * detector, atol=0.3)
    assert words(from_feet) == ["L", "R", "P", "A"] and words(from_right) == ["P", "A", "H", "F"]


@pytest.mark.parametrize(
    "primary, mirrored, sides",
    [
        (0, True, "RL"),  # as the detector sees it
        (0, False, "LR"),
        (90, True, "AP"),
    ],
)
def test_sides_of_the_patient_are_at_the_edges_of_the_image(primary, mirrored, sides):
    assert words(panels(camera(primary, 0, mirrored))[2]) == [*sides, "H", "F"]


def test_image_seen_edge_on_is_not_drawn():
    drawings = panels(camera(90, 0), np.zeros((8, 8), np.uint8))
    assert [len(axes.images) for axes in drawings] == [0, 1, 1]
