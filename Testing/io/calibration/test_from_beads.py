"""Cameras come from beads in X-rays by RTK, and what goes wrong is said in a sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.bead_scene import PHANTOM, draw_beads, random_camera, take_phantom
from helpers.file_io import write_json, write_values
from helpers.refusals import refusal, refuses
from numpy.testing import assert_array_equal
from tiny_case import run

from MultiViewRegistrationLib import Camera, calibrate_from_beads
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.beads import Bead
from MultiViewRegistrationLib.imaging.xray import XRay
from MultiViewRegistrationLib.io.calibration.from_beads import (
    BeadImage,
    find_in_image,
)
from MultiViewRegistrationLib.io.calibration.read import read_calibration
from MultiViewRegistrationLib.io.files import InputFile
from MultiViewRegistrationLib.io.points import BeadModel, read_bead_model
from MultiViewRegistrationLib.io.view_record import ViewRecord

SIZE = (400, 400)
MODEL = read_bead_model(PHANTOM)


def two_cameras():
    first = random_camera(np.random.default_rng(3), size=SIZE, focal=(5.0, 6.0))
    turn = rigid.about(first.camera_from_world[:3, 3], rigid.exp_se3([0, 1.4, 0, 0, 0, 0]))
    K = first.intrinsics + [[0, 0, 25.0], [0, 0, -18], [0, 0, 0]]
    return [first, Camera(K, turn @ first.camera_from_world, SIZE)]


@pytest.fixture(scope="module")
def images():
    pytest.importorskip("itk", reason="itk-rtk makes the X-rays: pip install itk-rtk")
    return take_phantom(two_cameras(), MODEL.points)


def test_beads_are_looked_for_within_the_field():
    image = draw_beads(two_cameras()[0], MODEL.points)
    image[:, :80] = 0  # lead
    valid = find_in_image(image, len(MODEL.points)).xray.valid
    assert not valid[:, :70].any() and valid[:, 100:].all()


@pytest.mark.slow
def test_the_program_writes_cameras_and_a_report(images, tmp_path, capsys):
    for name, image in zip(("ap", "lat"), images, strict=True):
        write_values(tmp_path / f"{name}.png", image)
    out = tmp_path / "cameras.json"
    views = f"--view AP {tmp_path}/ap.png --view LAT {tmp_path}/lat.png --mirrored no --out {out}"
    run(f"calibrate --beads {PHANTOM} --intensity linear --json {views}")
    answer = json.loads(capsys.readouterr().out)
    assert [view["name"] for view in answer["views"]] == ["AP", "LAT"]
    assert np.shape(answer["views"][1]["projection_matrix"]) == (3, 4)
    page = out.with_suffix(".html").read_text()
    assert page.count("data:image/svg+xml") == 2 and "Detected beads in LAT" in page
    first, _ = read_calibration(out)
    record = first.given_to(ViewRecord("AP", InputFile("ap.png", tmp_path / "ap.png")))
    assert 0 < record.uncertainty["translation_sd_mm"] < 0.5


@pytest.mark.slow
def test_intrinsics_that_are_known_stay_as_they_are(images):
    known = two_cameras()[:1]
    (found,) = calibrate_from_beads(images[:1], MODEL, intrinsics="known", cameras=known)
    assert_array_equal(found.camera.intrinsics, known[0].intrinsics)
    assert 0 < found.sd_px < 0.3
    near = np.random.default_rng(0).uniform(-50, 50, (100, 3))
    off = np.linalg.norm(found.camera.project(near) - known[0].project(near), axis=1)
    assert np.median(off) < 0.3
    assert found.uncertainty["principal_point_sd_px"] < 1e-6


@pytest.fixture(scope="module")
def near(images):
    """The images with their beads, and cameras near which these are soon named."""
    seen = (find_in_image(image, len(MODEL.points)) for image in images)
    return [replace(each, near=camera) for each, camera in zip(seen, two_cameras(), strict=True)]


def refused(images, model=MODEL, **how):
    return refusal(calibrate_from_beads, images, model, **how)


@pytest.mark.slow
def test_what_goes_wrong_is_said(images, near):
    flat = BeadModel(MODEL.names, MODEL.points * [1, 1, 0], "flat.csv")
    assert "in one plane" in refused(images, flat, mirrored=False)
    inches = BeadModel(MODEL.names, MODEL.points / 25.4, "inches.csv")
    assert "in inches" in refused(images[:1], inches)
    assert "is mirrored by its beads" in refused([images[0][:, ::-1].copy()], mirrored=False)
    empty = take_phantom(two_cameras()[:1], np.empty((0, 3)), body=False)
    message = refused([near[0], empty[0]], names=["AP", "LAT"])
    assert message.startswith("LAT: ") and "expected 6 or more" in message


@pytest.mark.slow
def test_ambiguous_mirroring_is_requested():
    """16 beads of little depth fit about equally well both ways."""
    rng = np.random.default_rng(1)
    points = rng.uniform(-4, 4, (16, 3))
    camera = random_camera(rng, off_px=40, mirrored=True)
    shown = camera.project(points)[rng.permutation(16)[:15]]
    pixels = [*rng.normal(shown, 0.08), *rng.uniform(200, 800, (3, 2))]
    beads = [Bead(np.array(pixel), 9.0, 1.0, 0.6, 0.08) for pixel in pixels]
    flat = np.zeros(camera.size[::-1], np.float32)
    image = BeadImage(XRay(flat, np.ones(flat.shape, bool), None), beads)
    model = BeadModel(tuple(map(str, range(16))), points)
    message = refused([image], model)
    assert "about equally well mirrored and not" in message and "--mirrored" in message
    (found,) = calibrate_from_beads([image], model, mirrored=True)
    assert found.camera.intrinsics[0, 0] < 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,x,y,z\na,1,2,3\n", "has 1 beads, expected 6 to 500"),
        ("\n".join(f"b{n},{n},{2 * n},{3 * n}" for n in range(8)), "on one line"),
        ("a,1,2\n", "line 1 is"),
        (
            "\n".join(f"b{n},{x},{y},{z}" for n, (x, y, z) in enumerate(np.ndindex(2, 2, 2))),
            "is symmetric",
        ),
        ("\n".join(["a,0,0,0", "a,9,9,9", *(f"b{n},{n**2},{n},5" for n in range(6))]), "twice"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(text, message, file_of):
    with refuses(message):
        read_bead_model(file_of("model.csv", text))


def test_a_model_is_read_from_json_and_from_markups(tmp_path):
    by_name = dict(zip(MODEL.names, MODEL.points.tolist(), strict=True))
    write_json(tmp_path / "model.json", by_name)
    write_json(tmp_path / "list.json", MODEL.points.tolist())
    points = [{"label": name, "position": place} for name, place in by_name.items()]
    markups = {"markups": [{"coordinateSystem": "LPS", "controlPoints": points}]}
    write_json(tmp_path / "model.mrk.json", markups)
    for file in ("model.json", "list.json", "model.mrk.json"):
        assert_array_equal(read_bead_model(tmp_path / file).points, MODEL.points)
    assert read_bead_model(tmp_path / "model.mrk.json").names == MODEL.names
