"""Wrong principal points and cropped images, registered from two X-rays by matrices alone.

python -m benchmarks principal_points CASES --seed N --rows ROWS.jsonl

Each case is one of the people of `bent` in two X-rays by RTK about 90 degrees apart. It is
registered with matrices as they were and with the principal points of one view or both 3 to 8
pixels off, each of which nobody says how well it is known, or is said to be known to 0.5 or to 4
pixels, which is what 3 to 8 are along each axis; with such matrices and a third view between the
two, tilted; with the wrong ones and the phantom of Resources in both X-rays, 40 mm from the bone, as a
marker; with 5 to 8 rows cut off the top of all images; and with as many rows cut off both ends and
columns off both sides, which leaves a square. --draws says how often the images of a case are
judged, each time with other wrong principal points: a row costs seconds then, and no simulation.

What must hold, fixed before seed 45 was run: of cropped images that are no square none that is
more than 2 mm off is accepted; of the right ones 80 % are. Of those with a marker, fixed before
seed 46 was run: none more than 2 mm off is accepted, and of the right ones 80 % are. Of those of
which nobody says, or the case says 4 px, fixed before seed 49 was run: of 300 more than 2 mm off
at most one is accepted. No X-ray shows what a matrix is off by that is said to be known to half a
pixel, so their share is told, not judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from MultiViewRegistrationLib import Body, Case, View, register
from MultiViewRegistrationLib.assessment.prediction import WRONG_MM
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.fields import CALIBRATION, PRESUMED
from MultiViewRegistrationLib.io.bead_model import read_bead_model
from MultiViewRegistrationLib.io.calibration.bead_image import BeadImage, find_in_image
from MultiViewRegistrationLib.io.calibration.from_beads import calibrate_from_beads
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies.statistics import table

from .beads import PHANTOM
from .people import BEYOND_MM, near_start, patient_of, person
from .simulation import body as bodies
from .simulation.beads import BALL_MM
from .simulation.cases import random_cameras, random_pose, take
from .simulation.projector import RtkProjector
from .simulation.simulator import PIXEL_MM, Ball, SimulatedXRay
from .study import Options, Study, numbered

PLAIN, WRONG, SAID, RIGHT_SAID = "right", "principal point", "wrong, said", "right, said"
MARKER, TOP, SIDES = "marker", "top cropped", "sides cropped"
CALIBRATED, MISCALIBRATED = "right, calibrated", "wrong, called calibrated"
THIRD, WRONG_THIRD = "right, third view", "wrong, third view"
CONDITIONS = (
    *(PLAIN, WRONG, TOP, SIDES, SAID, RIGHT_SAID, MARKER),
    *(CALIBRATED, MISCALIBRATED, THIRD, WRONG_THIRD),
)
#: What is wrong in them is drawn at random.
DRAWN = WRONG, TOP, SIDES, SAID, MARKER, MISCALIBRATED, WRONG_THIRD
#: What is said of the principal points, px; of others nobody says anything.
TOLD = {"principal_point_sd_px": 4.0}
SAID_SD_PX = {SAID: TOLD, RIGHT_SAID: TOLD} | dict.fromkeys(
    (CALIBRATED, MISCALIBRATED, TOP, SIDES), CALIBRATION
)
#: From the bone's middle to that of the phantom.
BESIDE_MM = 40.0
#: Of a third view: what all of a C-arm's orbit hides shows out of its plane.
TILT_DEG = 25.0


@lru_cache
def prepared(name: str, data: Path) -> PreparedCT:
    """The CT of a person, ready to be registered."""
    return PreparedCT(person(name, data)[0])


@lru_cache(maxsize=2)
def scene(seed: int, number: int, condition: str, data: Path) -> tuple:
    """Cameras, images, true pose, start and the pose of the phantom of a case.

    condition: "marker", whose images show the phantom, "third view", or "" for any other.
    """
    rng, name = np.random.default_rng([seed, number]), patient_of(number)
    _, body = person(name, data)
    bone = bodies.bone_points(body)
    cameras = random_cameras(rng, 2, (80, 100))
    if condition == "third view":
        cameras.append(between(*cameras))
    pose = random_pose(np.array([*bodies.middle(body)[:2], bone[:, 2].mean()]), rng)
    projector = RtkProjector(bodies.Body.from_hu(body, BEYOND_MM))
    xray = SimulatedXRay(round_field=bool(rng.random() < 0.3))
    lies, towards = rigid.exp_so3(rng.uniform(-1, 1, 3)), sum(each.source for each in cameras)
    centre = rigid.transform_points(pose, bone.mean(axis=0))
    beside = centre + BESIDE_MM * towards / np.linalg.norm(towards)
    world_from_model = rigid.from_rotation_translation(lies, beside)
    if condition == MARKER:
        points = rigid.transform_points(world_from_model, read_bead_model(PHANTOM).points)
        xray = replace(xray, metal=tuple(Ball(tuple(each), BALL_MM) for each in points.tolist()))
    images = take(projector, cameras, [xray] * len(cameras), pose, rng)
    return cameras, images, pose, near_start(rng, pose, bone), world_from_model


@lru_cache(maxsize=1)
def beads(seed: int, number: int, data: Path) -> list[BeadImage]:
    """What looks like a bead in the images of a case with a marker."""
    count = len(read_bead_model(PHANTOM).points)
    images = scene(seed, number, MARKER, data)[1]
    return [find_in_image(image, count, pixel_mm=PIXEL_MM) for image in images]


def row(options: Options, seed: int, number: int, condition: str, draw: int) -> dict:
    """One case under a condition, and one draw of what is wrong, registered and assessed."""
    data = options.data
    marked, third = condition == MARKER, condition in (THIRD, WRONG_THIRD)
    shown = MARKER if marked else "third view" if third else ""
    cameras, images, pose, start, world_from_model = scene(seed, number, shown, data)
    same = SAID, MARKER, MISCALIBRATED, WRONG_THIRD
    which = WRONG if condition in same else condition  # wrong by the same
    rng = np.random.default_rng([seed, number, CONDITIONS.index(which), draw])
    cut = int(rng.integers(5, 9))
    if which == WRONG:
        cameras = with_wrong_points(rng, cameras)
    elif condition == TOP:
        images = [image[cut:] for image in images]
    elif condition == SIDES:
        images = [image[cut:-cut, cut:-cut] for image in images]
    matrices: list = [camera.projection_matrix for camera in cameras]
    certain: list = [{} for _ in images]
    name = patient_of(number)
    try:
        if marked:
            seen = beads(seed, number, data)
            found = calibrate_from_beads(seen, PHANTOM, cameras=cameras, pixel_mm=PIXEL_MM)
            matrices = [each.camera for each in found]
            certain = [{**each.uncertainty, PRESUMED: 0.0, "marker": "patient"} for each in found]
            pose, start = (rigid.inverse(world_from_model) @ each for each in (pose, start))
        view = partial(View, pixel_mm=PIXEL_MM, uncertainty=SAID_SD_PX.get(condition))
        ct = Body(person(name, data)[0], world_from_ct=start)
        case = Case.from_arrays(ct, *map(view, images, matrices))
        case.views = [replace(view, **more) for view, more in zip(case.views, certain, strict=True)]
        result = register(case, anatomy=prepared(name, data), start="given")
    except InputError as error:
        return {"person": name, "condition": condition, "refused": str(error)}
    assessed = result.assessment
    targets = assessed.targets if assessed else None
    assert assessed and targets is not None
    off = rigid.transform_points(result.world_from_ct, targets) - rigid.transform_points(
        pose, targets
    )
    return {
        "person": name,
        "condition": condition,
        "mtre_mm": float(np.linalg.norm(off, axis=1).mean()),
        "verdict": result.verdict,
        "risk": assessed.prediction and assessed.prediction.failure_probability,
        "reasons": result.reasons,
    }


def between(first: Camera, second: Camera) -> Camera:
    """The first camera turned half way to the second, and by TILT_DEG out of their plane."""
    turn = rigid.log_so3(first.camera_from_world[:3, :3].T @ second.camera_from_world[:3, :3])
    half = rigid.exp_so3(turn / 2)
    beam = half.T @ first.camera_from_world[2, :3]
    across = np.cross(beam, turn / np.linalg.norm(turn))
    tilt = rigid.exp_so3(np.radians(TILT_DEG) * across / np.linalg.norm(across))
    turned = rigid.from_rotation_translation(half @ tilt, np.zeros(3))
    return replace(first, camera_from_world=first.camera_from_world @ turned)


def with_wrong_points(rng: np.random.Generator, cameras: list[Camera]) -> list[Camera]:
    """Cameras with the principal point of one, or of each, 3 to 8 pixels off."""
    which = rng.integers(len(cameras) + 1)
    wrong = []
    for number, camera in enumerate(cameras):
        angle, K = rng.uniform(0, 2 * np.pi), camera.intrinsics.copy()
        K[:2, 2] += rng.uniform(3, 8) * np.array([np.cos(angle), np.sin(angle)])
        off = which in (number, len(cameras))
        wrong.append(replace(camera, intrinsics=K) if off else camera)
    return wrong


def accepted(rows: list[dict]) -> str:
    """What was accepted, by condition."""
    lines = []
    for condition in CONDITIONS:
        own = [each for each in rows if each["condition"] == condition]
        if own:
            judged = [each for each in own if "refused" not in each]
            wrong = [each["verdict"] for each in judged if each["mtre_mm"] > WRONG_MM]
            right = [each["verdict"] for each in judged if each["mtre_mm"] < 1]
            counts = len(wrong), wrong.count("accept"), len(right), right.count("accept")
            lines.append((condition, len(own), len(own) - len(judged), *counts))
    head = ("matrices", "cases", "refused", "over 2 mm off", "of these accepted", "under 1 mm")
    return table((*head, "accepted"), lines)


def keys(options: Options) -> Iterable[tuple]:
    """Each case under each condition, as often as something is drawn in it."""
    for key in numbered(options):
        for condition in options.conditions:
            for draw in range(options.draws if condition in DRAWN else 1):
                yield *key, condition, draw


STUDY = Study(
    __doc__,
    row,
    accepted,
    keys,
    {
        "draws": {"type": int, "default": 1},
        "conditions": {"nargs": "+", "choices": CONDITIONS, "default": CONDITIONS},
    },
)
