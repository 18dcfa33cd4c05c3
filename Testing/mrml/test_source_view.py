"""The source's eye sees what the pinhole model says."""

import numpy as np
import pytest
from helpers.scene_rendering import ball, brightest, pixels, resize, threed_view
from helpers.tiny_scene import c_arm, registration_of

from MultiViewRegistrationLib.mrml import overlay, source_view
from MultiViewRegistrationLib.mrml.ct_3d import put_surface
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.mrml.nodes import ras_from_lps
from MultiViewRegistrationLib.mrml.registration import Registration

POINT = np.array([30.0, -20.0, 25.0])


@pytest.fixture
def eye(slicer_app, scene):
    """A 3D view on black, with a small bright ball at POINT and nothing else."""
    view = threed_view(slicer_app)
    view.set_background_color([0, 0, 0])
    model = scene.AddNewNodeByClass("vtkMRMLModelNode")
    model.SetAndObservePolyData(ball(6, ras_from_lps(POINT), 24))
    model.CreateDefaultDisplayNodes()
    model.GetDisplayNode().SetLighting(False)
    model.GetDisplayNode().SetColor(1, 1, 1)
    view.render()  # that is when the view gets its camera
    yield view
    view.set_background_color_from_string(("#7476be", "#c1c3e8"))


def in_view(pixel, camera, size):
    """(column, row) in a picture of a pixel of an image that fills the view, mirrored back as the source sees it; by hand."""
    focal, image = np.diag(camera.intrinsics)[:2], np.array(camera.size)
    extent = image / np.abs(focal)
    scale = min(np.array(size) / extent)
    return (np.array(size) - 1) / 2 + scale * (np.array(pixel) - (image - 1) / 2) / focal


@pytest.mark.parametrize(
    "mirrored, principal_point, size",
    [(False, (70.3, 20.2), (200, 300)), (True, (40.0, 60.0), (333, 211))],
)
def test_a_ball_is_seen_where_the_camera_projects_it(eye, scene, mirrored, principal_point, size):
    camera = c_arm(25, 10, mirrored=mirrored, principal_point=principal_point, pixel_mm=(2.0, 1.4))
    registration = registration_of(scene, {"AP": camera}, {"AP": POINT}, (2.0, 1.4))
    resize(eye, *size)
    source_view.look(registration.xrays[0], eye.get_camera_node(), size)
    assert brightest(pixels(eye)) == pytest.approx(
        in_view(camera.project(POINT), camera, size), abs=0.1
    )


def test_a_closed_scene_leaves_no_camera_at_a_source(eye, scene, watch):
    """A view keeps its camera, and with it what a reset of the node forgets."""
    camera = c_arm(12, principal_point=(70.3, 20.2))
    registration = registration_of(scene, {"AP": camera}, {"AP": POINT})
    source_view.look(registration.xrays[0], eye.get_camera_node(), (320, 240))
    assert eye.get_camera_node().GetViewAngle() < 10
    scene.Clear(False)
    pixels(eye)
    node = eye.get_camera_node()
    assert node.GetViewAngle() > 20  # about that of Slicer's own reset
    assert node.GetCamera().GetWindowCenter() == (0, 0)


def test_the_overview_shows_all_of_it(eye, scene):
    registration = registration_of(
        scene, {"AP": c_arm(0, 20), "oblique": c_arm(60), "PA": c_arm(180)}
    )
    scene.GetFirstNodeByName("Model").GetDisplayNode().SetVisibility(False)
    for view in registration.xrays:
        overlay.show_frustum(view)
    for size in ((320, 200), (180, 300)):
        resize(eye, *size)
        assert source_view.show_overview(registration, eye.get_camera_node(), size)
        rows, columns = np.nonzero(pixels(eye).max(axis=2) > 60)
        assert (
            columns.min() > 1
            and columns.max() < size[0] - 2
            and rows.min() > 1
            and rows.max() < size[1] - 2
        )
        assert max(np.ptp(columns) / size[0], np.ptp(rows) / size[1]) > 0.75


def ct_at(scene, registration, centre):
    """A CT of 100 mm about a place, RAS mm."""
    place = np.diag([2.0, 2.0, 2.0, 1.0])
    place[:3, 3] = np.array(centre) * [-1, -1, 1] - 49
    ct = volume_node(scene, "ct", np.zeros((50, 50, 50), np.float32), place)
    registration.ct = ct


def seen(scene):
    """Two X-rays of a CT at the origin."""
    registration = registration_of(scene)
    ct_at(scene, registration, (0, 0, 0))
    return registration


def test_the_overview_follows_the_ct_until_a_person_turns_it(eye, scene):
    registration = seen(scene)
    node, size, overview = eye.get_camera_node(), (320, 240), source_view.Overview()
    assert overview.update(registration, node, size) and not overview.update(
        registration, node, size
    )
    far = np.eye(4)
    far[2, 3] = 900
    registration.world_from_ct = far
    assert overview.update(registration, node, size)
    node.GetCamera().Azimuth(30)
    registration.world_from_ct = np.eye(4)
    assert not overview.update(registration, node, size) and not overview.update(
        registration, node, (200, 300)
    )
    overview.show(registration, node, size)
    registration.world_from_ct = far
    assert overview.update(registration, node, size)


def test_a_small_bone_is_no_dot_in_the_overview(eye, scene):
    """But with the sources in sight, all of it is seen."""
    registration = seen(scene)
    node, size, overview = eye.get_camera_node(), (320, 240), source_view.Overview()
    overview.show(registration, node, size)
    far = np.linalg.norm(node.GetPosition())
    put_surface(registration, ball(20))
    assert overview.update(registration, node, size)
    near = np.linalg.norm(np.subtract(node.GetPosition(), node.GetFocalPoint()))
    assert np.allclose(node.GetFocalPoint(), 0, atol=2) and near < 0.5 * far
    share = 20 / near / np.tan(np.radians(node.GetViewAngle() / 2))
    assert 0.1 < share < 0.3
    assert overview.update(registration, node, size, sources=True)
    assert np.linalg.norm(node.GetPosition()) == pytest.approx(far)


def test_the_overview_of_a_ct_alone_is_from_the_front(eye, scene):
    registration, node = Registration.create(scene), eye.get_camera_node()
    assert not source_view.show_overview(registration, node, (320, 240))
    ct_at(scene, registration, (0, 0, 0))
    assert source_view.show_overview(registration, node, (320, 240))
    x, y, z = node.GetPosition()
    assert y > abs(z) > 1 > abs(x)  # RAS: anterior
