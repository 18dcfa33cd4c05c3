"""The list of registrations: every condition with every CT, in an order whose every beginning holds some of everything."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.fields import (
    PRESUMED_PRINCIPAL_POINT_SD_SHARE,
    usual_uncertainty,
)
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.studies.statistics import perturbed

from ..simulation.simulator import PIXEL_MM

#: The whole list goes through the conditions so often, see `Condition.every`.
ROUNDS = 19
#: Start mTREs are drawn evenly from so many intervals up to this.
MAX_START_ERROR_MM, INTERVALS = 40.0, 8

PARTS = ("body", "bone")
#: Views and the angle between the first and the others, degrees.
GEOMETRIES = ((1, 0), (2, 15), (2, 30), (2, 45), (2, 60), (2, 90), (3, 30), (3, 60), (3, 90))
NUISANCES = (
    *("blades", "shutters", "round field", "saturated", "text", "tools", "wires", "rods"),
    *("prosthesis", "contrast", "cast", "table", "scatter", "weak", "motion", "neighbours"),
)
#: One view, or views no farther apart than this, are hardly ever accepted, and registered less
#: often.
SELDOM_DEG = 15
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
CTError = Callable[[np.random.Generator, Volume], np.ndarray]


def stated(case: Case) -> Case:
    """The case whose cameras count as measured for its X-rays: their faults are what is measured."""
    known = [replace(view, presumed_principal_point_sd_px=0.0) for view in case.views]
    return replace(case, views=known)


def calibrated(rng: np.random.Generator, views: Views) -> Views:
    """The cameras are those of a calibration.

    Principal points and distances are as wrong as that may be.
    """
    return [_with_intrinsics(rng, view, usual_uncertainty()) for view in views]


def readings(rng: np.random.Generator, views: Views) -> Views:
    """The cameras are readings of a C-arm, as wrong as these may be."""
    known = usual_uncertainty("c_arm", (PIXEL_MM, PIXEL_MM))
    degrees, mm = (float(known[key] or 0) for key in ("rotation_sd_deg", "translation_sd_mm"))
    wrong = [_with_intrinsics(rng, view, known) for view in encoder(rng, views, degrees, mm)]
    return [replace(view, rotation_sd_deg=degrees, translation_sd_mm=mm) for view in wrong]


def unstated(rng: np.random.Generator, views: Views) -> Views:
    """The cameras are matrices of which nothing is stated: half as wrong as a calibration's, half as is presumed of them."""
    as_presumed = rng.random() < 0.5
    found = []
    for view in calibrated(rng, views):
        presumed = PRESUMED_PRINCIPAL_POINT_SD_SHARE * view.camera.focal_px
        wrong = _shifted(view, as_presumed * presumed * rng.normal(size=2))
        found.append(replace(wrong, presumed_principal_point_sd_px=presumed))
    return found


def _with_intrinsics(rng, view, known):
    """The view with a principal point and a distance as wrong as is said of them."""
    pixels, percent = known["principal_point_sd_px"], known["distance_sd_percent"]
    wrong = _shifted(view, pixels * rng.normal(size=2), 1 + percent / 100 * rng.normal())
    return replace(wrong, principal_point_sd_px=pixels, distance_sd_percent=percent)


def _shifted(view, pixels, scale=1.0):
    """The view with another principal point, and with the distance from source to detector scaled."""
    intrinsics = view.camera.intrinsics.copy()
    intrinsics[:2, :2] *= scale
    intrinsics[:2, 2] += pixels
    return view.with_camera(intrinsics=intrinsics)


def principal_point(rng: np.random.Generator, views: Views) -> Views:
    """The principal point of one view, or of each, lies 3 to 8 pixels off, in a case that says it is calibrated."""
    which = rng.integers(len(views) + 1)
    wrong = []
    for i, view in enumerate(views):
        angle, pixels = rng.uniform(0, 2 * np.pi), rng.uniform(3, 8)
        off = pixels * np.array([np.cos(angle), np.sin(angle)])
        wrong.append(_shifted(view, off) if which in (i, len(views)) else view)
    return wrong


#: What a person types wrong of a C-arm's angles.
_MISREAD: tuple[Callable[[CArm], CArm], ...] = (
    lambda arm: replace(arm, rao_lao_deg=-arm.rao_lao_deg),
    lambda arm: replace(arm, cra_cau_deg=-arm.cra_cau_deg),
    lambda arm: replace(
        arm, rao_lao_deg=arm.cra_cau_deg, cra_cau_deg=float(np.clip(arm.rao_lao_deg, -90, 90))
    ),
)


def angle_sign(rng: np.random.Generator, views: Views) -> Views:
    """LAO is taken for RAO, cranial for caudal, or the two angles are exchanged.

    In the last view, or in all.
    """
    misread, every = _MISREAD[rng.integers(len(_MISREAD))], rng.random() < 0.5
    wrong = []
    for i, view in enumerate(views):
        if every or i == len(views) - 1:
            arm = view.c_arm
            assert arm is not None, "the simulated cameras are C-arms about the world origin"
            view = replace(view, camera=misread(arm).camera())
        wrong.append(view)
    return wrong


def turned(rng: np.random.Generator, views: Views) -> Views:
    """The last view's angle about the isocentre, the world origin, and its place are wrong by 0.5 to 10 degrees and mm, taken as exact."""
    camera, (degrees, mm) = views[-1].camera, 10 ** rng.uniform(-0.3, 1, 2)
    wrong = camera.camera_from_world @ perturbed(np.eye(4), np.zeros(3), degrees, mm, 1, rng)[0]
    return [*views[:-1], views[-1].with_camera(camera_from_world=wrong)]


def scaled(rng: np.random.Generator, views: Views) -> Views:
    """The distance from source to detector is wrong by up to 10 % in all views."""
    scale = 1 + rng.choice([-1, 1]) * rng.uniform(0.01, 0.1)
    return [_shifted(view, np.zeros(2), scale) for view in views]


def flipped(rng: np.random.Generator, views: Views) -> Views:
    """One of the images is mirrored, or all are."""
    which = rng.integers(len(views) + 1)
    return [
        restored(view, np.fliplr) if which in (i, len(views)) else view
        for i, view in enumerate(views)
    ]


def restored(view: View, turn: Callable[[np.ndarray], np.ndarray]) -> View:
    """The view with its image stored otherwise than it was taken."""
    image, valid = (
        np.ascontiguousarray(turn(each)) for each in (view.xray.line_integrals, view.xray.valid)
    )
    return view.with_xray(line_integrals=image, valid=valid)


def encoder(rng: np.random.Generator, views: Views, degrees: float = 1.0, mm: float = 3.0) -> Views:
    """The further views' cameras are as wrong as the case says they may be."""
    wrong = []
    for view in views[1:]:
        turn, shift = np.radians(degrees) * rng.normal(size=3), mm * rng.normal(size=3)
        pose = view.camera.camera_from_world @ rigid.turn_and_shift(turn, shift)
        camera = replace(view.camera, camera_from_world=pose)
        wrong.append(replace(view, camera=camera, rotation_sd_deg=degrees, translation_sd_mm=mm))
    return [views[0], *wrong]


def mirrored_ct(rng: np.random.Generator, volume: Volume) -> np.ndarray:
    """The CT is mirrored left to right."""
    return _about_middle(volume, np.diag([-1.0, 1, 1]))


def ct_scale(rng: np.random.Generator, volume: Volume) -> np.ndarray:
    """The CT is 2 to 3 % too large or too small."""
    return _about_middle(volume, _two_to_three_percent(rng) * np.eye(3))


def slice_spacing(rng: np.random.Generator, volume: Volume) -> np.ndarray:
    """The slices of the CT are 2 to 3 % too far apart, or too near."""
    along = volume.ct_from_index[:3, 2] / volume.spacing_mm[2]
    return _about_middle(
        volume, np.eye(3) + (_two_to_three_percent(rng) - 1) * np.outer(along, along)
    )


def _two_to_three_percent(rng):
    return 1 + rng.choice([-1, 1]) * rng.uniform(0.02, 0.03)


def _about_middle(volume, linear):
    """(4, 4), CT mm: the linear map (3, 3) about the middle of the volume."""
    middle = rigid.transform_points(volume.ct_from_index, (np.array(volume.size) - 1) / 2)
    return rigid.from_rotation_translation(linear, middle - linear @ middle)


#: Errors of the CT: each gives (4, 4), from the true CT's mm to those of the wrong one.
CT_ERRORS: dict[str, CTError] = {
    "mirrored ct": mirrored_ct,
    "ct scale": ct_scale,
    "slice spacing": slice_spacing,
}
#: Errors of the given geometry; the simulation knows the true cameras.
GEOMETRY_ERRORS: dict[str, GeometryError] = {
    "encoder 1": partial(encoder, degrees=1.0, mm=2.0),
    "encoder 2": partial(encoder, degrees=2.0, mm=5.0),
    "readings": readings,
    "turned": turned,
    "scaled": scaled,
    "flipped": flipped,
    "principal point": principal_point,
    "angle sign": angle_sign,
}
#: Errors as large as the case says that they may be.
STATED = ("encoder 1", "encoder 2", "readings")
#: What is wrong by little is registered more often than what is wrong by much.
NEAR_MISSES = (*STATED, "turned", "principal point")


@dataclass(frozen=True)
class Condition:
    """A condition of some registrations.

    Parameters
    ----------
    part : the whole body is registered, or one bone of it among the others.
    apart_deg : angle between the first view and the others.
    together : one of each of TOGETHER, drawn for each registration, beside the nuisances.
    error : of the geometry, one of GEOMETRY_ERRORS, or of the CT, one of CT_ERRORS.
    every : it is registered in one of so many rounds.
    """

    name: str
    part: str
    views: int = 2
    apart_deg: float = 90
    nuisances: tuple[str, ...] = ()
    together: bool = False
    error: str | None = None
    every: int = 1

    @property
    def group(self) -> str:
        """The table that it is in."""
        if self.error:
            return "geometry error"
        return "nuisance" if self.nuisances or self.together else "geometry"


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


def _of(part):
    body = part == "body"
    seldom, often, near = (4, 1, 2) if body else (8, 8, 8)

    def named(views, angle_deg):
        return "1 view" if views == 1 else f"{views} views, {angle_deg} degrees"

    found = []
    for views, angle_deg in GEOMETRIES:
        every = seldom if views == 1 or angle_deg <= SELDOM_DEG else often
        found.append(Condition(named(views, angle_deg), part, views, angle_deg, every=every))
    for name in NUISANCES:
        if name != "neighbours" or not body:
            every = near if name in ("motion", "neighbours") else often
            found.append(Condition(name, part, nuisances=(name,), every=every))
    for geometry in ((2, 90), (2, 45), (3, 90)):
        name = f"all at once, {named(*geometry)}"
        found.append(Condition(name, part, *geometry, together=True, every=seldom))
    of_bones = "encoder 1", "encoder 2", "turned", "scaled", "flipped"
    for name in (*GEOMETRY_ERRORS, *CT_ERRORS) if body else of_bones:
        every = near if name in NEAR_MISSES else seldom
        found.append(Condition(name, part, error=name, every=every))
    of_encoder = partial(Condition, part=part, error="encoder 1", every=near)
    found.append(of_encoder("encoder 1, 3 views", views=3, apart_deg=60))
    found.append(of_encoder("encoder 1, tools", nuisances=("tools",)))
    if body:
        found.append(Condition("readings, 3 views", part, 3, 60, error="readings", every=near))
    return found


CONDITIONS = tuple(condition for part in PARTS for condition in _of(part))


def trials(
    cts: int, conditions: Sequence[Condition] = CONDITIONS, rounds: int = ROUNDS, seed: int = 0
) -> list[Trial]:
    """The list for so many CTs: in each round the conditions whose turn it is with every CT, in an order of its own.

    Starts go through the intervals in turn, each condition beginning with another.
    """
    listed: list[Trial] = []
    for number in range(rounds):
        turn = [(n, of) for n, of in enumerate(conditions) if number % of.every == 0]
        each = list(itertools.product(turn, range(cts)))
        for at in np.random.default_rng([seed, number]).permutation(len(each)):
            (n, condition), ct = each[at]
            repeat = number // condition.every
            # 3 and 8 have no common divisor
            interval = (n + (INTERVALS // 2) * ct + 3 * repeat) % INTERVALS
            listed.append(Trial(len(listed), condition, ct, interval, repeat))
    return listed
