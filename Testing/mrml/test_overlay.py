"""DRRs and pictures lie over their X-rays pixel by pixel, in the X-ray's greys, and are seen nowhere else."""

import numpy as np
import pytest
import slicer
from helpers.scene_rendering import pixels, slice_view
from helpers.tiny_scene import c_arm, registration_of

from MultiViewRegistrationLib.imaging.ct import CT, Volume
from MultiViewRegistrationLib.mrml import display, overlay
from MultiViewRegistrationLib.mrml.display import show
from MultiViewRegistrationLib.mrml.drawing import ToneMatch
from MultiViewRegistrationLib.mrml.layout import composite_node
from MultiViewRegistrationLib.mrml.xray import detectors, place_of
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

POINT = np.array([14.0, -9.0, 11.0])  # LPS mm: of the marker in the CT, and in the world
CAMERAS = {
    "AP": c_arm(5, 8, size=(97, 73), principal_point=(60.0, 30.0)),
    "LAT": c_arm(95, -4, size=(97, 73), principal_point=(41.0, 39.0), mirrored=True),
}


def marker_ct():
    """A ball of bone in air, smooth, so that few pixels tell its middle, too."""
    k, j, i = 2.0 * np.indices((40, 40, 40)) - 39
    squared = (i - POINT[0]) ** 2 + (j - POINT[1]) ** 2 + (k - POINT[2]) ** 2
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -39
    return CT(Volume((3000 * np.exp(-squared / (2 * 6.0**2)) - 1000).astype(np.float32), affine))


def cut_ct():
    """A leg, so to say, along z, of which only the middle 40 mm are there."""
    k, j, i = 2.0 * np.indices((20, 40, 40)) - np.array([19, 39, 39]).reshape(3, 1, 1, 1)
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-39, -39, -19]
    leg = np.where(np.hypot(i, j) < 14, 900.0, np.where(np.hypot(i, j) < 34, 0.0, -1000.0))
    return CT(Volume((leg + 0 * k).astype(np.float32), affine))


@pytest.fixture(scope="module")
def marker():
    return PreparedCT(marker_ct())


@pytest.fixture(scope="module")
def leg():
    return PreparedCT(cut_ct())


@pytest.fixture
def registration(scene):
    return registration_of(scene, CAMERAS, dict.fromkeys(CAMERAS, POINT))


def centre_ras(node):
    """RAS mm of the middle of what a volume's voxels have above 0, weighted by them."""
    values = np.clip(slicer.util.arrayFromVolume(node)[0], 0, None)
    rows, columns = np.indices(values.shape)
    column, row = (values * columns).sum() / values.sum(), (values * rows).sum() / values.sum()
    return (place_of(node) @ [column, row, 0, 1])[:3]


@pytest.mark.parametrize("factor, level", [(1, 0), (3, 1)])
def test_a_drr_lies_over_its_x_ray_at_every_pooling(registration, marker, factor, level):
    """97 x 73 pixels: the last blocks are incomplete, and left out."""
    for detector in detectors(registration):
        drr = marker.drr(detector.camera.pooled(factor), np.eye(4), level)
        overlay.SliceCanvas().show(detector, overlay.DRR, drr, factor)
        node = overlay.SliceCanvas().foreground(detector.view, "blend")
        pixel, off_plane_mm = detector.locate(centre_ras(node))
        assert np.abs(pixel - detector.camera.project(POINT)).max() < 0.5
        assert abs(off_plane_mm) < 1e-3
        assert drr.shape == (73 // factor, 97 // factor)


def test_where_the_ct_ends_the_x_ray_is_seen(registration, leg, slicer_app):
    view = slice_view(slicer_app, "XRay1", (388, 292))
    detector = detectors(registration)[0]
    display.show(registration)
    drr = leg.drr(detector.camera, np.eye(4), 0)
    untrue = np.isnan(drr)
    assert 0.1 < untrue.mean() < 0.8
    overlay.SliceCanvas().show(detector, overlay.DRR, np.where(drr > 0, drr, np.nan), 1)
    overlay.SliceCanvas().shade(detector.view, ToneMatch.alone(drr, (0.0, 1.0)))
    registration.node.SetParameter("opacity", "1.0")
    registration.node.SetParameter("overlay", "off")
    overlay.lay(registration, 0.0)
    alone = pixels(view).astype(int)
    registration.node.SetParameter("overlay", "blend")
    overlay.lay(registration, 0.0)
    changed = np.abs(pixels(view).astype(int) - alone).max(axis=2) > 2
    at_pixels = changed[2::4, 2::4][
        : untrue.shape[0], : untrue.shape[1]
    ]  # about the middle of each pixel of the image
    assert at_pixels[~untrue & (drr > 0.5)].mean() > 0.95
    inner = (
        untrue
        & np.roll(untrue, 1, 0)
        & np.roll(untrue, -1, 0)
        & np.roll(untrue, 1, 1)
        & np.roll(untrue, -1, 1)
    )
    assert not at_pixels[inner].any()


def test_flicker_takes_turns_and_the_other_modes_do_not(registration, marker):
    show(registration)
    for detector in detectors(registration):
        overlay.SliceCanvas().show(
            detector, overlay.DRR, marker.drr(detector.camera, np.eye(4), 0), 1
        )

    def opacities(mode):
        registration.node.SetParameter("overlay", mode)
        found = []
        for seconds in (0.1, 0.4, 0.6, 0.9, 1.1):
            overlay.lay(registration, seconds)
            composite = composite_node(registration.scene, "XRay1")
            found.append(
                composite.GetForegroundOpacity() if composite.GetForegroundVolumeID() else None
            )
        return found

    assert opacities("flicker") == [1, 1, 0, 0, 1]
    assert opacities("blend") == [0.5] * 5
    assert opacities("off") == [None] * 5
