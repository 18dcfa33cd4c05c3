"""The picture of the C-arm: source and detector are where DICOM's words for the angles say (PS3.3 C.8.7.5.1.2)."""

import numpy as np
import pytest

from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.report.plot import svg_text
from MultiViewRegistrationLib.report.scene import DrawnView, machine_figure


def panels(primary, secondary, mirrored=True, certain=True, left_known=True):
    """Return the words of the figure, and its three drawings."""
    reading = {
        "source_to_detector_mm": 1000,
        "source_to_isocentre_mm": 600,
        "pixel_mm": (0.5, 0.5),
        "size": (512, 512),
    }
    camera = CArm(**reading, rao_lao_deg=primary, cra_cau_deg=secondary, mirrored=mirrored).camera()
    view = DrawnView("", camera, 1000.0, None, 1.0, certain)
    figure = machine_figure(view, left_known)
    assert figure.get_facecolor()[3] == 1  # light text is legible in a light window, too
    return words(figure), figure.axes


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
        ((0, 0), (0, -1), (0, -1)),  # the detector before the patient: up, from either side
        (
            (40, 0),
            (1, -1),
            (0, -1),
        ),  # LAO: towards his left, which is on the right as seen from the feet
        ((-40, 0), (-1, -1), (0, -1)),
        ((90, 0), (1, 0), (0, 0)),
        (
            (0, 25),
            (0, -1),
            (-1, -1),
        ),  # CRA: towards the head, which is on the left as seen from the right
        ((0, -25), (0, -1), (1, -1)),
        ((180, 0), (0, 1), (0, 1)),
    ],
)
def test_source_and_detector_stand_where_the_angles_say(angles, feet, right):
    _words, (from_feet, from_right, _image) = panels(*angles)
    for drawing, way in ((from_feet, feet), (from_right, right)):
        source, detector = source_and_detector(drawing)
        assert np.array_equal(np.sign(np.where(np.abs(detector) < 1, 0, detector)), way), detector
        # 600 mm on one side of the isocentre, 400 mm on the other
        assert np.allclose(source, -1.5 * detector, atol=0.3)
    assert words(from_feet) == ["L", "R", "P", "A"] and words(from_right) == ["P", "A", "H", "F"]


def test_the_image_has_the_patients_sides_at_its_edges():
    def sides(*angles, **how):
        return words(panels(*angles, **how)[1][2])

    assert sides(0, 0) == ["R", "L", "H", "F"]  # as the detector sees it
    assert sides(0, 0, mirrored=False) == ["L", "R", "H", "F"]
    assert sides(90, 0) == ["A", "P", "H", "F"]
    assert sides(0, 0, left_known=False) == ["?", "?", "H", "F"]


def test_the_angles_are_said_and_questioned_while_numbers_are_missing():
    assert "LAO 40\u00b0" in panels(40, -10)[0]
    assert "CAU 10\u00b0 ?" in panels(40, -10, certain=False)[0]


def test_an_x_ray_seen_edge_on_is_drawn_without_its_picture():
    camera = CArm(
        source_to_detector_mm=1000,
        source_to_isocentre_mm=600,
        pixel_mm=(0.5, 0.5),
        size=(512, 512),
        rao_lao_deg=90,
        cra_cau_deg=0,
        mirrored=True,
    ).camera()
    figure = machine_figure(DrawnView("", camera, 1000.0, np.zeros((8, 8), np.uint8)), True)
    assert [len(axes.images) for axes in figure.axes] == [0, 1, 1]
    assert "<image" in svg_text(figure)
