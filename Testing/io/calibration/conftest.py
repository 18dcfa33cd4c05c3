"""Calibrations from text."""

import pytest

from MultiViewRegistrationLib.io.calibration.read import read_calibration


@pytest.fixture
def read_text(tmp_path):
    """A function: the views of a file with this text."""

    def read(text, name="camera.txt", **given):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_calibration(path, **given)

    return read
