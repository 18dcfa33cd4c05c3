"""Where the CT is to begin, from files of other programs: a pose, and landmarks."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import numpy as np

from ..errors import InputError
from ..io.points import read_markups
from ..io.pose_files import read_start_pose
from ..mrml.frames import lps_from_ras, ras_from_lps
from ..mrml.loading import landmark_list
from ..mrml.registration import Registration
from ..mrml.xray import XRayView, lens_of, place_of
from .questions import Asked, Question, ask

#: What a file with a pose may leave open.
QUESTIONS = {
    question.key: question
    for question in (
        Question(
            "frame",
            "Axes",
            "Which way the axes run, of both of its frames.",
            (("lps", "LPS (DICOM, ITK; all .tfm and .h5)"), ("ras", "RAS (3D Slicer's scene)")),
            stand_in="lps",
        ),
        Question(
            "direction",
            "Direction",
            "Whether it takes points of the CT to the world, or is the inverse, which ITK's resampling filters "
            "and the files that Slicer saves have.",
            (("forward", "the CT to the world"), ("resampling", "the world to the CT (saved by Slicer)")),
            stand_in="forward",
        ),
    )
}
#: Where the points of a file with an X-ray's landmarks lie.
PLACES = Question(
    "place",
    "Points lie",
    "What the coordinates in the file are, before its LPS or RAS.",
    (("scene", "on the X-ray as it lies in the scene"), ("image", "on the image's own volume")),
)


def read_pose(path: str | os.PathLike, answers: dict[str, str]) -> Asked:
    """world_from_ct (4, 4), LPS, from a file of `io.start_pose.read_start_pose`, as far as the answers to what it leaves open go."""
    return ask(partial(read_start_pose, path), QUESTIONS, answers)


def landmarks_to_ct(registration: Registration, path: str | os.PathLike) -> int:
    """Put the points of a .fcsv or .mrk.json, LPS or RAS of the CT's own frame, into the CT's landmarks; those of a name that is there
    are moved. Returns their number. InputError as `read_markups`, and without a CT."""
    if registration.ct is None:
        raise InputError("CT: none is chosen, expected the one whose landmarks these are; choose it first.")
    points = read_markups(path)
    _put(landmark_list(registration), {name: ras_from_lps(point) for name, point in points.items()}, world=False)
    return len(points)


def landmarks_to_xray(registration: Registration, view: XRayView, path: str | os.PathLike, place: str) -> int:
    """The same for the landmarks of an X-ray.

    place: of PLACES. "scene": points of the world, where the X-ray lies, as a list of landmarks of this module is saved; each is taken as
        the pixel on which it falls. "image": points of the volume that the image was made from, as any program has them that knows nothing
        of the X-ray's geometry; a picture without spacing has a pixel a mm.

    InputError as `read_markups`, without a geometry, and for a point that does not fall on the image.
    """
    if place not in dict(PLACES.choices):
        raise InputError(f"{PLACES.label}: nothing is chosen, expected where the points in the file lie; choose it.")
    camera = view.camera
    pixel_of = camera.project if place == "scene" else _pixel_on_volume(view)
    pixels = {name: pixel_of(point) for name, point in read_markups(path).items()}
    size = np.array(view.size)
    beside = [name for name, pixel in pixels.items() if not (np.abs(pixel - (size - 1) / 2) <= size / 2).all()]
    if beside:
        raise InputError(
            f'{os.fspath(path)}: the landmark "{beside[0]}" falls beside the image of {view.name}, expected it to be shown '
            "there; say otherwise where the points lie, or choose another file."
        )
    _put(landmark_list(registration, view), {name: view.ras_of(pixel) for name, pixel in pixels.items()}, world=True)
    return len(pixels)


def _pixel_on_volume(view: XRayView) -> Callable[[np.ndarray], np.ndarray]:
    """Takes points of the volume, LPS mm, to pixels of the image that was made from it: flipped, and undistorted, as that is."""
    if view.source is None:
        raise InputError(
            f"{view.name}: its volume is gone, expected the one that the points lie on; say that they lie in the scene."
        )
    index_from_lps = np.linalg.inv(lps_from_ras(place_of(view.source)))
    content = view.content
    lens = lens_of(content)

    def pixel(point: np.ndarray) -> np.ndarray:
        column, row = (index_from_lps @ [*point, 1.0])[:2]
        at = np.array([view.size[0] - 1 - column if content.get("flipped") else column, row])
        return at if lens is None else lens[1].undistort_pixels(lens[0], at)

    return pixel


def _put(markups, points: dict[str, np.ndarray], *, world: bool) -> None:
    """Set control points, RAS mm, by their label."""
    labels = {markups.GetNthControlPointLabel(i): i for i in range(markups.GetNumberOfControlPoints())}
    for name, point in points.items():
        if name in labels:
            (markups.SetNthControlPointPositionWorld if world else markups.SetNthControlPointPosition)(
                labels[name], *map(float, point)
            )
        else:
            (markups.AddControlPointWorld if world else markups.AddControlPoint)(*map(float, point), name)
