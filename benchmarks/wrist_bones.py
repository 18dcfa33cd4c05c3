"""A real wrist's bones alone and together.

python -m benchmarks wrist_bones INSTANTS --rows ROWS.jsonl

There is no truth. But two poses from disjoint halves of the pixels share no noise, so that how far
they lie apart says how precise they are; it does not show an error that both halves share, as the
shadow of another bone makes it. Every bone of every instant is registered in three ways: alone, as
a case of one bone is; alone, but compared as several bones are; and together with the others.
Halves are tiles of a checkerboard, and stripes. Each begins 1 mm and 1 degree off the answer of all
pixels, the two halves on opposite sides: what does not converge shows as disagreement. All ways end
at the same two resolutions.

Of errors that halves share a truth tells: a second projection of radius and ulna, as dense as they
show, is added to the real images, both moved together, so that they overlap as the real ones do.
Each begins 1 mm and 1 degree off.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration import bones as engine
from MultiViewRegistrationLib.registration.bones import Bone, register_bones
from MultiViewRegistrationLib.registration.optimizer import minimise
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.registration.problem import moved
from MultiViewRegistrationLib.studies.statistics import table

from .study import Options, Study
from .truth import start_of

BONES, INSTANTS = ("radius", "ulna", "metacarpal3"), ("0002", "0099", "0158")
#: How pixels are halved, and the side of a tile, or the width of a stripe, in pixels of 0.17 mm at
#: the bone.
HALVES = (("tiles", 64), ("tiles", 96), ("tiles", 128), ("rows", 96), ("columns", 96))
OFF_MM, OFF_DEG = 1.0, 1.0
#: Truths of an instant, and how far they lie from the real bones.
PLANTED, TURN_DEG, SHIFT_MM = 4, (3.0, 10.0), (12.0, 25.0)
#: Radius of the mean that is taken from an image before densities are compared, in pixels.
SMOOTH_PX = 25
ALONE, ALIKE, TOGETHER = WAYS = ("alone", "alone, compared alike", "together")
#: Steps at the last two resolutions of a bone alone, and the size of the last one.
STEPS, TOLERANCE_MM = 40, 0.01


def half(view: View, kind: str, side: int, *, first: bool) -> View:
    """The view with one half of its pixels."""
    row, column = (each // side for each in np.indices(view.xray.valid.shape))
    number = {"tiles": row + column, "rows": row, "columns": column}[kind]
    return replace(
        view, xray=replace(view.xray, valid=view.xray.valid & (number % 2 == int(first)))
    )


def off(pose: np.ndarray, bone: Bone, number: int, *, first: bool) -> np.ndarray:
    """The pose moved by OFF_MM and OFF_DEG to one side or the other."""
    turn, shift = np.random.default_rng(number).normal(size=(2, 3))
    twist = np.concatenate(
        [np.radians(OFF_DEG) * turn / np.linalg.norm(turn), OFF_MM * shift / np.linalg.norm(shift)]
    )
    return moved(pose, twist if first else -twist, rigid.transform_points(pose, bone.centroid))


def alone(anatomy: PreparedCT, views: list[View], start: np.ndarray) -> np.ndarray:
    """Where the last two resolutions of a bone by itself lead."""
    pose = start
    for level in anatomy.levels(views, start)[-2:]:
        objective = anatomy.objective(views, level, pose)
        end = minimise(objective, pose, STEPS, TOLERANCE_MM, second_order=True)
        pose = end.world_from_ct
    return pose


def apart(bone: Bone, pose: np.ndarray, other: np.ndarray) -> list[float]:
    """Root mean square mm at the bone, and degrees."""
    distance = rigid.transform_points(pose, bone.surface) - rigid.transform_points(
        other, bone.surface
    )
    mm = np.sqrt((distance**2).sum(axis=1).mean())
    return [float(mm), float(np.degrees(rigid.rotation_distance(pose, other)))]


HALVED = "How far apart poses from disjoint halves of the pixels lie, root mean square at the bone:"
ADDED = "How far from the truth radius and ulna end that were added to the real images:"


class Wrist:
    """The bones of one instant."""

    def __init__(self, data: Path, instant: str) -> None:
        cases = [Case.load(data / "wrist" / f"{bone}_{instant}.json") for bone in BONES]
        self.views, self.anatomies = cases[0].views, [PreparedCT(case.ct) for case in cases]
        self.bones = [
            Bone.of_ct(name, anatomy) for name, anatomy in zip(BONES, self.anatomies, strict=True)
        ]
        self.alone = [
            refine(anatomy, case.views, start_of(case)).world_from_ct
            for anatomy, case in zip(self.anatomies, cases, strict=True)
        ]
        self.together = register_bones(None, self.bones, self.views, self.alone).poses

    def between(self) -> dict:
        """How far alone and together lie apart, from all pixels."""
        pairs = zip(BONES, self.bones, self.alone, self.together, strict=True)
        return {name: apart(bone, one, other) for name, bone, one, other in pairs}

    def halves(self, kind: str, side: int, way: str) -> dict:
        """How far the poses of two halves lie apart, by bone."""
        of_half = []
        for first in (True, False):
            views = [half(view, kind, side, first=first) for view in self.views]
            poses = self.alone if way == ALONE else self.together
            starts = [
                off(pose, bone, n, first=first)
                for n, (pose, bone) in enumerate(zip(poses, self.bones, strict=True))
            ]
            of_half.append(self._registered(views, starts, way))
        return {
            name: apart(bone, *pair)
            for name, bone, *pair in zip(BONES, self.bones, *of_half, strict=True)
        }

    def _registered(
        self, views: list[View], starts: list[np.ndarray], way: str
    ) -> list[np.ndarray]:
        """Where the first bones end, as many as there are starts."""
        if way == TOGETHER:
            return register_bones(None, self.bones[: len(starts)], views, starts).poses
        if way == ALIKE:
            pairs = zip(self.bones, starts, strict=False)
            return [register_bones(None, [bone], views, [start]).poses[0] for bone, start in pairs]
        return [
            alone(anatomy, views, start)
            for anatomy, start in zip(self.anatomies, starts, strict=False)
        ]

    def planted(self, number: int, way: str) -> dict:
        """How far from the truth radius and ulna end that were added to the images."""
        rng, bones = np.random.default_rng(number), self.bones[:2]
        while True:
            turn, shift = rng.normal(size=(2, 3))
            turn *= np.radians(rng.uniform(*TURN_DEG)) / np.linalg.norm(turn)
            shift *= rng.uniform(*SHIFT_MM) / np.linalg.norm(shift)
            centre = rigid.transform_points(self.together[0], bones[0].centroid)
            motion = rigid.about(
                centre, rigid.from_rotation_translation(rigid.exp_so3(turn), shift)
            )
            true = [motion @ pose for pose in self.together[:2]]
            if all(
                _in_field(view, bone, pose)
                for view in self.views
                for bone, pose in zip(bones, true, strict=True)
            ):
                break
        views = [_with_bones(view, bones, self.together[:2], true) for view in self.views]
        starts = [
            off(pose, bone, number + n, first=True)
            for n, (pose, bone) in enumerate(zip(true, bones, strict=True))
        ]
        found = self._registered(views, starts, way)
        return {
            bone.name: apart(bone, *pair) for bone, *pair in zip(bones, found, true, strict=True)
        }


def _in_field(view: View, bone: Bone, pose: np.ndarray) -> bool:
    column, row = (
        np.rint(view.camera.project(rigid.transform_points(pose, bone.surface))).astype(int).T
    )
    rows, columns = view.xray.valid.shape
    inside = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
    return bool(inside.all() and view.xray.valid[row, column].all())


def _with_bones(
    view: View, bones: list[Bone], seen: list[np.ndarray], added: list[np.ndarray]
) -> View:
    """The view with these bones at further poses, as dense as they show where they are seen."""
    drr, more = (
        sum(
            bone.projector(0).render(view.camera, pose).image
            for bone, pose in zip(bones, poses, strict=True)
        )
        for poses in (seen, added)
    )
    image, near = view.xray.line_integrals, (drr > 0) & view.xray.valid
    sharp, own = (
        each - scipy.ndimage.uniform_filter(each, 2 * SMOOTH_PX + 1) for each in (image, drr)
    )
    density = float((sharp * own)[near].sum() / (own**2)[near].sum())
    return replace(
        view, xray=replace(view.xray, line_integrals=(image + density * more).astype(np.float32))
    )


@lru_cache(maxsize=1)
def wrist(data: Path, instant: str) -> Wrist:
    """The bones of an instant, each of which has half of its pixels at least."""
    engine.SHOWN = 0.2
    return Wrist(data, instant)


def keys(options: Options) -> Iterable[tuple]:
    """Of each instant what all pixels say, halves of them, and what was added, each way."""
    for instant in INSTANTS[: options.cases]:
        yield instant, "between"
        for halved in HALVES:
            for way in WAYS:
                yield instant, *halved, way
        for number in range(PLANTED):
            for way in WAYS:
                yield instant, "planted", number, way


def row(options: Options, instant: str, what: str, *of) -> dict:
    """How far poses lie apart, by bone."""
    bones = wrist(options.data, instant)
    if what == "between":
        return bones.between()
    apart_mm = bones.planted(*of) if what == "planted" else bones.halves(what, *of)
    return {"what": what, "way": of[-1], "apart": apart_mm}


def by_way(rows: list[dict], names: tuple[str, ...]) -> str:
    """By bone and way medians, root mean squares, and how often it is less than alone."""
    lines = []
    for name in (*names, "all"):
        found: dict[str, list] = {way: [] for way in WAYS}
        for each in rows:
            of_bones = each["apart"].items()
            found[each["way"]] += [off for bone, off in of_bones if name in (bone, "all")]
        for way in WAYS:
            values = np.array(found[way])
            rms = np.sqrt((values**2).mean(axis=0))
            numbers = np.stack([np.median(values, axis=0), rms], axis=1).ravel()
            nearer = (values < np.array(found[ALONE])).sum(axis=0)
            counts = ["", ""] if way == ALONE else [f"{count} of {len(values)}" for count in nearer]
            lines.append((name, way, *(f"{number:.2f}" for number in numbers), *counts))
    head = ("bone", "registered", "median mm", "rms mm", "median \u00b0", "rms \u00b0")
    return table((*head, "less than alone, mm", "\u00b0"), lines)


def tables(rows: list[dict]) -> str:
    """Of halves, and of what was added."""
    added = [each for each in rows if each.get("what") == "planted"]
    halved = [each for each in rows if "what" in each and each["what"] != "planted"]
    title = "## Bones of a wrist\n\nBy `benchmarks/wrist_bones.py`, which says how."
    shown = f"{HALVED}\n\n{by_way(halved, BONES)}\n\n{ADDED}\n\n{by_way(added, BONES[:2])}"
    return f"{title} {shown}"


STUDY = Study(__doc__, row, tables, keys)
