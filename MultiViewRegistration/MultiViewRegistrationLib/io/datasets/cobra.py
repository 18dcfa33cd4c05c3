"""COBRA2026: cone-beam projections of 867 pelvic patients in radiotherapy, with planning CTs (doi 10.5281/zenodo.21322350).

Its files and axes are those of github.com/cobra-challenge-2026 (preprocessing/create_release.py,
gc-tools/sample_reconstruction.py): `geometry.xml` is RTK's, of the projections in
`projections.mha` as the machine stored them. RTK's world has the isocentre as its origin, and axes
that mirror the patient's, since rows are stored upside down.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import load_ct
from ...imaging.reading import raw_image, read_slice
from ..calibration.read import read_calibration
from ..files import printable
from . import Imported, view_entry

#: The file that only this machine's cases have, and RTK's axes (3, 3) from the patient's (LPS).
MACHINES = {
    "reconstruction.yaml": np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]),  # Elekta
    "Scan.xml": np.array([[1, 0, 0], [0, 0, -1], [0, -1, 0]]),  # Varian
}
#: About the isocentre: how far a patient is set up from the plan, with room.
SEARCH = {"rotation_deg": 10.0, "translation_mm": 60.0}
DEFORMED = (
    "The CT was deformed to the projections by the data's authors, and mixed with what they show: "
    "errors against its pose tell little below its voxels."
)
UNKNOWN = "The data does not say where the planning CT lay: there is no truth."


def read_cobra(
    folder: str | os.PathLike, views: Sequence[int], *, deformed: bool = False
) -> Imported:
    """Return a case of one patient's folder and the projections with these numbers.

    The world has its origin at the isocentre and the patient's axes. The start has the bone's
    centre there, with the CT's axes.

    Parameters
    ----------
    deformed
        Take the CT that was deformed to the projections, whose true pose is known, in place of the
        planning CT.

    Raises
    ------
    InputError
        For what differs from the layout.
    """
    folder = Path(folder)
    axes = next((axes for name, axes in MACHINES.items() if (folder / name).is_file()), None)
    if axes is None:
        raise InputError(
            f"{printable(folder)}: has neither {' nor '.join(MACHINES)}, expected the folder of one COBRA2026 case; name that."
        )
    rtk_from_world = np.eye(4)
    rtk_from_world[:3, :3] = axes
    images = {}
    entries = []
    for number in views:
        stored, count = read_slice(folder / "projections.mha", number)
        if not 0 <= number < count:
            raise InputError(
                f"views: found {number}, expected numbers from 0 to {count - 1}; correct them."
            )
        name = f"{number:03d}"
        columns, rows, _ = stored.size
        dx, dy, _ = stored.spacing_mm
        described: dict[str, Any] = {
            "size": (columns, rows),
            "detector_spacing_mm": (dx, dy),
            "detector_origin_mm": stored.origin_mm[:2],
        }
        found = read_calibration(folder / "geometry.xml", "rtk", **described)
        matrix = found[number].projection_matrix @ rtk_from_world
        camera = Camera.from_projection_matrix(matrix, (columns, rows), in_front=np.zeros(3))
        images[name] = raw_image(stored.values[0], (dx, dy))
        entries.append(view_entry(name, camera, "linear"))
    ct = load_ct(folder / ("ct_def.mha" if deformed else "ct_original.mha"))
    start = rigid.translation(-ct.centroid())
    content: dict[str, Any] = {"views": entries, "search": SEARCH, "world_from_ct": start}
    if deformed:
        content["truth"] = {"world_from_ct": np.eye(4)}
    return Imported(content, ct, images, [DEFORMED if deformed else UNKNOWN])
