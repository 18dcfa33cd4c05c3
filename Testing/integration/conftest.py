"""A case on disk with CT and X-rays of the phantom, and the program run as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import phantom
import pytest
import SimpleITK as sitk

from MultiViewRegistrationLib.geometry import rigid

LIBRARY = Path(__file__).resolve().parents[2] / "MultiViewRegistration"


@pytest.fixture(scope="session")
def case_file(tmp_path_factory) -> Path:
    """A case.json of the phantom with truth, its start 9 mm off. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("phantom")
    ct = phantom.make_ct()
    image = sitk.GetImageFromArray(ct.volume.values.astype(np.int16))
    image.SetSpacing(ct.volume.spacing_mm.tolist())
    image.SetOrigin(ct.volume.ct_from_index[:3, 3].tolist())
    sitk.WriteImage(image, str(folder / "ct.nii.gz"))
    views = []
    for view in phantom.make_views(ct):
        xray = sitk.GetImageFromArray((60000 * np.exp(-view.xray.line_integrals)).astype(np.uint16))
        xray.SetSpacing((1.25, 1.25))
        sitk.WriteImage(xray, str(folder / f"{view.name}.mha"))
        views.append({"name": view.name, "image": f"{view.name}.mha", "projection_matrix": view.camera.projection_matrix.tolist()})
    corners = 30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
    case = {
        "version": 1,
        "ct": "ct.nii.gz",
        "views": views,
        "world_from_ct": phantom.off(phantom.TRUE_POSE, [3.0, -2.0, 4.0], [6.0, 5.0, -4.0]).tolist(),
        "targets": corners.tolist(),
        "truth": {"world_from_ct": phantom.TRUE_POSE.tolist()},
    }
    (folder / "case.json").write_text(json.dumps(case))
    return folder / "case.json"


@pytest.fixture
def mvreg():
    """Runs `mvreg` in a process of its own; returns the finished process with its output as text."""

    def run(*arguments, **options) -> subprocess.CompletedProcess:
        code = "import sys; from MultiViewRegistrationLib.cli import main; sys.exit(main())"
        path = os.pathsep.join([str(LIBRARY), os.environ.get("PYTHONPATH", "")])
        return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300,
                              env={**os.environ, "PYTHONPATH": path}, **options)

    return run


def mtre_mm(world_from_ct, case: dict) -> float:
    """mTRE against the truth of a parsed case.json."""
    targets = np.array(case["targets"])
    true = np.array(case["truth"]["world_from_ct"])
    difference = rigid.transform_points(np.array(world_from_ct), targets) - rigid.transform_points(true, targets)
    return float(np.linalg.norm(difference, axis=1).mean())
