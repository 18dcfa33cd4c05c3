"""Cameras from beads, as a person gets them: a phantom's file, a look at what was found, a click."""

import numpy as np
import pytest
import slicer
from helpers.bead_scene import PHANTOM, draw_beads, two_sides
from helpers.phantom_scene import phantom_volume
from helpers.tiny_scene import READING
from presenter_host import PresenterHost, act, cells, control, text

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.io.points import read_bead_model
from MultiViewRegistrationLib.session.geometry import give_geometry
from MultiViewRegistrationLib.session.result_files import case_content

MODEL = read_bead_model(PHANTOM)

#: How the phantom lay.
WORLD_FROM_MODEL = rigid.turn_and_shift([0.4, -0.7, 1.1], [12.0, -8.0, 20.0])
BEADS = rigid.transform_points(WORLD_FROM_MODEL, MODEL.points)


@pytest.fixture
def host(scene, watch):
    return PresenterHost(scene)


@pytest.fixture
def geometry(host):
    """The table over AP and LAT, which show the phantom and have no geometry."""
    add(host, [draw_beads(camera, BEADS) for camera in two_sides()])
    act(host.presenters.xrays, "geometry")
    return host.presenters.xrays.geometry


def add(host, images):
    for name, image in zip(("AP", "LAT"), images, strict=False):
        node = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        slicer.util.updateVolumeFromArray(node, image[None])
        node.SetSpacing(1.0, 1.0, 1.0)
        act(host.presenters.xrays, "volume", node.GetID())


def find(host, geometry, path=PHANTOM):
    """Drop the phantom's file, and wait."""
    act(geometry, "from_beads")
    act(geometry, "bead_model", [path], None)
    done(host, geometry)


def done(host, geometry):
    host.wait(geometry, lambda: control(geometry, "bead_progress") is None, 600)


def off_px(views):
    """By how much points near the phantom are shown off, where the world may be moved."""
    near = np.random.default_rng(0).uniform(-40, 40, (50, 3)) + [12, -8, 20]
    cameras, true = [view.camera for view in views], two_sides()
    moved = cameras[0].world_from_camera @ true[0].camera_from_world
    seen = [camera.project(rigid.transform_points(moved, near)) for camera in cameras]
    apart = np.subtract(seen, [camera.project(near) for camera in true])
    return float(np.linalg.norm(apart, axis=-1).max())


@pytest.mark.slow
def test_phantom_calibrates_all_x_rays(host, geometry):
    find(host, geometry)
    assert text(geometry, "bead_problem") == ""
    assert control(geometry, "beads0").label.startswith("AP: 12 of 12 beads, 0.")
    views = host.registration.xrays
    assert not any(view.placed for view in views)
    act(geometry, "use_beads")
    assert control(geometry, "fields") is not None  # the table is shown again
    for view in views:
        assert view.record.origin.startswith("12 beads, 0.")
        assert 0 < view.record.uncertainty["rotation_sd_deg"] < 1
    assert off_px(views) < 1.5
    host.registration.ct = phantom_volume(host.scene)
    for view, written in zip(views, case_content(host.session)["views"], strict=True):
        assert written["marker"] == {"fixed_to": "patient"} and view.record.marker == "patient"
        assert written["assumptions"] == list(view.record.assumptions)
    host.presenters.xrays.select(views[0].id)
    act(geometry, "put_back")
    assert not views[0].placed and views[1].placed


@pytest.mark.slow
def test_x_rays_that_had_a_geometry_stay_in_their_world(host, geometry):
    views = host.registration.xrays
    for view, angle in zip(views, (0.0, 88.0), strict=True):
        reading = {**READING, "pixel_mm": (1.0, 1.0), "size": view.size}
        give_geometry(view, CArm(**{**reading, "rao_lao_deg": angle, "cra_cau_deg": 2.0}))
    act(geometry, "close")
    host.show_geometry()
    find(host, geometry)
    act(geometry, "use_beads")
    for view, true in zip(views, two_sides(), strict=True):
        turn = rigid.rotation_distance(view.camera.camera_from_world, true.camera_from_world)
        assert np.degrees(turn) < 4
        assert np.linalg.norm(view.camera.source - true.source) < 40


@pytest.mark.slow
def test_bead_is_excluded_by_a_click_and_included_again(host, geometry):
    find(host, geometry)
    beads = geometry.beads
    window, mark = beads._pictures[0][0], next(m for m in beads._marks(0) if m.name == "B3")
    at = (mark.pixel + 0.5 - (window.left, window.top)) / (window.width, window.height)
    for said, count in (("left out", 11), ("px", 12)):
        act(geometry, "beads0", *at.tolist())
        done(host, geometry)
        assert said in cells(geometry, "beads")[2][1]
        assert control(geometry, "beads0").label.startswith(f"AP: {count} of 12")
    act(geometry, "beads", "B5", 2)  # by its cell, in LAT
    done(host, geometry)
    assert [row[2] for row in cells(geometry, "beads")][4] == "left out"


def test_phantom_with_too_few_beads_is_refused(geometry, file_of):
    act(geometry, "from_beads")
    act(geometry, "bead_model", [file_of("few.csv", "name,x,y,z\nB1,0,0,0\n")], None)
    assert "has 1 beads, expected 6 to 500" in text(geometry, "bead_problem")
    assert control(geometry, "beads0") is None


@pytest.mark.slow
def test_x_ray_without_the_phantom_is_reported_and_can_be_skipped(host):
    add(host, [draw_beads(two_sides()[0], BEADS), draw_beads(two_sides()[1], np.empty((0, 3)))])
    section = host.presenters.xrays
    act(section, "geometry")
    find(host, section.geometry)
    assert text(section.geometry, "bead_problem").startswith("LAT: found 0 beads, expected 6")
    section.use(section.views[1].id, False)
    host.wait(section.geometry, lambda: control(section.geometry, "bead_progress") is not None)
    done(host, section.geometry)
    act(section.geometry, "use_beads")
    assert [view.placed for view in section.views] == [True, False]


def test_the_search_can_be_stopped_and_begun_again(geometry):
    act(geometry, "from_beads")
    act(geometry, "bead_model", [PHANTOM], None)
    act(geometry, "cancel_beads")
    assert control(geometry, "bead_progress") is None
    act(geometry, "find_beads")
    assert control(geometry, "bead_progress") is not None
    act(geometry, "cancel_beads")
    act(geometry, "leave_beads")
    assert control(geometry, "fields") is not None


@pytest.mark.slow
def test_a_phantom_that_is_dropped_anywhere_is_looked_for(host, geometry):
    geometry.close()
    host.files.take([PHANTOM])
    host.wait(geometry, lambda: geometry.beads.open)
    assert control(geometry, "bead_progress") is not None
    act(geometry, "cancel_beads")
