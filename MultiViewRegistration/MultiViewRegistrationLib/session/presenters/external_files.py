"""Geometry, start poses and landmarks from files of other programs.

The user answers what such a file leaves open.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, MissingInformation
from ...geometry.fields import Field
from ...io.calibration.calibrated import OPEN, CalibratedView
from ...io.calibration.matrices import read_number
from ...io.points import read_markups
from ...io.transforms import read_start_pose
from ...mrml.landmarks import landmark_list
from ...mrml.nodes import lps_from_ras, ras_from_lps
from ...mrml.registration import Registration
from ...mrml.xray import XRayView, on_image, place_of
from ...translation import _
from ..geometry import set_camera

#: What a person has answered, by the keys of the questions; "" for nothing.
Answers = dict[str, str]


@dataclass(frozen=True)
class Question:
    """What a file leaves open.

    Attributes
    ----------
    key
        The name of the answer.
    label
        A few words.
    tip
        What it decides.
    choices
        The possible answers and their meaning; empty where the answer is typed, then `numbers` says
        how many numbers it has, 0 for a text.
    stand_in
        An answer of the right kind, to find the questions that would follow; "" where there is
        none.
    """

    key: str
    label: str
    tip: str
    choices: tuple[tuple[str, str], ...] = ()
    numbers: int = 0
    stand_in: str = ""

    def value(self, text: str) -> Any:
        """Return the answer as a reader takes it: a text, a number, or an array of them.

        InputError where the text has not that many.
        """
        if not self.numbers:
            return text
        words = re.split(r"[;\s]+|,\s+", text.strip())
        try:
            numbers = [read_number(word, self.label) for word in words]
        except InputError:
            numbers = []
        if len(numbers) != self.numbers:
            raise InputError(
                _(
                    '{label}: found "{text}", expected {count} numbers, with spaces between; correct it.'
                ),
                label=self.label,
                text=text,
                count=self.numbers,
            )
        return numbers[0] if self.numbers == 1 else np.array(numbers)


@dataclass(frozen=True, eq=False)
class FileReading:
    """The content of a file, as far as it was read.

    Attributes
    ----------
    questions
        That it leaves open, those that were answered among them.
    found
        What it holds, with any answer to those that are open; None where that is not known.
    problem
        A sentence; "" for none, questions that are still open included.
    """

    questions: list[Question]
    found: Any = None
    problem: str = ""


def unanswered(questions: Sequence[Question], answers: Answers) -> list[str]:
    """Return the labels of questions without an answer."""
    return [question.label for question in questions if not answers.get(question.key, "").strip()]


#: The question that a further file answers, and its answer for none.
COMPANION_FILE = "fixed_transforms"
NO_FILE = "none"


def ask_for_file(question: Question, names: Iterable[str]) -> Question:
    """Return the question for a person, where files came together.

    That for a further file is which of these it is.
    """
    if question.key != COMPANION_FILE:
        return question
    tip = _("Where the camera is on what is tracked: drop that file together with this one.")
    none = (NO_FILE, _("none: what is tracked is the camera"))
    return replace(question, tip=tip, choices=(none, *((name, name) for name in names)))


def with_paths(answers: Answers, files: dict[str, Path]) -> Answers:
    """Return the answers as a reader takes them: the path of such a file, by its name."""
    if COMPANION_FILE not in answers:
        return answers
    paths = {name: str(path) for name, path in files.items()} | {NO_FILE: NO_FILE}
    return {**answers, COMPANION_FILE: paths.get(answers[COMPANION_FILE], "")}


def read_with_answers(
    read: Callable[..., Any], questions: dict[str, Question], answers: Answers
) -> FileReading:
    """Read something with the answers so far.

    Parameters
    ----------
    read
        Takes them as keywords; MissingInformation where one is missing.
    questions
        By their keys.
    answers
        As they were typed or chosen, by their keys; "" is none. The reader gets only what the file
        needs.
    """
    needed: list[Question] = []
    given: dict[str, Any] = {}
    open_ = False
    try:
        key, found = _tried(read, given)
        while key is not None:
            question = questions[key]
            needed.append(question)
            answer = answers.get(key, "").strip()
            open_ = open_ or not answer
            if not (answer or question.stand_in):
                return FileReading(needed)
            given[key] = question.value(answer or question.stand_in)
            key, found = _tried(read, given)
    except InputError as error:  # which may be that of a stand-in
        return FileReading(needed, problem="" if open_ else str(error))
    return FileReading(needed, found)


def _tried(read: Callable[..., Any], given: dict[str, Any]) -> tuple[str | None, Any]:
    """Return the key of the next question, or None and the content."""
    try:
        return None, read(**given)
    except MissingInformation as error:
        return error.key, None


def _question(field: Field) -> Question:
    """Return the question for a value that a calibration may leave open."""
    meanings = zip(field.labels, field.choices.values(), strict=True)
    choices = [(label, _(meaning)) for label, meaning in meanings]
    first = next(iter(field.choices), "")
    count = math.prod(field.shape) if field.shape else 0
    number = "1" if field.above == 0 else "0"
    return Question(
        field.key,
        _(field.title),
        _(field.sentence),
        tuple((label, f"{label} ({meaning})" if meaning else label) for label, meaning in choices),
        numbers=1 if isinstance(first, (int, float)) else count,
        stand_in=f"{number} {number}" if count == 2 else str(first),
    )


#: What a file may leave open; the size is the image's.
CALIBRATION_QUESTIONS = {key: _question(field) for key, field in OPEN.items() if key != "size"}


def read_cameras(path: Path, size: tuple[int, int], answers: Answers) -> FileReading:
    """Return the `CalibratedView` cameras of a file, as far as the answers to what it leaves open go.

    Parameters
    ----------
    size
        (columns, rows) of the X-ray's image, for a file that does not say it.
    """
    from ...io.calibration.read import read_calibration

    def read(**given) -> list[CalibratedView]:
        if "intrinsics" in given:
            given["intrinsics"] = given["intrinsics"].reshape(3, 3)
        return read_calibration(path, size=size, **given)

    return read_with_answers(read, CALIBRATION_QUESTIONS, answers)


def use_camera(
    registration: Registration, view: XRayView, camera: CalibratedView, origin: Path
) -> None:
    """Give an X-ray the geometry that was read; an image with distortion is undistorted.

    InputError as `set_camera`.

    Parameters
    ----------
    origin
        The file.
    """
    given = camera.given_to(view.record)
    lens = given.distortion
    name = origin.name
    set_camera(registration, view, given.geometry, size=camera.size, distortion=lens, origin=name)


def describe_camera(camera: CalibratedView) -> str:
    """Return the content that was read, in a sentence or two."""
    words = _("A projection matrix.")
    if camera.camera is not None:
        words = _("A camera of {size[0]} \u00d7 {size[1]} pixels.").format(size=camera.size)
    if camera.distortion is not None:
        count = len(camera.distortion.coefficients)
        words += " " + _("The image will be undistorted ({count} coefficients).").format(
            count=count
        )
    return " ".join([words, *camera.notes])


#: What a file with a pose may leave open.
POSE_QUESTIONS = {
    "frame": Question(
        "frame",
        _("Axes"),
        _("Which way the axes run, of both of its frames."),
        (
            ("lps", _("LPS (DICOM, ITK; all .tfm and .h5)")),
            ("ras", _("RAS (3D Slicer's scene)")),
        ),
        stand_in="lps",
    ),
    "direction": Question(
        "direction",
        _("Direction"),
        _(
            "Whether it takes points of the CT to the world, or is the inverse, which ITK's "
            "resampling filters and the files that Slicer saves have."
        ),
        (
            ("forward", _("the CT to the world")),
            ("resampling", _("the world to the CT (saved by Slicer)")),
        ),
        stand_in="forward",
    ),
}
#: Where the points of a file with an X-ray's landmarks lie.
PLACE_QUESTION = Question(
    "place",
    _("Points lie"),
    _("What the coordinates in the file are, before its LPS or RAS."),
    (
        ("scene", _("on the X-ray as it lies in the scene")),
        ("image", _("on the image's own volume")),
    ),
)


def read_pose(path: Path, answers: Answers) -> FileReading:
    """world_from_ct (4, 4), LPS, from a file of `io.transforms.read_start_pose`, as far as the answers to what it leaves open go."""
    return read_with_answers(partial(read_start_pose, path), POSE_QUESTIONS, answers)


def landmarks_to_ct(registration: Registration, path: Path) -> None:
    """Put the points of a .fcsv or .mrk.json, LPS or RAS of the CT's own frame, into the CT's landmarks.

    Those of a name that is there are moved. InputError as `read_markups`.
    """
    points = {name: ras_from_lps(point) for name, point in read_markups(path).items()}
    _put(landmark_list(registration), points, world=False)


def landmarks_to_xray(registration: Registration, view: XRayView, path: Path, place: str) -> None:
    """Read the landmarks of an X-ray.

    InputError as `read_markups`, without a geometry, and for a point that does not fall on the
    image.

    Parameters
    ----------
    place
        Of PLACE_QUESTION. "scene": points of the world, where the X-ray lies, as a list of landmarks of
        this module is saved; each is taken as the pixel on which it falls. "image": points of the
        volume that the image was made from, as any program has them that knows nothing of the
        X-ray's geometry; a picture without spacing has a pixel a mm.
    """
    camera = view.camera
    pixel_of = camera.project if place == "scene" else _pixel_on_volume(view)
    pixels = {name: pixel_of(point) for name, point in read_markups(path).items()}
    beside = [name for name, pixel in pixels.items() if not on_image(pixel, view.size)]
    if beside:
        raise InputError(
            _(
                '{path}: the landmark "{landmark}" lies outside the image of {name}; choose the other meaning of the '
                "coordinates, or another file."
            ),
            path=path,
            landmark=beside[0],
            name=view.name,
        )
    _put(
        landmark_list(registration, view),
        {name: view.ras_of(pixel) for name, pixel in pixels.items()},
        world=True,
    )


def _pixel_on_volume(view: XRayView) -> Callable[[np.ndarray], np.ndarray]:
    """Return what takes points of the volume, LPS mm, to pixels of the image made from it.

    Flipped, and undistorted, as that is.
    """
    if view.source is None:
        raise InputError(
            _(
                "{name}: its volume is gone, expected the one that the points lie on; say that "
                "they lie in the scene."
            ),
            name=view.name,
        )
    index_from_lps = np.linalg.inv(lps_from_ras(place_of(view.source)))
    flipped = view.record.flipped
    lens = view.record.lens

    def pixel(point: np.ndarray) -> np.ndarray:
        column, row = (index_from_lps @ [*point, 1.0])[:2]
        at = np.array([view.size[0] - 1 - column if flipped else column, row])
        return at if lens is None else lens[1].undistort_pixels(lens[0], at)

    return pixel


def _put(markups: Any, points: dict[str, np.ndarray], *, world: bool) -> None:
    """Set control points, RAS mm, by their label."""
    of = "World" if world else ""
    move = getattr(markups, f"SetNthControlPointPosition{of}")
    add = getattr(markups, f"AddControlPoint{of}")
    count = markups.GetNumberOfControlPoints()
    labels = {markups.GetNthControlPointLabel(i): i for i in range(count)}
    for name, point in points.items():
        if name in labels:
            move(labels[name], *map(float, point))
        else:
            add(*map(float, point), name)


def match(
    xrays: Sequence[str], cameras: Sequence[str], fits: Callable[[int, int], bool]
) -> dict[int, int]:
    """Return which of several cameras took which X-ray, where there is no doubt.

    By the same name; then where the words of one name are among those of another, and of no further
    one; then the only ones left.

    Parameters
    ----------
    xrays, cameras
        Their names.
    fits
        Whether the image of an X-ray may be of a camera, by their numbers.

    Returns
    -------
    The number of the camera by that of the X-ray.
    """
    words = [[_words(name) for name in names] for names in (xrays, cameras)]
    rules: list[Callable[[set[str], set[str]], bool]] = [
        lambda a, b: a == b,
        lambda a, b: bool(a and b) and (a <= b or b <= a),
        lambda a, b: len(xrays) == len(cameras),
    ]
    found: dict[int, int] = {}
    for alike in rules:
        free = [j for j in range(len(cameras)) if j not in found.values()]
        likely = {
            i: [j for j in free if fits(i, j) and alike(a, words[1][j])]
            for i, a in enumerate(words[0])
            if i not in found
        }
        counts = Counter(chain(*likely.values()))
        found |= {i: js[0] for i, js in likely.items() if len(js) == 1 and counts[js[0]] == 1}
    return found


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", name.casefold()))
