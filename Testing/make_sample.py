#!/usr/bin/env python
"""Makes the sample of the Slicer extension again: python Testing/make_sample.py

X-rays of the demo's chest CT by RTK's projector, and their case.json with start and truth. The CT itself is not among
them: Slicer fetches it (mrml/loading.py).
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "MultiViewRegistration"
sys.path.insert(0, str(MODULE))

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402

from MultiViewRegistrationLib.geometry.c_arm import CArm  # noqa: E402
from MultiViewRegistrationLib.geometry.fields import usual_uncertainty  # noqa: E402
from MultiViewRegistrationLib.io.datasets.chest import SAMPLE_FOLDER, chest_ct  # noqa: E402
from MultiViewRegistrationLib.simulation.cases import Patient, json_text, random_pose, write_case  # noqa: E402
from MultiViewRegistrationLib.simulation.simulator import PIXEL_MM, SIZE  # noqa: E402

SEED = 3
DETECTOR = {"pixel_mm": (PIXEL_MM, PIXEL_MM), "size": SIZE, "mirrored": True}
C_ARMS = {
    "AP": CArm(source_to_detector_mm=1020, source_to_isocentre_mm=700, rao_lao_deg=2, cra_cau_deg=3,
               principal_point=(261.5, 250), **DETECTOR),
    "lateral": CArm(source_to_detector_mm=1010, source_to_isocentre_mm=690, rao_lao_deg=88, cra_cau_deg=-2,
                    principal_point=(257, 252.5), **DETECTOR),
}  # fmt: skip


def main() -> None:
    SAMPLE_FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        patient = Patient(chest_ct(), couch=True, beyond_mm=60)
        rng = np.random.default_rng(SEED)
        pose = random_pose(patient, rng)
        cameras = [c_arm.camera() for c_arm in C_ARMS.values()]
        case = json.loads(write_case(folder, patient, cameras, pose, rng, names=tuple(C_ARMS)).read_text())
        pixels = {
            view["name"]: sitk.GetArrayFromImage(sitk.ReadImage(f"{folder}/{view['image']}")) for view in case["views"]
        }
    case["ct"] = "chest.nii.gz"
    for view in case["views"]:
        name, c_arm = view["name"], asdict(C_ARMS[view["name"]])
        del view["camera"]
        view |= {
            "image": f"{name}.png",
            **usual_uncertainty(),  # a simulated C-arm does not bend
            "c_arm": {key: c_arm[key] for key in sorted(c_arm) if c_arm[key] != getattr(CArm, key, None)},
        }
        # 12 bit, as detectors have: a step is far below the noise, and the files are smaller by a third.
        image = sitk.GetImageFromArray(pixels[name] >> 4)
        sitk.WriteImage(image, str(SAMPLE_FOLDER / view["image"]), useCompression=True, compressionLevel=9)
    (SAMPLE_FOLDER / "case.json").write_text(json_text(case), encoding="utf-8")


if __name__ == "__main__":
    main()
