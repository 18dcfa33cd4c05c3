"""A case whose spine has bent since the CT.

X-rays of the demo's chest in which each vertebra has a pose of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.imaging.ct import load_ct, read_volume
from MultiViewRegistrationLib.io.datasets.chest import chest_labels
from MultiViewRegistrationLib.io.files import write_atomically

from .cases import Patient, demo_c_arms, json_text, random_pose, write_case
from .projector import MovedBones

#: The vertebrae that the X-rays show whole, from the head down, with their labels.
VERTEBRAE = {"T8": 36, "T9": 35, "T10": 34, "T11": 33, "T12": 32}
#: By how much each has turned and shifted against its neighbour, at least and at most.
TURN_DEG, SHIFT_MM = (3.0, 5.0), (1.0, 2.0)
SEED = 10


class SpineCase(NamedTuple):
    """The path of a case.json, and the C-arm of each view."""

    path: Path
    c_arms: list[CArm]


def bend(
    rng: np.random.Generator,
    centres: Sequence[np.ndarray],
    turn_deg: tuple[float, float] = TURN_DEG,
    shift_mm: tuple[float, float] = SHIFT_MM,
) -> list[np.ndarray]:
    """Motions (4, 4) ct_from_bone of the vertebrae with these centres (3,), CT mm, in their order along the spine.

    The middle one stays. Each of the others turns about the point half-way to its neighbour, and
    shifts, against that; how far is drawn between the two limits, in any direction.
    """
    middle, motions = len(centres) // 2, [np.eye(4)] * len(centres)
    for order in (range(middle + 1, len(centres)), range(middle - 1, -1, -1)):
        for n in order:
            neighbour = n - 1 if n > middle else n + 1
            axis, way = (each / np.linalg.norm(each) for each in rng.normal(size=(2, 3)))
            turn = rigid.exp_so3(axis * np.radians(rng.uniform(*turn_deg)))
            step = rigid.from_rotation_translation(turn, way * rng.uniform(*shift_mm))
            motions[n] = motions[neighbour] @ rigid.about(
                (centres[n] + centres[neighbour]) / 2, step
            )
    return motions


def spine_case(folder: str | Path, patient: Patient) -> SpineCase:
    """Write the X-rays of `mvreg demo` of a bent spine, and their case.json, which has labels and structures.

    No single pose is true, so that case.json has no truth; truth.json has the poses of the
    vertebrae, and of the rest of the body.

    Parameters
    ----------
    patient
        See `demo_patient`.

    Raises
    ------
    InputError
        Where the labels of the CT cannot be downloaded.
    """
    labels, rng = read_volume(chest_labels(), "labels"), np.random.default_rng(SEED)
    centres = [
        rigid.transform_points(
            labels.ct_from_index, np.argwhere(labels.values == label)[:, ::-1].mean(axis=0)
        )
        for label in VERTEBRAE.values()
    ]
    motions = bend(rng, centres)
    bent = copy(patient)
    bent.centre = np.mean(centres, axis=0)
    bent.projector = MovedBones(
        patient.projector,
        load_ct(patient.ct_path).volume,
        labels.values.astype(np.uint8),
        dict(zip(VERTEBRAE.values(), motions, strict=True)),
    )
    pose = random_pose(bent.centre, rng)
    c_arms = demo_c_arms(rng)
    path = write_case(
        folder, bent, [c_arm.camera() for c_arm in c_arms], pose, rng, names=("AP", "lateral")
    )
    case = json.loads(path.read_text(encoding="utf-8"))
    del case["truth"], case["targets"]
    case["labels"] = str(chest_labels())
    case["structures"] = [{"name": name, "label": label} for name, label in VERTEBRAE.items()]
    write_atomically(path, json_text(case))
    truth = {name: pose @ motion for name, motion in zip(VERTEBRAE, motions, strict=True)}
    content = {
        "rest": pose.tolist(),
        "structures": {name: each.tolist() for name, each in truth.items()},
    }
    write_atomically(path.with_name("truth.json"), json_text(content))
    return SpineCase(path, c_arms)
