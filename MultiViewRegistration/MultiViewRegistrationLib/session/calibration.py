"""The geometry of an X-ray from a calibration file of another program."""

from __future__ import annotations

import os
from pathlib import Path

from ..io.calibration.calibrated import CalibratedView
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from .geometry import set_camera, set_matrix
from .questions import Asked, Question, ask

#: What a file may leave open; `io.calibration.calibrated.QUESTIONS` has the same in the words of the command line. The size is the image's.
QUESTIONS = {
    question.key: question
    for question in (
        Question(
            "unit",
            "Lengths in",
            "The unit of the file's lengths.",
            (("mm", "mm"), ("cm", "cm"), ("m", "m")),
            stand_in="mm",
        ),
        Question(
            "axes",
            "World axes",
            "Which way the file's world axes run.",
            (("lps", "LPS (DICOM, ITK)"), ("ras", "RAS (3D Slicer)"), ("own", "its own (a calibration object's)")),
            stand_in="lps",
        ),
        Question(
            "first_pixel",
            "First pixel at",
            "Which coordinates the centre of the top-left pixel has.",
            (("0", "0 (OpenCV)"), ("0.5", "0.5 (its corner is 0, 0)"), ("1", "1 (MATLAB)")),
            numbers=1,
            stand_in="0",
        ),
        Question(
            "projects_to",
            "Projects to",
            "What a 4x4 matrix with a perspective in its last row projects to.",
            (("opengl", "-1 to 1, y up (OpenGL, VTK, ImFusion)"),),
            stand_in="opengl",
        ),
        Question(
            "detector_spacing_mm",
            "Detector pixel, mm",
            "Of the image of projections: between columns, between rows.",
            numbers=2,
            stand_in="1 1",
        ),
        Question(
            "detector_origin_mm",
            "Detector origin, mm",
            "Where on the detector the centre of the top-left pixel lies: the origin of the image of projections.",
            numbers=2,
            stand_in="0 0",
        ),
        Question(
            "intrinsics",
            "Intrinsics, pixels",
            "Of a camera at the source that looks along its own z axis, by rows: fx 0 cx, 0 fy cy, 0 0 1.",
            numbers=9,
        ),
        Question(
            "camera_frame",
            "Camera's frame",
            "The name, in the file, of the frame at the source: x along columns, y down rows, z to the detector.",
        ),
        Question("world_frame", "World's frame", "The name, in the file, of the frame that is to be the world."),
        Question(
            "fixed_transforms",
            "Configuration",
            "The path of the Plus configuration, or of the transform file, that says where the "
            'camera is on what is tracked; "none" where a transform is the camera\'s own.',
        ),
        Question(
            "direction",
            "Direction",
            "Whether the transform takes points of the C-arm to the world, or is the inverse, which the files "
            "that Slicer saves have.",
            (("forward", "the C-arm to the world"), ("resampling", "the world to the C-arm (saved by Slicer)")),
            stand_in="forward",
        ),
    )
}


def read_cameras(path: str | os.PathLike, size: tuple[int, int], answers: dict[str, str]) -> Asked:
    """The `CalibratedView` cameras of a file, as far as the answers to what it leaves open go.

    size: (columns, rows) of the X-ray's image, for a file that does not say it.
    """
    from ..io.calibration.read import read_calibration

    def read(**given) -> list[CalibratedView]:
        if "intrinsics" in given:
            given["intrinsics"] = given["intrinsics"].reshape(3, 3)
        return read_calibration(path, size=size, **given)

    return ask(read, QUESTIONS, answers)


def camera_of(view: XRayView, cameras: list[CalibratedView]) -> int | None:
    """Which of them is the X-ray's: the only one, or the one with its name; None where a person has to say."""
    if len(cameras) == 1:
        return 0
    named = [i for i, camera in enumerate(cameras) if camera.name.casefold() == view.name.casefold()]
    return named[0] if len(named) == 1 else None


def use_camera(registration: Registration, view: XRayView, camera: CalibratedView, origin: str | os.PathLike) -> None:
    """Give an X-ray the geometry that was read; an image with distortion is undistorted. InputError as `set_camera` and `set_matrix`.

    origin: the file.
    """
    name = Path(origin).name
    if camera.camera is None:
        set_matrix(registration, view, camera.projection_matrix, camera.size, name)
    else:
        set_camera(registration, view, camera.camera, camera.distortion, name)


def describe_camera(camera: CalibratedView) -> str:
    """What was read, in a sentence or two."""
    told = (
        "A projection matrix"
        if camera.camera is None
        else f"A camera of {camera.size[0]} \u00d7 {camera.size[1]} pixels"
    )
    if camera.distortion is not None:
        told += f", with distortion ({len(camera.distortion.coefficients)} coefficients): the image will be undistorted"
    return " ".join([f"{told}.", *camera.notes])


def requirements_of(path: str | os.PathLike) -> str | None:
    """The file of Resources that lists the packages without which a calibration cannot be read; None where it needs none."""
    from ..io.hdf5 import is_hdf5

    if str(path).lower().endswith((".yml", ".yaml")):
        return "requirements_yaml.txt"
    try:
        return "requirements_hdf5.txt" if is_hdf5(path) else None
    except OSError:  # reported where it is read
        return None
