"""A body of ellipsoids: its CT by sampling, its X-rays in closed form.

Nothing of the program is used, so it stays as it is.
"""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

#: Of water, per mm; line integrals are of this times 1 + HU / 1000.
ATTENUATION = 0.02


def _ellipsoids(part):
    """Of a part of the body: centre, half axes (mm), rotation vector (degrees), HU more than what is there already."""
    with Path(__file__).with_name("ellipsoids.csv").open(encoding="utf-8") as file:
        rows = [list(map(int, numbers)) for name, *numbers in csv.reader(file) if name == part]
    return [(tuple(row[:3]), tuple(row[3:6]), tuple(row[6:9]), row[9]) for row in rows]


#: Soft tissue, its bones but one, and that one, the structure.
SOFT, REST, STRUCTURE = map(_ellipsoids, ("soft", "rest", "structure"))
ELLIPSOIDS = SOFT + REST + STRUCTURE
#: An other patient's bones.
OTHER = SOFT + [
    ((y, -x, -z), (b, a, c), (0, 15, 0), hu) for (x, y, z), (a, b, c), _, hu in REST + STRUCTURE
]


def pose(rotation_deg, shift_mm):
    """(4, 4) that turns about the origin by a rotation vector and then shifts."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(rotation_deg, degrees=True).as_matrix()
    matrix[:3, 3] = shift_mm
    return matrix


#: world_from_ct of the X-rays, and a start 9 mm off.
TRUTH = pose([3, -6, 4.5], [3, -4, 2])
START = pose([3, -2, 4], [6, 5, -4]) @ TRUTH


@dataclass(frozen=True)
class CArm:
    """A C-arm's reading, and the camera that the program's frames (docs/frames.md) make of it."""

    rao_lao_deg: float = 0
    cra_cau_deg: float = 0
    source_to_detector_mm: float = 1000
    source_to_isocentre_mm: float = 700
    pixel_mm: float = 1.25
    size: tuple[int, int] = (128, 128)
    mirrored: bool = False

    def intrinsics(self):
        focal = self.source_to_detector_mm / self.pixel_mm
        (columns, rows), sign = self.size, -1 if self.mirrored else 1
        return np.array(
            [[sign * focal, 0, (columns - 1) / 2], [0, focal, (rows - 1) / 2], [0, 0, 1.0]]
        )

    def camera_from_world(self):
        at_zero = [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]
        turn = (
            Rotation.from_euler(
                "ZX", [self.rao_lao_deg, -self.cra_cau_deg], degrees=True
            ).as_matrix()
            @ at_zero
        )
        matrix = np.eye(4)
        matrix[:3, :3] = turn.T
        matrix[2, 3] = self.source_to_isocentre_mm
        return matrix

    def projection_matrix(self):
        return self.intrinsics() @ self.camera_from_world()[:3]

    def reading(self):
        """As "c_arm" of a case.json."""
        return {
            "source_to_detector_mm": self.source_to_detector_mm, "source_to_isocentre_mm": self.source_to_isocentre_mm,
            "pixel_mm": [self.pixel_mm] * 2, "size": list(self.size), "rao_lao_deg": self.rao_lao_deg, "cra_cau_deg": self.cra_cau_deg,
            "mirrored": self.mirrored,
        }  # fmt: skip

    def camera(self):
        """As "camera" of a case.json."""
        return {
            "intrinsics": self.intrinsics().tolist(), "camera_from_world": self.camera_from_world().tolist(), "size": list(self.size),
        }  # fmt: skip

    def project(self, world):
        """Pixels (N, 2) of points (N, 3) of the world."""
        x = np.c_[world, np.ones(len(world))] @ self.projection_matrix().T
        return x[:, :2] / x[:, 2:]


def _unit_from_mm(ellipsoid):
    """(4, 4) that makes an ellipsoid the unit sphere."""
    centre, axes, turn, _ = ellipsoid
    matrix = np.linalg.inv(pose(turn, centre))
    matrix[:3] /= np.array(axes, float)[:, None]
    return matrix


@functools.lru_cache
def ct_values(other=False, count=48, spacing_mm=2.0):
    """HU (k, j, i), int16, of a cube centred on the origin; each voxel is the mean of 8 samples."""
    at = (np.arange(2 * count) - count + 0.5) * spacing_mm / 2
    z, y, x = np.meshgrid(at, at, at, indexing="ij", sparse=True)
    hu = np.full((2 * count,) * 3, -1000.0)
    for ellipsoid in OTHER if other else ELLIPSOIDS:
        m = _unit_from_mm(ellipsoid)
        hu[sum((m[r, 0] * x + m[r, 1] * y + m[r, 2] * z + m[r, 3]) ** 2 for r in range(3)) < 1] += (
            ellipsoid[3]
        )
    return np.round(hu.reshape(count, 2, count, 2, count, 2).mean(axis=(1, 3, 5))).astype(np.int16)


def structure_mask():
    """Non-zero (k, j, i) within the structure or at most 2 mm beyond."""
    at = (np.arange(48) - 23.5) * 2.0
    z, y, x = np.meshgrid(at, at, at, indexing="ij", sparse=True)
    inside = np.zeros((48,) * 3, bool)
    for centre, axes, turn, hu in STRUCTURE:
        m = _unit_from_mm((centre, np.add(axes, 2), turn, hu))
        inside |= (
            sum((m[r, 0] * x + m[r, 1] * y + m[r, 2] * z + m[r, 3]) ** 2 for r in range(3)) < 1
        )
    return inside.astype(np.uint8)


def line_integrals(c_arm, world_from_ct, ellipsoids):
    """(rows, columns) of the X-ray, without noise."""
    columns, rows = c_arm.size
    u, v = np.meshgrid(np.arange(columns, dtype=float), np.arange(rows, dtype=float))
    directions = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(c_arm.intrinsics()).T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    ct_from_camera = np.linalg.inv(c_arm.camera_from_world() @ world_from_ct)
    total = np.zeros(u.shape)
    for ellipsoid in ellipsoids:
        unit_from_camera = _unit_from_mm(ellipsoid) @ ct_from_camera
        d, o = directions @ unit_from_camera[:3, :3].T, unit_from_camera[:3, 3]
        a, b, c = (d * d).sum(-1), d @ o, o @ o - 1
        total += ellipsoid[3] / 1000 * ATTENUATION * 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a
    return total


def xray(
    c_arm,
    world_from_ct=TRUTH,
    *,
    number=0,
    structure_at=None,
    ellipsoids=None,
):
    """Detected counts (rows, columns), uint16, with noise, an unknown gain and some scatter.

    number: of the noise.   structure_at: world_from_ct of the structure, if it lies elsewhere than the rest.
    """
    if structure_at is None:
        integrals = line_integrals(c_arm, world_from_ct, ellipsoids or ELLIPSOIDS)
    else:
        integrals = line_integrals(c_arm, world_from_ct, SOFT + REST) + line_integrals(
            c_arm, structure_at, STRUCTURE
        )
    noise = np.random.RandomState(number).standard_normal(
        integrals.shape
    )  # a stream that numpy keeps for ever
    counts = 45000 * np.exp(-integrals)
    return np.clip(np.round(counts + 1500 + 0.5 * np.sqrt(counts) * noise), 0, 65535).astype(
        np.uint16
    )


def write_image(
    path,
    values,
    spacing=None,
    origin=None,
):
    image = sitk.GetImageFromArray(values)
    if spacing is not None:
        image.SetSpacing(list(spacing))
    if origin is not None:
        image.SetOrigin(list(origin))
    sitk.WriteImage(image, str(path))


def write_ct(path, values=None, spacing_mm=2.0):
    """A cube centred on the origin, or what is left of it at its end along z."""
    values = ct_values() if values is None else values
    first = -(values.shape[2] - 1) / 2 * spacing_mm
    write_image(path, values, [spacing_mm] * 3, [first] * 3)


TWO_VIEWS = (CArm(), CArm(90))
TARGETS = (30.0 * np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)).tolist()


def write_body(
    folder,
    c_arms=TWO_VIEWS,
    *,
    ct="ct.mha",
    image="{}.mha",
    geometry="projection_matrix",
    **of_xray,
):
    """Writes CT and X-rays; returns the case.json, parsed, which `save` writes.

    ct, image: names of the files, whose ending is their format.   geometry: "projection_matrix", "camera" or "c_arm".
    """
    write_ct(folder / ct)
    views = []
    for number, c_arm in enumerate(c_arms):
        name = f"view{number + 1}"
        write_image(
            folder / image.format(name), xray(c_arm, number=number, **of_xray), [c_arm.pixel_mm] * 2
        )
        told = {
            "projection_matrix": lambda each: each.projection_matrix().tolist(), "camera": CArm.camera, "c_arm": CArm.reading,
        }[geometry](c_arm)  # fmt: skip
        said = (
            {} if geometry == "c_arm" else {"principal_point_sd_px": 0.5}
        )  # exact by construction
        views.append({"name": name, "image": image.format(name), geometry: told, **said})
    return {
        "version": 1, "ct": ct, "views": views, "world_from_ct": START.tolist(), "targets": TARGETS,
        "truth": {"world_from_ct": TRUTH.tolist()},
    }  # fmt: skip


def save(folder, case, name="case.json"):
    """A key whose value is None is left out."""
    (folder / name).write_text(
        json.dumps({key: value for key, value in case.items() if value is not None}),
        encoding="utf-8",
    )
