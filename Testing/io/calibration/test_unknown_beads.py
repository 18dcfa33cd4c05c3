"""Beads of which nobody measured the places are found with their cameras, against the truth of RTK."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from imaging.xray_files import pixels, write_xa

from MultiViewRegistrationLib import calibrate_from_beads
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.c_arm import CArm
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.beads import Bead
from MultiViewRegistrationLib.imaging.xray import XRay, load_image
from MultiViewRegistrationLib.io.bead_model import UnknownBeads, read_bead_model
from MultiViewRegistrationLib.io.calibration.bead_image import BeadImage
from MultiViewRegistrationLib.io.calibration.bead_places import camera_as_said
from MultiViewRegistrationLib.io.dicom_geometry import read_header
from Testing.bead_scene import PHANTOM, take_phantom

MODEL = read_bead_model(PHANTOM).points
FARTHEST_MM = float(np.linalg.norm(MODEL[:, None] - MODEL, axis=-1).max())
ANGLES = (0, 0), (80, 5), (40, 25), (-35, -20)


def said_and_true(size, seed=0, angles=ANGLES, off_deg=2.0, mirrored=False):
    """Cameras as a C-arm's angles say them, and as they are: turned, shifted, with another principal point and distance."""
    rng = np.random.default_rng(seed)
    said, true, centre = [], [], rng.uniform(-0.03, 0.03, 2) * size[0]
    for primary, secondary in angles:
        c_arm = CArm(
            source_to_detector_mm=1000.0,
            source_to_isocentre_mm=650.0,
            pixel_mm=(200 / size[0],) * 2,
            size=size,
            rao_lao_deg=primary,
            cra_cau_deg=secondary,
            mirrored=mirrored,
        )
        said.append(c_arm.camera())
        K = said[-1].intrinsics * [[1.03, 1, 1], [1, 1.03, 1], [1, 1, 1]]
        K[:2, 2] += centre
        turn = np.radians(off_deg) * rng.normal(size=3) / np.sqrt(3)
        pose = rigid.from_rotation_translation(rigid.exp_so3(turn), rng.normal(0, 10, 3))
        true.append(Camera(K, pose @ said[-1].camera_from_world, size))
    return said, true


def drawn(true, points, missing=0, false=2, seed=0):
    """What cameras show of points, no physics but noise, with beads missing and false ones."""
    rng = np.random.default_rng(seed)
    images = []
    for camera in true:
        shown = camera.project(points)[rng.permutation(len(points))[missing:]]
        pixels = [*rng.normal(shown, 0.08), *rng.uniform(200, 800, (false, 2))]
        radii = 1.5 * camera.focal_px / camera.depth(points).mean()
        beads = [Bead(np.array(pixel), radii, 1.0, 0.6, 0.08) for pixel in rng.permutation(pixels)]
        flat = np.zeros(camera.size[::-1], np.float32)
        images.append(BeadImage(XRay(flat, np.ones(flat.shape, bool), None), beads))
    return images


def turned_model(seed=0):
    rng = np.random.default_rng(seed)
    return (MODEL - MODEL.mean(axis=0)) @ rigid.exp_so3(rng.normal(size=3)).T + rng.normal(0, 10, 3)


def world_from_found(cameras, true, points):
    """The pose (4, 4) that takes the beads found nearest to those that they are, each named by a camera, and the largest distance."""
    model = cameras[0].measured
    at = {}
    for camera, truth in zip(cameras, true, strict=True):
        for bead in camera.beads:
            off = np.linalg.norm(truth.project(points) - bead.pixel, axis=1)
            at.setdefault(bead.name, set()).add(int(off.argmin()))
    assert all(len(each) == 1 for each in at.values())  # one bead in all images
    to = points[[at[name].pop() for name in model.names]]
    a, b = model.points - model.points.mean(axis=0), to - to.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    R = u @ vt
    assert np.linalg.det(R) > 0  # not its mirror image
    pose = rigid.from_rotation_translation(R, to.mean(axis=0) - R @ model.points.mean(axis=0))
    return pose, np.linalg.norm(rigid.transform_points(pose, model.points) - to, axis=1).max()


def errors(cameras, true, points):
    """Median and rms px of each camera within 80 mm of the beads."""
    pose, _ = world_from_found(cameras, true, points)
    away = np.random.default_rng(1).normal(size=(300, 3))
    away *= 80 * np.linspace(0, 1, 300)[:, None] ** (1 / 3) / np.linalg.norm(away, axis=1)[:, None]
    near = cameras[0].measured.points.mean(axis=0) + away
    world = rigid.transform_points(pose, near)
    off = [
        np.linalg.norm(camera.camera.project(near) - truth.project(world), axis=1)
        for camera, truth in zip(cameras, true, strict=True)
    ]
    return np.median(off, axis=1), np.sqrt(np.mean(np.square(off), axis=1))


@pytest.mark.parametrize("mirrored", [False, True])
def test_beads_that_nobody_measured_are_found_among_false_ones(mirrored):
    said, true = said_and_true((1024, 1024), mirrored=mirrored)
    points = turned_model()
    if mirrored:  # nobody said so
        said, _ = said_and_true((1024, 1024))
    cameras = calibrate_from_beads(drawn(true, points), UnknownBeads(12, FARTHEST_MM), cameras=said)
    assert len(cameras[0].measured.names) == 12
    _, off_mm = world_from_found(cameras, true, points)
    assert off_mm < 0.15
    median, rms = errors(cameras, true, points)
    assert median.max() < 0.3
    assert (rms < 3 * np.array([each.sd_px for each in cameras])).all()
    assert cameras[0].measured_sd_mm < 0.1


def refused(images, beads=None, **how):
    with pytest.raises(InputError) as caught:
        calibrate_from_beads(images, beads or UnknownBeads(12, FARTHEST_MM), **how)
    return str(caught.value)


def test_what_is_wrong_with_unknown_beads_is_said():
    said, true = said_and_true((1024, 1024))
    images = drawn(true, turned_model())
    assert "found 2, expected 3 or more" in refused(images[:2], cameras=said[:2])
    assert "angles are missing" in refused(images)
    alike, _ = said_and_true((1024, 1024), angles=((0, 0), (3, 0), (6, 2)))
    assert "degrees apart" in refused(images[:3], cameras=alike)
    others = [drawn([each], turned_model(n), missing=3)[0] for n, each in enumerate(true[:3])]
    assert "fewer than 6 beads in common" in refused(others, cameras=said[:3])
    hidden = drawn(true, turned_model(), missing=1)
    assert "expected 12" in refused(hidden[:3], UnknownBeads(12, FARTHEST_MM), cameras=said[:3])
    for farthest_mm in (None, -1.0):
        with pytest.raises(InputError, match="no X-ray shows how large they are"):
            UnknownBeads(12, farthest_mm)
    with pytest.raises(InputError, match="found 5, expected 6 or more"):
        UnknownBeads(5, 70.0)


@pytest.fixture(scope="module")
def x_rays():
    """What a C-arm's angles say of X-rays by RTK of the phantom before and behind bone, how they were taken, and the X-rays."""
    pytest.importorskip("itk", reason="itk-rtk makes the X-rays: pip install itk-rtk")
    said, true = said_and_true((500, 500))
    return said, true, take_phantom(true, turned_model())


def test_x_rays_by_rtk_show_beads_and_cameras(x_rays):
    said, true, images = x_rays
    beads = UnknownBeads(12, FARTHEST_MM)
    cameras = calibrate_from_beads(images, beads, cameras=said, pixel_mm=0.4)
    median, rms = errors(cameras, true, turned_model())
    assert median.max() < 0.3
    assert (rms < 3 * np.array([each.sd_px for each in cameras])).all()
    assert world_from_found(cameras, true, turned_model())[1] < 0.2


def test_the_program_measures_beads_and_says_what_it_lacks(x_rays, tmp_path, capsys):
    words = ["calibrate", "--unknown-beads", "12", "--json", "--intensity", "linear"]
    words += ["--source-to-detector-mm", "1000", "--out", str(tmp_path / "cameras.json")]
    for name, image in zip("ABCD", x_rays[2], strict=True):
        sitk.WriteImage(sitk.GetImageFromArray(image), str(tmp_path / f"{name}.png"))
        words += ["--view", name, str(tmp_path / f"{name}.png")]
    words += ["--farthest-mm", f"{FARTHEST_MM:.2f}"]
    for more, missing in (
        ([], "A: its C-arm's rao_lao_deg is missing"),
        (["--angles", "A", "0", "0"], "A: its C-arm's pixel_mm is missing"),
    ):
        assert main([*words, *more]) == 2
        assert missing in capsys.readouterr().err
    words += ["--pixel-mm", "0.4"]
    for name, angles in zip("ABCD", ANGLES, strict=True):
        words += ["--angles", name, *map(str, angles)]
    assert main(words) == 0
    assert len(json.loads(capsys.readouterr().out)["views"]) == 4
    assert "the two that are furthest apart" in (tmp_path / "cameras.html").read_text()
    measured = read_bead_model(tmp_path / "cameras.csv")
    # From then on the file is a model as any other.
    again = calibrate_from_beads(x_rays[2][:1], measured, pixel_mm=0.4)
    assert len(again[0].beads) >= 11


def test_a_header_says_about_the_camera(tmp_path):
    angles = {"primary": "-31.75", "secondary": "12.5", "image": pixels(1)}
    path = write_xa(tmp_path / "a.dcm", **angles)
    found = camera_as_said(path, load_image(path), {})
    whole = read_header(path).values
    expected = CArm(**{**whole, "size": found.size}).camera()
    np.testing.assert_allclose(found.projection_matrix, expected.projection_matrix)
    turned = camera_as_said(path, load_image(path), {"rao_lao_deg": 20.0})
    axis = turned.camera_from_world[2, :3] @ found.camera_from_world[2, :3]
    assert np.degrees(np.arccos(axis)) > 40
    bare = write_xa(tmp_path / "b.dcm", **angles, DistanceSourceToDetector=None)
    with pytest.raises(InputError, match="source_to_detector_mm is missing, which helps"):
        camera_as_said(bare, load_image(bare), {})
