"""A real wrist's bones alone and together.

python -m benchmarks wrist_bones --data ../shared/data --rows ROWS.jsonl [--page PAGE.md]

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

import argparse
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import scipy

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.xray import View
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration import bones as engine
from MultiViewRegistrationLib.registration.bones import Bone, register_bone_cts
from MultiViewRegistrationLib.registration.optimizer import DescentStart, descend, moved
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

from . import DATA
from .kept import Rows, put
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
        (end,) = descend(
            objective,
            [DescentStart(pose)],
            STEPS,
            TOLERANCE_MM,
            anatomy.centroid,
            second_order=True,
        )
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
        self.together = register_bone_cts(self.bones, self.views, self.alone).poses

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
            return register_bone_cts(self.bones[: len(starts)], views, starts).poses
        if way == ALIKE:
            pairs = zip(self.bones, starts, strict=False)
            return [register_bone_cts([bone], views, [start]).poses[0] for bone, start in pairs]
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


def table(rows: Rows, names: tuple[str, ...], *, planted: bool) -> str:
    """Of halves or of what was planted, by bone and way.

    Medians, root mean squares, how often it is less than alone.
    """
    lines = [
        "| bone | registered | median mm | rms mm | median \u00b0 | rms \u00b0 | less than alone, "
        "mm | \u00b0 |"
    ]
    lines.append("|" + " --- |" * 8)
    of_way = {
        way: [
            row
            for key, row in rows.items()
            if key.endswith(f" {way}") and ("planted" in key) == planted
        ]
        for way in WAYS
    }
    for name in (*names, "all"):
        found = {
            way: np.array(
                [each for row in of_way[way] for bone, each in row.items() if name in (bone, "all")]
            )
            for way in WAYS
        }
        for way, values in found.items():
            numbers = np.stack(
                [np.median(values, axis=0), np.sqrt((values**2).mean(axis=0))], axis=1
            ).ravel()
            nearer = (values < found[ALONE]).sum(axis=0)
            counts = ["", ""] if way == ALONE else [f"{count} of {len(values)}" for count in nearer]
            cells = [name, way, *(f"{number:.2f}" for number in numbers), *counts]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _halves(wrist: Callable[[], Wrist], *of) -> dict:
    return wrist().halves(*of)


def _planted(wrist: Callable[[], Wrist], *of) -> dict:
    return wrist().planted(*of)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--rows", type=Path, required=True, help="rows that it has are not made again"
    )
    parser.add_argument(
        "--page", type=Path, help="a Markdown page that gets the table between marks"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    engine.SHOWN = 0.2  # half of a bone's pixels are to be enough
    rows = Rows(options.rows)
    for instant in INSTANTS:
        made: list[Wrist] = []

        def wrist(instant: str = instant, made: list[Wrist] = made) -> Wrist:
            if not made:
                made.append(Wrist(options.data, instant))
            return made[0]

        print(instant, rows.get(instant, "between", measure=lambda: wrist().between()), flush=True)
        for kind, side, way in ((*halved, way) for halved in HALVES for way in WAYS):
            measured = rows.get(
                instant, kind, side, way, measure=partial(_halves, wrist, kind, side, way)
            )
            print(instant, kind, side, way, measured, flush=True)
        for number, way in ((number, way) for number in range(PLANTED) for way in WAYS):
            measured = rows.get(
                instant,
                "planted",
                number,
                way,
                measure=partial(_planted, wrist, number, way),
            )
            print(instant, "planted", number, way, measured, flush=True)
    title = "## Bones of a wrist\n\nBy `benchmarks/wrist_bones.py`, which says how."
    text = f"{title} {HALVED}\n\n{table(rows, BONES, planted=False)}\n\n{ADDED}\n\n{table(rows, BONES[:2], planted=True)}"
    print(text)
    if options.page:
        put(options.page, "wrist bones", text)
