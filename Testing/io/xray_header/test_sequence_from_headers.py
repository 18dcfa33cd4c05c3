"""The frames of multi-frame DICOM X-rays, each with its own image and camera."""

import numpy as np
from helpers.refusals import warns
from imaging.xray_files import pixels, write_xa
from numpy.testing import assert_allclose
from tiny_case import minimal

from MultiViewRegistrationLib import FrameSequence


def run(path, primary, *increments):
    """A run whose frames turn by these from the first, and have other images."""
    image = pixels(seed=int(primary) % 7, frames=len(increments))
    return write_xa(
        path,
        str(primary),
        "1",
        image,
        PositionerPrimaryAngleIncrement=list(increments),
        PositionerSecondaryAngleIncrement=["0"] * len(increments),
        PositionerMotion="DYNAMIC",
        PatientOrientation=["P" if primary else "L", "F"],
    )


def test_frames_begin_at_the_cases_own_and_each_has_its_camera(write_case, tmp_path):
    turning = run(tmp_path / "1.dcm", 0, "0", "4", "8", "12")
    still = run(tmp_path / "2.dcm", 90, "0", "0", "0", "0", "0")
    content = minimal()
    for entry, image, frame in zip(content["views"], (turning, still), (1, 2), strict=True):
        del entry["projection_matrix"]
        entry.update(image=str(image), frame=frame)
    sequence = FrameSequence.of_images(write_case(content))
    assert sequence.names == ["frame 1", "frame 2", "frame 3"]
    frames = [sequence.load(number).views for number in range(3)]
    axes = np.array([[view.camera.camera_from_world[2, :3] for view in views] for views in frames])
    turned = np.degrees(np.arccos(np.clip(np.einsum("nvi,vi->nv", axes, axes[0]), -1, 1)))
    assert_allclose(turned, [[0, 0], [4, 0], [8, 0]], atol=0.01)
    first, *others = (views[1].xray.line_integrals for views in frames)
    assert not any(np.array_equal(first, other) for other in others)


def test_images_of_different_length_warn_and_the_shorter_one_counts(write_case, tmp_path):
    content = minimal()
    for entry, count in zip(content["views"], (4, 3), strict=True):
        del entry["projection_matrix"]
        entry["image"] = str(run(tmp_path / f"{count}.dcm", 90 * (count - 3), *["0"] * count))
    with warns("frames of different number"):
        assert len(FrameSequence.of_images(write_case(content))) == 3
