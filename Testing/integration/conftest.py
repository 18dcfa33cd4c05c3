"""A case on disk with CT and X-rays of the phantom, and the program run as a person runs it."""

from __future__ import annotations

import json
import subprocess
import warnings
from pathlib import Path

import numpy as np
import phantom
import pytest
import SimpleITK as sitk

from MultiViewRegistrationLib.cli import main


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
def mvreg(monkeypatch, capfd):
    """Runs `mvreg`; returns what a process of its own would: exit status and output as text.

    It runs in this process, which has read its packages already; whether `mvreg` starts and ends as a process is tested where that can
    make a difference: with signals, a terminal, packages that are missing, and once from beginning to end.
    """

    def run(*arguments, cwd=None) -> subprocess.CompletedProcess:
        capfd.readouterr()
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.resetwarnings()  # to what Python begins with, not pytest
            for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            if cwd is not None:
                patch.chdir(cwd)
            try:
                status = main(list(map(str, arguments)))
            except SystemExit as end:  # of the parser
                status = end.code
        return subprocess.CompletedProcess(arguments, status, *capfd.readouterr())

    return run
