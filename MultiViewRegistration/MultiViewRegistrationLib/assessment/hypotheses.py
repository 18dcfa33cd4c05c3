"""What may be wrong with a case whose registration does not fit: each hypothesis with the views as they would be if it were true."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ..imaging.view import SharedUnknowns, View
from ..imaging.xray import XRay
from ..registration.cameras import CALIBRATED

#: What an angle and the place of a C-arm may be wrong by, where it is asked whether they are: standard deviations.
ANGLE_SD_DEG, PLACE_SD_MM = 5.0, 15.0
#: The same of the distance from source to detector, as a share of it.
DISTANCE_SD = 0.05


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One fault that a case may have.

    cause: which, in a word.   about: the names of the views that it is about, none where it is all of them.
    views: as they would be without it, or with what it leaves unknown.   shared: what would be unknown in all views.
    sentence: what to say where it holds.
    """

    cause: str
    about: tuple[str, ...]
    views: list[View]
    sentence: str
    shared: SharedUnknowns = CALIBRATED


#: How an image may have been turned when it was stored: what is said of it, and how it is turned back.
TURNS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "mirrored": ("mirrored left to right", np.fliplr),
    "upside down": ("mirrored top to bottom", np.flipud),
    "turned 180": ("turned by 180 degrees", lambda image: np.rot90(image, 2)),
    "turned 90": ("turned by 90 degrees clockwise", np.rot90),
    "turned 270": ("turned by 90 degrees counterclockwise", lambda image: np.rot90(image, 3)),
}


def hypotheses(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Those that these views allow, the simplest first."""
    views = list(views)
    for cause, (words, back) in TURNS.items():
        for i, view in enumerate(views):
            if (turned := _turned(view, back)) is not None:
                yield Hypothesis(
                    cause,
                    (view.name,),
                    _with(views, {i: turned}),
                    f"{view.name} seems to be {words}: turned back, it fits. Check how it was loaded.",
                )
        every = [_turned(view, back) for view in views]
        if len(views) > 1 and None not in every:
            yield Hypothesis(
                cause, (), every, f"All X-rays seem to be {words}: turned back, they fit. Check how they were loaded."
            )
    for i, view in enumerate(views):
        yield Hypothesis(
            "inverted",
            (view.name,),
            _with(views, {i: _inverted(view)}),
            f"The grey scale of {view.name} seems to be the wrong way round: inverted, it fits. Check its intensity.",
        )
    if len(views) > 1:
        yield Hypothesis(
            "inverted",
            (),
            [_inverted(view) for view in views],
            "The grey scale of all X-rays seems to be the wrong way round: inverted, they fit. Check their intensity.",
        )
    for i, j in combinations(range(len(views)), 2):
        if views[i].xray.valid.shape == views[j].xray.valid.shape:
            swapped = {i: replace(views[i], xray=views[j].xray), j: replace(views[j], xray=views[i].xray)}
            yield Hypothesis(
                "swapped",
                (views[i].name, views[j].name),
                _with(views, swapped),
                f"The images of {views[i].name} and {views[j].name} seem to be exchanged: the other way round, they fit. "
                "Check which file belongs to which view.",
            )


def geometries(views: Sequence[View]) -> Iterator[Hypothesis]:
    """Those about cameras that can be found together with the pose; of one view alone none can."""
    views = list(views)
    if len(views) < 2:
        return
    scaled = [
        replace(view, xray=replace(view.xray, pixel_mm=(1.0, 1.0))) for view in views
    ]  # a share of the distance is all that counts
    yield Hypothesis(
        "distance",
        (),
        scaled,
        "The distance from source to detector seems to be wrong: {found}.",
        SharedUnknowns(source_to_detector_sd_mm=DISTANCE_SD * float(views[0].camera.intrinsics[1, 1])),
    )
    # Of two views nobody can say which of them is off. Cameras are told against the first view's, so the one in doubt goes last.
    for i in range(len(views)) if len(views) > 2 else (1,):
        freed = replace(views[i], rotation_sd_deg=ANGLE_SD_DEG, translation_sd_mm=PLACE_SD_MM)
        others = [view for n, view in enumerate(views) if n != i]
        against = "the other X-rays" if len(others) > 1 else others[0].name
        yield Hypothesis(
            "angle",
            (views[i].name,) if len(others) > 1 else (others[0].name, views[i].name),
            [*others, freed],
            f"The angle or the place of {views[i].name} against {against} seems to be wrong: {{found}}.",
        )


def _with(views: list[View], changed: dict[int, View]) -> list[View]:
    return [changed.get(i, view) for i, view in enumerate(views)]


def _turned(view: View, back: Callable[[np.ndarray], np.ndarray]) -> View | None:
    """The view with its image turned; None where that has another size."""
    image, valid = (np.ascontiguousarray(back(each)) for each in (view.xray.line_integrals, view.xray.valid))
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm)) if image.shape == view.xray.valid.shape else None


def _inverted(view: View) -> View:
    return replace(view, xray=replace(view.xray, line_integrals=-view.xray.line_integrals))
