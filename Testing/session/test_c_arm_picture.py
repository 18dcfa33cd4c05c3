"""The picture of the C-arm: source and detector are where DICOM's words for the angles say (PS3.3 C.8.7.5.1.2)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')

NAME = "{http://www.w3.org/2000/svg}"


def drawn(primary: float, secondary: float, mirrored: bool = True, **more):
    """The three drawings: of the first two the source, and the middle of the detector, from the isocentre; and their words."""
    from MultiViewRegistrationLib.geometry.c_arm import CArm
    from MultiViewRegistrationLib.report import c_arm_picture

    reading = {
        "source_to_detector_mm": 1000,
        "source_to_isocentre_mm": 600,
        "pixel_mm": (0.5, 0.5),
        "size": (512, 512),
    }
    camera = CArm(**reading, rao_lao_deg=primary, cra_cau_deg=secondary, mirrored=mirrored).camera()
    picture = ElementTree.fromstring(c_arm_picture.machine_svg(camera, 1000.0, **more))
    middle = np.array(
        [c_arm_picture.SIDE_PX / 2, c_arm_picture.TITLE_PX + c_arm_picture.SIDE_PX / 2]
    )
    found = []
    for drawing in picture.findall(f"{NAME}g"):
        words = [text.text for text in drawing.iter(f"{NAME}text")]
        balls = [each for each in drawing.iter(f"{NAME}circle") if each.get("r") == "6"]
        source = [np.array([float(each.get("cx")), float(each.get("cy"))]) for each in balls]
        edges = [each for each in drawing.iter(f"{NAME}polygon") if each.get("stroke-width")]
        corners = [
            np.array([pair.split(",") for pair in each.get("points").split()], float)
            for each in edges
        ]
        found.append(
            (*(each - middle for each in (*source, *(c.mean(axis=0) for c in corners))), words)
        )
    return found


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
    (from_feet, from_right, _image) = drawn(*angles)
    for (source, detector, _words), way in ((from_feet, feet), (from_right, right)):
        assert np.array_equal(np.sign(np.where(np.abs(detector) < 1, 0, detector)), way), detector
        assert np.allclose(
            source, -1.5 * detector, atol=0.3
        )  # 600 mm on one side of the isocentre, 400 mm on the other
    assert from_feet[2][2:6] == ["R", "L", "A", "P"] and from_right[2][2:6] == ["H", "F", "A", "P"]


def test_the_image_has_the_patients_sides_at_its_edges():
    assert drawn(0, 0)[2][-1][2:6] == ["R", "L", "H", "F"]  # as the detector sees it
    assert drawn(0, 0, mirrored=False)[2][-1][2:6] == ["L", "R", "H", "F"]
    assert drawn(90, 0)[2][-1][2:6] == ["A", "P", "H", "F"]
    assert drawn(0, 0, left_known=False)[2][-1][2:6] == ["?", "?", "H", "F"]
    assert (
        "LAO 40\u00b0" in drawn(40, -10)[0][2]
        and "CAU 10\u00b0 ?" in drawn(40, -10, certain=False)[1][2]
    )
