"""The phantom and its X-rays as a case on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import phantom
import SimpleITK as sitk


def write_phantom_case(folder: Path, names: tuple[str, ...] = ("view1", "view2"), ct_name: str = "ct") -> Path:
    """A case.json of the phantom with truth, its start 9 mm off; its path.

    names: of the views.   ct_name: of the CT's file.
    """
    ct = phantom.make_ct()
    image = sitk.GetImageFromArray(ct.volume.values.astype(np.int16))
    image.SetSpacing(ct.volume.spacing_mm.tolist())
    image.SetOrigin(ct.volume.ct_from_index[:3, 3].tolist())
    sitk.WriteImage(image, str(folder / f"{ct_name}.nii.gz"))
    views = []
    for name, view in zip(names, phantom.make_views(ct), strict=True):
        xray = sitk.GetImageFromArray((60000 * np.exp(-view.xray.line_integrals)).astype(np.uint16))
        xray.SetSpacing((1.25, 1.25))
        sitk.WriteImage(xray, str(folder / f"{view.name}.mha"))
        views.append(
            {"name": name, "image": f"{view.name}.mha", "projection_matrix": view.camera.projection_matrix.tolist()}
        )
    corners = 30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
    case = {
        "version": 1,
        "ct": f"{ct_name}.nii.gz",
        "views": views,
        "world_from_ct": phantom.off(phantom.TRUE_POSE, [3.0, -2.0, 4.0], [6.0, 5.0, -4.0]).tolist(),
        "targets": corners.tolist(),
        "truth": {"world_from_ct": phantom.TRUE_POSE.tolist()},
    }
    (folder / "case.json").write_text(json.dumps(case), encoding="utf-8")
    return folder / "case.json"
