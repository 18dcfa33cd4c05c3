"""An image intensifier's distortion by mvreg calibrate --plate, and X-rays without it."""

import json

import numpy as np
import pytest
from helpers.file_io import write_values
from helpers.refusals import refuses
from tiny_case import run

from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.geometry.camera import inverted
from MultiViewRegistrationLib.geometry.plate import POWERS, PolynomialDistortion
from MultiViewRegistrationLib.io.calibration.from_plate import read_plate

SIZE = (200, 200)


def pincushion():
    coefficients = np.zeros((len(POWERS), 2))
    at = {tuple(power): n for n, power in enumerate(POWERS.tolist())}
    for x, y in ((3, 0), (1, 2)):
        coefficients[at[x, y], 0] = coefficients[at[y, x], 1] = 4.0
    return PolynomialDistortion(coefficients, SIZE)


def plate_image(path):
    """Detected intensity behind a plate with holes of 4 px radius, 22 px apart."""
    i, j = np.meshgrid(np.arange(-3, 4), np.arange(-3, 4))
    nodes = pincushion().distort(22.0 * np.column_stack([i.ravel(), j.ravel()]) + [101, 99])
    v, u = np.mgrid[: SIZE[1], : SIZE[0]]
    image = np.full(v.shape, 8000.0)
    for column, row in nodes:
        image += 16000 / (1 + np.exp((np.hypot(u - column, v - row) - 4) / 0.5))
    image += np.random.default_rng(1).normal(0, 60, image.shape)
    write_values(path, image.astype(np.uint16))
    return nodes


@pytest.mark.slow
def test_the_distortion_of_a_plate_is_measured_and_undone(tmp_path, capsys):
    nodes = plate_image(tmp_path / "plate.png")
    out = tmp_path / "plate.json"
    words = f"calibrate --plate holes --view AP {tmp_path}/plate.png --out {out}"
    run(f"{words} --intensity linear --json")
    (pose,) = json.loads(capsys.readouterr().out)["poses"]
    assert pose["residual_px"] < 0.15 < 1 < pose["largest_px"]
    assert "shifted by up to" in out.with_suffix(".html").read_text()
    measured = read_plate(out)
    straight = inverted(measured.distortions[0].distort, nodes).reshape(7, 7, 2)
    for axis in (0, 1):  # evenly spaced along both axes
        assert np.abs(np.diff(straight, 2, axis=axis)).max() < 0.3
    raw = measured.straightened(tmp_path / "plate.png", None)
    assert raw.values.shape == SIZE[::-1] and np.isfinite(raw.values[60:140, 60:140]).all()


@pytest.mark.parametrize(
    "words, said",
    [
        ("--view LAT x.png", "--angles: those of AP are missing"),
        ("--angles PA 0 0", '--angles: found "PA", expected the name of a --view'),
        ("--angles AP left 0", "expected two numbers in degrees"),
    ],
)
def test_what_angles_lack_is_said(tmp_path, capsys, words, said):
    given = f"calibrate --plate beads --view AP x.png --out {tmp_path}/p.json {words}"
    assert main(given.split()) == 2
    assert said in capsys.readouterr().err


def test_another_file_is_no_distortion(file_of):
    with refuses("is no file of distortions"):
        read_plate(file_of("a.json", "{}"))
