"""The samples that the library ships, made again.

X-rays of a chest CT by RTK's projector, and of the same chest with a bent spine; their case.json
with start and truth. The CT itself is not among them: it is fetched (io/datasets/chest.py).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MultiViewRegistrationLib.geometry.fields import usual_uncertainty
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.io.datasets.chest import BENT_SPINE_FOLDER, SAMPLE_FOLDER

from . import parser_of
from .simulation.cases import Patient, demo_patient, json_text, random_pose, write_case
from .simulation.simulator import PIXEL_MM, SIZE
from .simulation.spine import spine_case

SEED = 3
DETECTOR: dict[str, Any] = {"pixel_mm": (PIXEL_MM, PIXEL_MM), "size": SIZE, "mirrored": True}
C_ARMS = [
    CArm(source_to_detector_mm=1020, source_to_isocentre_mm=700, rao_lao_deg=2, cra_cau_deg=3,
         principal_point=(261.5, 250), **DETECTOR),
    CArm(source_to_detector_mm=1010, source_to_isocentre_mm=690, rao_lao_deg=88, cra_cau_deg=-2,
         principal_point=(257, 252.5), **DETECTOR),
]  # fmt: skip


def chest_case(folder: str, patient: Patient) -> tuple[Path, list[CArm]]:
    """Path of the case.json of a chest as it was in the CT, and the C-arm of each view."""
    rng = np.random.default_rng(SEED)
    pose = random_pose(patient.centre, rng)
    cameras = [c_arm.camera() for c_arm in C_ARMS]
    return write_case(folder, patient, cameras, pose, rng, names=("AP", "lateral")), C_ARMS


def keep(path: Path, c_arms: Sequence[CArm], sample: Path) -> None:
    """Keep a case in the folder of a sample.

    PNG files, C-arms, names of files in place of their paths.
    """
    sample.mkdir(parents=True, exist_ok=True)
    case = json.loads(path.read_text(encoding="utf-8"))
    case["ct"] = "chest.nii.gz"
    if "labels" in case:
        case["labels"] = "labels.nii.gz"
    for view, c_arm in zip(case["views"], c_arms, strict=True):
        # 12 bit, as detectors have: a step is far below the noise, and the files are smaller by a
        # third.
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path.with_name(view["image"])))) >> 4
        view["image"] = f"{view['name']}.png"
        image = sitk.GetImageFromArray(pixels)
        sitk.WriteImage(image, str(sample / view["image"]), useCompression=True, compressionLevel=9)
        content = asdict(c_arm)
        del view["camera"]
        view |= usual_uncertainty()  # a simulated C-arm does not bend
        view["c_arm"] = {
            key: content[key] for key in sorted(content) if content[key] != getattr(CArm, key, None)
        }
    (sample / "case.json").write_text(json_text(case), encoding="utf-8")
    truth = path.with_name("truth.json")
    if truth.exists():
        (sample / truth.name).write_bytes(truth.read_bytes())


def main() -> None:
    parser_of(__doc__).parse_args()
    patient = demo_patient()
    for make, sample in ((chest_case, SAMPLE_FOLDER), (spine_case, BENT_SPINE_FOLDER)):
        with tempfile.TemporaryDirectory() as folder:
            keep(*make(folder, patient), sample)
