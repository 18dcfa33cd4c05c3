"""A case on disk with CT and X-rays of the phantom, and the program run as a person runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import phantom
import pytest
import SimpleITK as sitk
from program import ENVIRONMENT, MVREG


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
        return subprocess.run([*MVREG, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, **options)

    return run

