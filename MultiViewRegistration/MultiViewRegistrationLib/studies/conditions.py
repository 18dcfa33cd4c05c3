"""The list of registrations: every condition with every CT, in an order whose every beginning holds some of everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..geometry import rigid
from ..imaging.xray import View, XRay
from .statistics import perturbed

#: At least so many registrations, however many CTs there are.
MIN_REGISTRATIONS = 2000
#: Start mTREs are drawn evenly from so many intervals up to this.
MAX_START_ERROR_MM, INTERVALS = 40.0, 8

PARTS = ("body", "bone")
#: Views and the angle between the first and the others, degrees.
GEOMETRIES = ((1, 0), (2, 15), (2, 30), (2, 45), (2, 60), (2, 90), (3, 30), (3, 60), (3, 90))
NUISANCES = (
    *("blades", "shutters", "round field", "saturated", "text", "tools", "wires", "rods"),
    *("prosthesis", "contrast", "cast", "table", "scatter", "weak", "motion", "neighbours"),
)
#: One of each of these at once.
TOGETHER = (
    ("wires", "rods", "prosthesis"),
    ("blades", "shutters", "round field"),
    ("text",),
    ("tools",),
    ("contrast", "cast", "table", "saturated"),
    ("scatter", "weak"),
    ("motion", "neighbours"),
)

Views = list[View]
GeometryError = Callable[[np.random.Generator, Views], Views]


def turned(rng: np.random.Generator, views: Views) -> Views:
    """The last view's angle about the isocentre, the world origin, and its place are wrong by 0.5 to 10 degrees and mm, taken as exact."""
    camera, (degrees, mm) = views[-1].camera, 10 ** rng.uniform(-0.3, 1, 2)
    wrong = camera.camera_from_world @ perturbed(np.eye(4), np.zeros(3), degrees, mm, 1, rng)[0]
    return [*views[:-1], replace(views[-1], camera=replace(camera, camera_from_world=wrong))]


def scaled(rng: np.random.Generator, views: Views) -> Views:
    """The distance from source to detector is wrong by up to 10 % in all views."""
    scale = 1 + rng.choice([-1, 1]) * rng.uniform(0.01, 0.1)
    wrong = []
    for view in views:
        intrinsics = view.camera.intrinsics.copy()
        intrinsics[:2, :2] *= scale
        wrong.append(replace(view, camera=replace(view.camera, intrinsics=intrinsics)))
    return wrong


def flipped(rng: np.random.Generator, views: Views) -> Views:
    """One of the images is mirrored, or all are."""
    which = rng.integers(len(views) + 1)
    return [restored(view, np.fliplr) if which in (i, len(views)) else view for i, view in enumerate(views)]


def restored(view: View, turn: Callable[[np.ndarray], np.ndarray]) -> View:
    """The view with its image stored otherwise than it was taken."""
    image, valid = (np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid))
    return replace(view, xray=XRay(image, valid, view.xray.pixel_mm))


def encoder(rng: np.random.Generator, views: Views, degrees: float = 1.0, mm: float = 3.0) -> Views:
    """The further views' cameras are as wrong as the case says they may be."""
    wrong = []
    for view in views[1:]:
        turn, shift = np.radians(degrees) * rng.normal(size=3), mm * rng.normal(size=3)
        pose = view.camera.camera_from_world @ rigid.from_rotation_translation(rigid.exp_so3(turn), shift)
        camera = replace(view.camera, camera_from_world=pose)
        wrong.append(replace(view, camera=camera, rotation_sd_deg=degrees, translation_sd_mm=mm))
    return [views[0], *wrong]


#: Errors of the given geometry; the simulation knows the true cameras.
GEOMETRY_ERRORS: dict[str, GeometryError] = {
    "encoder 1": partial(encoder, degrees=1.0, mm=2.0),
    "encoder 2": partial(encoder, degrees=2.0, mm=5.0),
    "turned": turned,
    "scaled": scaled,
    "flipped": flipped,
}


@dataclass(frozen=True)
class Condition:
    """A condition of some registrations.

    Parameters
    ----------
    part : the whole body is registered, or one bone of it among the others.
    apart_deg : angle between the first view and the others.
    together : one of each of TOGETHER, drawn for each registration, beside the nuisances.
    error : of the geometry, one of GEOMETRY_ERRORS.
    """

    name: str
    part: str
    views: int = 2
    apart_deg: float = 90
    nuisances: tuple[str, ...] = ()
    together: bool = False
    error: str | None = None

    @property
    def group(self) -> str:
        """The table that it is in."""
        return "geometry error" if self.error else "nuisance" if self.nuisances or self.together else "geometry"


@dataclass(frozen=True)
class Trial:
    """One registration of the list.

    Parameters
    ----------
    ct : number of the CT.
    interval : of the starts' mTRE; its own is drawn from it.
    repeat : how many of this condition and CT come before it.
    """

    number: int
    condition: Condition
    ct: int
    interval: int
    repeat: int


def _of(part: str) -> list[Condition]:
    def named(views: int, angle_deg: float) -> str:
        return "1 view" if views == 1 else f"{views} views, {angle_deg} degrees"

    return [
        *(Condition(named(*geometry), part, *geometry) for geometry in GEOMETRIES),
        *(Condition(name, part, nuisances=(name,)) for name in NUISANCES if name != "neighbours" or part == "bone"),
        *(
            Condition(f"all at once, {named(*geometry)}", part, *geometry, together=True)
            for geometry in ((2, 90), (2, 45), (3, 90))
        ),
        *(Condition(name, part, error=name) for name in GEOMETRY_ERRORS),
        Condition("encoder 1, 3 views", part, 3, 60, error="encoder 1"),
        Condition("encoder 1, tools", part, nuisances=("tools",), error="encoder 1"),
    ]


CONDITIONS = tuple(condition for part in PARTS for condition in _of(part))
#: For a second simulator, whose X-rays take seconds each.
BODIES = tuple(condition for condition in CONDITIONS if condition.part == "body")


def trials(
    cts: int, conditions: Sequence[Condition] = CONDITIONS, least: int = MIN_REGISTRATIONS, seed: int = 0
) -> list[Trial]:
    """The list for so many CTs: as often the whole of conditions and CTs as makes `least`, each time in an order of its own.

    Starts go through the intervals in turn, each condition beginning with another.
    """
    each = [(n, condition, ct) for n, condition in enumerate(conditions) for ct in range(cts)]
    listed: list[Trial] = []
    for repeat in range(-(-least // len(each))):
        for n, condition, ct in (each[at] for at in np.random.default_rng([seed, repeat]).permutation(len(each))):
            interval = (n + (INTERVALS // 2) * ct + 3 * repeat) % INTERVALS  # 3 and 8 have no common divisor
            listed.append(Trial(len(listed), condition, ct, interval, repeat))
    return listed
