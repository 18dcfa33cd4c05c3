"""C-arm angles against DICOM's words, solved by hand, and there and back."""

import dataclasses

import numpy as np
import pytest
from helpers.refusals import refusal, refuses
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from MultiViewRegistrationLib import Camera, CArm
from MultiViewRegistrationLib.geometry import rigid

LEFT, HEAD, FRONT = np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, -1.0, 0])  # LPS


def c_arm(rao_lao_deg=0, cra_cau_deg=0, **others):
    """Isocentre 600 mm from the source, detector 400 mm further.

    512 x 640 pixels of 0.5 x 0.4 mm.
    """
    return CArm(
        **{
            "source_to_detector_mm": 1000,
            "source_to_isocentre_mm": 600,
            "pixel_mm": (0.5, 0.4),
            "size": (512, 640),
            "rao_lao_deg": rao_lao_deg,
            "cra_cau_deg": cra_cau_deg,
            **others,
        }
    )


def detector_centre(camera):
    return camera.source + 1000 * camera.ray_directions(camera.principal_point)


# A marker 30 mm from the isocentre, square to the axis, shows 50 mm off: 100 columns or 125 rows.
@pytest.mark.parametrize(
    "angles, towards_detector, right_in_image, up_in_image",
    [
        # AP: seen from behind the patient, the patient's right is on the right
        ((0, 0), FRONT, -LEFT, HEAD),
        ((90, 0), LEFT, FRONT, HEAD),  # left lateral
        ((0, 90), HEAD, -LEFT, -FRONT),
        ((90, 30), 0.75**0.5 * LEFT + HEAD / 2, FRONT, 0.75**0.5 * HEAD - LEFT / 2),
    ],
)
def test_hand_solved_views(angles, towards_detector, right_in_image, up_in_image):
    camera = c_arm(*angles).camera()
    assert_allclose(camera.source, -600 * towards_detector, atol=1e-9)
    assert_allclose(detector_centre(camera), 400 * towards_detector, atol=1e-9)
    assert_allclose(
        camera.project([np.zeros(3), 30 * right_in_image, 30 * up_in_image]),
        [[255.5, 319.5], [355.5, 319.5], [255.5, 194.5]],
        atol=1e-9,
    )


def test_mirrored_image_faces_the_patient():
    camera = c_arm(mirrored=True).camera()
    assert camera.intrinsics[0, 0] < 0
    assert_allclose(camera.project([30 * LEFT, 30 * HEAD]), [[355.5, 319.5], [255.5, 194.5]])


def test_roll_turns_the_image_clockwise():
    camera = c_arm(roll_deg=90).camera()
    assert_allclose(camera.project(30 * HEAD), [355.5, 319.5])  # what was up is on the right


def test_offsets():
    camera = c_arm(principal_point=(200, 300), isocentre_offset_mm=(3, -6)).camera()
    assert_allclose(camera.principal_point, [200, 300])
    assert_allclose(camera.project(np.zeros(3)), [200 + 10, 300 - 25])


readings = st.builds(
    lambda share, **others: c_arm(
        source_to_isocentre_mm=share * others["source_to_detector_mm"], **others
    ),
    st.floats(0.1, 0.9),
    source_to_detector_mm=st.floats(500, 2000),
    pixel_mm=st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
    rao_lao_deg=st.floats(-180, 180),
    cra_cau_deg=st.floats(-90, 90),
    principal_point=st.tuples(st.floats(-50, 600), st.floats(-50, 700)),
    roll_deg=st.floats(-180, 180),
    isocentre_offset_mm=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    mirrored=st.booleans(),
)


@given(readings)
def test_there_and_back(reading):
    camera = reading.camera()
    found = CArm.from_camera(camera, reading.pixel_mm)
    for field in dataclasses.fields(CArm):
        difference = np.subtract(
            getattr(found, field.name), getattr(reading, field.name), dtype=float
        )
        if field.name.endswith("_deg"):
            difference = (difference + 180) % 360 - 180
        if abs(reading.cra_cau_deg) < 89.99 or field.name not in ("rao_lao_deg", "roll_deg"):
            assert_allclose(difference, 0, atol=1e-7, err_msg=field.name)
    assert_allclose(
        found.camera().projection_matrix, camera.projection_matrix, rtol=1e-9, atol=1e-5
    )


def test_skew_and_pixel_shape_are_read_approximately_on_request():
    camera = c_arm(25, 10).camera()
    intrinsics = camera.intrinsics + [[10, 4, 0], [0, 0, 0], [0, 0, 0]]
    skewed = Camera(intrinsics, camera.camera_from_world, camera.size)
    with refuses("skewed by 4, .* pixel_mm 0.5, 0.4 .* tolerance_px"):
        CArm.from_camera(skewed, (0.5, 0.4))
    found = CArm.from_camera(skewed, (0.5, 0.4), tolerance_px=5)
    assert (found.rao_lao_deg, found.cra_cau_deg) == pytest.approx((25, 10))
    assert found.source_to_detector_mm == pytest.approx(1000, rel=0.005)
    assert 0 < np.linalg.norm(found.camera().project(40 * LEFT) - skewed.project(40 * LEFT)) < 5


def moved(z):
    return Camera(np.diag([2000, 2500, 1]), rigid.translation([0, 0, z]), (512, 640))


@pytest.mark.parametrize(
    "build, fault",
    [
        (lambda: c_arm(source_to_isocentre_mm=1200), "source_to_isocentre_mm: found 1200"),
        (lambda: c_arm(pixel_mm=0.5), "pixel_mm: found one number, expected 2"),
        (lambda: c_arm(cra_cau_deg=100), "cra_cau_deg: found 100"),
        (lambda: c_arm(mirrored="no"), "mirrored: found 'no'"),
        (lambda: CArm.from_camera(moved(1100), (0.5, 0.4)), "lies 1100 mm from the source"),
    ],
)
def test_errors_name_field_and_fault(build, fault):
    message = refusal(build)
    assert fault in message and "expected" in message
