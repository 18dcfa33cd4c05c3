"""An Autoscoper trial, with the calibration of Autoscoper's own sample data, whose projections are known from elsewhere."""

import numpy as np
import pytest
from helpers.file_io import read_values, write_values
from helpers.refusals import tells, warns
from helpers.wrist_mayacam import WRIST
from numpy.testing import assert_allclose, assert_array_equal
from tiny_case import refusal

from MultiViewRegistrationLib.io.datasets.autoscoper import read_autoscoper, read_trial

TRIAL = """# a comment
Version 1.1
mayaCam_csv cam1.txt
mayaCam_csv ./cam2.txt
CameraRootDir radiographs/cam1
CameraRootDir radiographs\\cam2/
VolumeFile volumes/radius.tif
VolumeFlip 1 0 1
VoxelSize 0.4 0.5 0.6
VolumeFile volumes/ulna.tif
VolumeFlip 0 0 0
VoxelSize 0.4 0.5 0.6
RenderResolution 512 512
OptimizationOffsets 0.1 0.1 0.1 0.1 0.1 0.1
"""
SIZE = (24, 20)


@pytest.fixture
def trial(tmp_path):
    """A small trial with two cameras of 24 x 20 pixels, two frames and two volumes.

    Returns the path of its .cfg.
    """
    random = np.random.default_rng(6)
    for number in (1, 2):
        calibration = WRIST[number - 1].replace("1760,1760", f"{SIZE[0]},{SIZE[1]}")
        (tmp_path / f"cam{number}.txt").write_text(calibration)
        folder = tmp_path / "radiographs" / f"cam{number}"
        folder.mkdir(parents=True)
        for frame in (2, 10):
            pixels = random.integers(1000, 4000, SIZE[::-1]).astype(np.uint16)
            write_values(folder / f"cam{number}.{frame:04d}.tif", pixels)
        (folder / ".hidden.tif").write_bytes(b"")
    (tmp_path / "volumes").mkdir()
    for name in ("radius", "ulna"):
        values = random.integers(0, 4000, (5, 6, 7)).astype(np.uint16)
        write_values(tmp_path / "volumes" / f"{name}.tif", values)
    (tmp_path / "wrist.cfg").write_text(TRIAL)
    return tmp_path / "wrist.cfg"


def test_frames_are_ordered_by_number(trial, tmp_path):
    images = read_autoscoper(trial, 1, "linear", "mm", "radius").images
    stored = read_values(tmp_path / "radiographs" / "cam2" / "cam2.0010.tif")
    assert_array_equal(images["camera2"].values, stored)


def test_a_volume_is_flipped_by_volumeflip_and_lies_at_the_origin(trial, tmp_path):
    stored = read_values(tmp_path / "volumes" / "radius.tif")
    volume = read_autoscoper(trial, 0, "linear", "mm", "radius").ct.volume
    assert_array_equal(volume.values, stored[::-1, :, ::-1])
    assert_allclose(volume.ct_from_index, np.diag([0.4, 0.5, 0.6, 1]))


@pytest.mark.parametrize(
    "old, new, parts",
    [
        ("mayaCam_csv ./cam2.txt\n", "", "1 mayaCam_csv and 2 CameraRootDir"),
        ("VoxelSize 0.4 0.5 0.6\nVolumeFile", "VolumeFile", "2 VolumeFile, 1 VoxelSize"),
        ("cam1.txt", "none.txt", "none.txt ... cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is not known")
def test_what_is_wrong_in_a_trial_is_refused(trial, old, new, parts):
    trial.write_text(TRIAL.replace(old, new))
    message = refusal(read_autoscoper, trial, 0, "linear", "mm", "radius")
    assert tells(message, parts), message


def test_missing_volume_and_frame_are_requested(trial):
    assert "several volumes, expected one of radius, ulna" in refusal(
        read_autoscoper, trial, 0, "linear", "mm"
    )
    assert "from 0 to 1" in refusal(read_autoscoper, trial, 2, "linear", "mm", "radius")


def test_frames_of_other_numbers_and_unknown_keys_warn(trial, tmp_path):
    folder = tmp_path / "radiographs" / "cam2"
    (folder / "cam2.0010.tif").rename(folder / "cam2.0012.tif")
    with warns("cam1.0010.tif, cam2.0012.tif, whose numbers differ"):
        read_autoscoper(trial, 1, "linear", "mm", "radius")
    trial.write_text(TRIAL + "VoxelSise 1 1 1\n")
    with warns('"VoxelSise" is not known'):
        read_trial(trial)
