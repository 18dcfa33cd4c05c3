"""X-rays of a registration: taken from volumes and files, checked, and their geometry from C-arm angles, matrices and headers."""

import numpy as np
import pytest
import slicer
from helpers.refusals import refuses
from helpers.running_session import nodes
from helpers.tiny_scene import (
    READING,
    SHAPE,
    add_xray,
    c_arm,
    dot_image,
    intensity,
    registration_of,
)
from imaging.xray_files import enhanced, item, pixels, write_enhanced, write_xa
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.imaging.xray import raw_image, to_line_integrals
from MultiViewRegistrationLib.io.files import InputFile
from MultiViewRegistrationLib.io.isocentre import SAME_TABLE, TABLE_MOVED
from MultiViewRegistrationLib.io.view_headers import complete_by_headers
from MultiViewRegistrationLib.io.view_record import ViewRecord
from MultiViewRegistrationLib.mrml.image import change_image, set_source
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.registration import Registration
from MultiViewRegistrationLib.mrml.xray_record import XRayRecord
from MultiViewRegistrationLib.session.adding import add_volume, read, rename
from MultiViewRegistrationLib.session.geometry import (
    header_proposals,
    matrix_of,
    reading_of,
    set_camera,
    use_reading,
)
from MultiViewRegistrationLib.session.history import History, HistoryEntry
from MultiViewRegistrationLib.session.inputs import twins
from MultiViewRegistrationLib.session.session import Session


@pytest.fixture
def registration(scene):
    return Registration.create(scene)


def volume(scene, values, name="AP", kind="vtkMRMLScalarVolumeNode"):
    node = scene.AddNewNodeByClass(kind, name)
    slicer.util.updateVolumeFromArray(node, values)
    return node


def picture(view):
    return slicer.util.arrayFromVolume(view.node)[0]


def test_a_volume_is_taken_and_left_as_it_is(scene, registration):
    node = volume(scene, intensity()[None], "2: AP/1")
    node.SetSpacing(0.3, 0.2, 1)
    view = add_volume(registration, node)
    assert (view.name, view.record.image_pixel_mm, view.placed) == ("2 AP 1", (0.3, 0.2), False)
    assert_array_equal(picture(view), to_line_integrals(raw_image(intensity())).line_integrals)
    second = add_volume(Registration.create(scene), view.node)  # an X-ray serves two registrations
    assert second.record == view.record and second.source is view.source
    assert_array_equal(picture(second), picture(view))
    registration.remove_xray(view)
    assert registration.xrays == []
    assert_array_equal(slicer.util.arrayFromVolume(node)[0], intensity())


COLOUR = np.stack([intensity() // n for n in (256, 300, 256)], -1)[None].astype(np.uint8)


@pytest.mark.parametrize(
    "values, kind, problem",
    [
        (np.full((1, *SHAPE), np.nan, np.float32), "Scalar", "no contrast"),
        (COLOUR, "Vector", "colour"),
    ],
    ids=["NaN", "colour"],
)
def test_unusable_volume_leaves_no_node(scene, registration, values, kind, problem):
    node = volume(scene, values, kind=f"vtkMRML{kind}VolumeNode")
    before = nodes(scene)
    with refuses(rf"^AP: .*{problem}"):
        add_volume(registration, node)
    assert nodes(scene) == before and registration.xrays == []


def test_renamed_x_ray_keeps_its_results(registration):
    b, _c = (registration.add_xray(name) for name in ("b", "c"))
    stored = {"views": {"b": "good", "c": "bad"}, "cameras": {"b": {"k": 1}}}
    History(registration).add(HistoryEntry.now("search", np.eye(4), **stored))
    rename(registration, b, " Lateral ")
    entry = History(registration).current
    assert b.name == "Lateral" and entry.cameras == {"Lateral": {"k": 1}}
    assert entry.views == {"Lateral": "good", "c": "bad"}


@pytest.fixture
def two_views(scene):
    return registration_of(scene, {"AP": c_arm(0), "LAT": c_arm(90)})


@pytest.fixture
def checking(two_views):
    return Session(two_views)


def test_x_rays_are_checked_in_steps(two_views, checking):
    assert [checking.check_next() for _ in range(3)] == [True, True, False]
    ap, lat = two_views.xrays
    assert [checking.problem(view) for view in (ap, lat)] == ["", ""]
    lat.change(geometry=CArm(**{**READING, "size": (5, 5)}))
    assert "the image has 96 columns" in checking.problem(lat)
    empty = two_views.add_xray("empty")
    assert checking.problem(empty).startswith("empty: has no image")
    slicer.util.updateVolumeFromArray(ap.source, np.full((1, 72, 96), np.nan, np.float32))
    while checking.check_next():
        pass
    assert "no contrast" in checking.problem(ap)


def test_x_rays_with_the_same_geometry_or_image_are_found(two_views):
    ap, lat = two_views.xrays
    assert twins(two_views) is None
    lat.change(geometry=ap.record.geometry)
    assert twins(two_views) == ("geometry", ap, lat)
    set_source(lat, ap.source)
    assert twins(two_views) == ("image", ap, lat)
    lat.change(use=False)
    assert twins(two_views) is None


def test_image_follows_its_volume(two_views, checking):
    while checking.check_next():
        pass
    view = two_views.xrays[0]
    after = dot_image((96, 72), (10, 12))
    slicer.util.updateVolumeFromArray(view.source, after[None])
    assert checking.check_next()
    assert_array_equal(picture(view), after)


POINTS = np.random.default_rng(3).uniform(-60, 60, (20, 3))


@pytest.fixture
def with_ct(scene):
    """With a CT of 100 mm around the world's origin, and one X-ray without geometry."""
    with_ct = Registration.create(scene)
    place = np.diag([10.0, 10, 10, 1])
    place[:3, 3] = -45
    with_ct.ct = volume_node(slicer.mrmlScene, "CT", np.zeros((10, 10, 10), np.float32), place)
    add_xray(with_ct, "AP", None, dot_image((96, 72), (40, 30)))
    with_ct.xrays[0].record = XRayRecord("AP", intensity="log")
    return with_ct


def matrix(mirrored=False):
    """(3, 4) of a camera that looks at the origin from 700 mm, turned by scipy, principal point off the middle."""
    R = Rotation.from_euler("xyz", (100, 10, -20), degrees=True).as_matrix()
    K = np.array([[-480.0 if mirrored else 480, 0, 51], [0, 500, 33], [0, 0, 1]])
    return K @ np.c_[R, R @ [0, 0, 0] + [5, -3, 700]]


def projected(P):
    homogeneous = np.c_[POINTS, np.ones(len(POINTS))] @ P.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def test_a_matrix_of_either_sign_may_be_of_a_mirrored_image(with_ct):
    view = with_ct.xrays[0]
    set_camera(with_ct, view, -30 * matrix())
    assert_allclose(view.camera.project(POINTS), projected(matrix()), atol=1e-8)
    assert_allclose(matrix_of(view), matrix(), atol=1e-8)
    assert view.record.kind == "camera" and view.record.geometry.size == (96, 72)
    set_camera(with_ct, view, 3 * matrix(mirrored=True))
    assert_allclose(view.camera.project(POINTS), projected(matrix(mirrored=True)), atol=1e-8)
    assert view.camera.intrinsics[0, 0] < 0 and (view.camera.depth(POINTS) > 0).all()
    with refuses("behind the X-ray source"):
        set_camera(with_ct, view, -matrix(mirrored=True))


def test_mirrored_image_needs_a_ct_or_a_second_view_in_the_beam(with_ct):
    view = with_ct.xrays[0]
    with_ct.world_from_ct = rigid.translation([0, 900.0, 0])  # outside the beam, behind the source
    set_camera(with_ct, view, matrix())
    with refuses("negative determinant"):
        set_camera(with_ct, view, matrix(mirrored=True))
    other = add_xray(with_ct, "LAT", None, dot_image((96, 72), (40, 30)))
    other.change(geometry=c_arm(90))
    set_camera(with_ct, view, matrix(mirrored=True))
    assert view.camera.intrinsics[0, 0] < 0


def add(registration, path, frame=0):
    (view,) = read(path)(registration)
    change_image(view, frame=frame)
    return view


def use(registration, view, **changes):
    use_reading(registration, view, CArm(**{**reading_of(view), "size": view.size, **changes}))


def two_frames(tmp_path, **tags):
    """A run during which the table moved by 9 mm left, 6 down, 3 to its head."""
    names = ("TableTopVerticalPosition", "TableTopLongitudinalPosition", "TableTopLateralPosition")
    before, after = (
        {"TablePositionSequence": item(**dict(zip(names, place, strict=True)))}
        for place in ("000", "693")
    )
    return write_enhanced(
        tmp_path / "run.dcm", [{**enhanced(0, 0), **before}, {**enhanced(90, 10), **after}], **tags
    )


def test_view_after_a_table_movement_is_placed_as_in_a_case(registration, tmp_path):
    path = two_frames(tmp_path, PatientPosition="FFS")
    first, second = (add(registration, path, frame) for frame in (0, 1))
    assert not any(TABLE_MOVED in each for each in header_proposals(registration, second))
    use(registration, first)
    assert any(TABLE_MOVED in each for each in header_proposals(registration, second))
    use(registration, second)
    views = [ViewRecord(f"{n}", InputFile(path.name, path), n, field=f"views[{n}]") for n in (0, 1)]
    expected = complete_by_headers("case.json", views)[1].geometry
    geometry = second.record.geometry
    assert_allclose(geometry.isocentre_offset_mm, expected.isocentre_offset_mm, atol=1e-9)
    assert geometry.source_to_isocentre_mm == pytest.approx(expected.source_to_isocentre_mm)
    assert TABLE_MOVED in second.record.assumptions and TABLE_MOVED not in first.record.assumptions
    use(registration, second, cra_cau_deg=11.0)  # the offset is not added again
    assert second.record.geometry.isocentre_offset_mm == geometry.isocentre_offset_mm


def test_resting_table_is_assumed_until_a_matrix_is_entered(registration, tmp_path):
    for n, left in enumerate("LP"):
        orientation = {"PatientOrientation": [left, "F"]}
        write_xa(tmp_path / f"{n}.dcm", 90 * n, 0, pixels(n + 1), **orientation)
    first, second = (add(registration, tmp_path / f"{n}.dcm") for n in (0, 1))
    use(registration, first)
    use(registration, second)
    assert SAME_TABLE in second.record.assumptions and SAME_TABLE not in first.record.assumptions
    set_camera(registration, second, matrix_of(second))
    assert second.record.assumptions == ()
