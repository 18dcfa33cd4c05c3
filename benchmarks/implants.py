"""Implants by their surfaces, each registered by itself from a start near it.

python -m benchmarks implants CASES --seed N --rows ROWS.jsonl [--bones]

Each case is a component of a hip or a knee in cobalt-chrome, or a pedicle screw in titanium, in the
pelvis of a CT, two X-rays 55 to 65 degrees apart with scatter, beam hardening and noise. Its shadow
is gVirtualXray's of the triangles, the body's RTK's. The start is off by up to 10 mm and 10 degrees.
With --bones it is registered beside the CT, of which hip bones and sacrum have moved and are labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import numpy as np

import mvreg
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera

from . import bones
from .people import drawn, near_start, person
from .simulation.body import Body, bone_points
from .simulation.cases import take, unit
from .simulation.projector import (
    MovedBones,
    RtkProjector,
    SurfaceProjector,
    add_surface,
    gvxr_scene,
)
from .simulation.simulator import SimulatedXRay
from .study import Options, Study

PERSON = "pelvis 2 mm"
#: Of cameras that were measured where the X-rays were taken, which these are: exact.
CALIBRATED = {"principal_point_sd_px": 0.5}
#: Labels of the bones beside an implant, and how far these move against each other, degrees.
LABELS = (25, 77, 78)
BENT_DEG = 4.0
#: In the image plane, along depth, and turned.
LIMITS = {"across_mm": 0.1, "depth_mm": 0.5, "degrees": 0.5}


def _tapered(points: np.ndarray, start, end, radii: tuple[float, float]) -> np.ndarray:
    """Distance of points (..., 3) from a rod that tapers and has round ends."""
    along = np.subtract(end, start)
    share = np.clip((points - start) @ along / (along @ along), 0, 1)
    away = np.linalg.norm(points - (start + share[..., None] * along), axis=-1)
    return away - (radii[0] + (radii[1] - radii[0]) * share)


def hip(points: np.ndarray) -> np.ndarray:
    """Distance from a femoral component: ball, neck, and a stem that is flat and tapers."""
    ball = np.linalg.norm(points, axis=-1) - 16
    neck = _tapered(points, (0, 0, 0), (28, 0, -27), (6.5, 8))
    flat = points * [1, 1.35, 1]
    upper = _tapered(flat, (28, 0, -27), (34, 2, -70), (13, 9))
    lower = _tapered(flat, (34, 2, -70), (36, 4, -150), (9, 5.5))
    return np.min([ball, neck, upper, lower], axis=0)


def knee(points: np.ndarray) -> np.ndarray:
    """Distance from a femoral component: shells of two condyles, a bridge, two pegs."""
    x, y, z = np.moveaxis(points, -1, 0)
    from_axis = np.hypot(1.08 * y, z)

    def condyle(middle: float, radius: float, half: float) -> np.ndarray:
        shell = np.abs(from_axis - radius + 4) - 4
        return np.max([shell, np.abs(x - middle) - half, z - radius / 4], axis=0)

    bridge = np.max([np.abs(from_axis - 20) - 4, np.abs(x) - 14, y + 8, z - 14], axis=0)
    pegs = (_tapered(points, (at, 2, -18), (at, 2, -3), (3, 3)) for at in (-17, 18))
    return np.min([condyle(-17, 25, 12), condyle(18, 23, 11), bridge, *pegs], axis=0)


def screw(points: np.ndarray) -> np.ndarray:
    """Distance from a pedicle screw with its thread and the slot of its head."""
    x, y, z = np.moveaxis(points, -1, 0)
    shaft = _tapered(points, (0, 0, 0), (0, 0, -45), (3.2, 2.4))
    ridge = 3.3 + 0.5 * np.cos(2 * np.pi * z / 2.75 + np.arctan2(y, x))
    thread = np.max([np.hypot(x, y) - ridge, z + 6, -46 - z], axis=0)
    head = np.maximum(np.linalg.norm(points - [0, 0, 4], axis=-1) - 6.5, z - 9)
    slot = np.maximum(np.abs(x) - 2.8, 2 - z)
    return np.min([shaft, thread, np.maximum(head, -slot)], axis=0)


class Kind(NamedTuple):
    """An implant: distance from its surface, its box, mm, voxels to find that, material, and mm of iron that a mm of it equals."""

    distance: Callable[[np.ndarray], np.ndarray]
    low: tuple[float, ...]
    high: tuple[float, ...]
    voxel_mm: float
    material: str
    iron: float


KINDS = {
    "hip": Kind(hip, (-20, -20, -160), (50, 20, 20), 0.6, "cobalt-chrome", 1.15),
    "knee": Kind(knee, (-34, -30, -30), (34, 30, 20), 0.5, "cobalt-chrome", 1.15),
    "screw": Kind(screw, (-8, -8, -52), (8, 8, 12), 0.25, "titanium", 0.36),
}


class Implant(SurfaceProjector):
    """The triangles of an implant, in gVirtualXray's scene and in a file."""

    def __init__(self, name: str) -> None:
        import vtk
        from vtk.util.numpy_support import vtk_to_numpy

        kind = KINDS[name]
        axes = (np.arange(a, b, kind.voxel_mm) for a, b in zip(kind.low, kind.high, strict=True))
        values = kind.distance(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
        surface = _surface(values, kind)
        self.path = Path(gettempdir()) / f"{name}.stl"
        writer = vtk.vtkSTLWriter()
        writer.SetFileName(str(self.path))
        writer.SetFileTypeToBinary()
        writer.SetInputData(surface)
        writer.Write()
        self.kind = kind
        self.points = vtk_to_numpy(surface.GetPoints().GetData()).astype(float)
        triangles = vtk_to_numpy(surface.GetPolys().GetConnectivityArray())
        self._gvxr = gvxr_scene()
        self._label = add_surface(self.points, triangles)
        self._middle = np.append(self.points.mean(axis=0), 1.0)

    def chord_lengths(self, camera: Camera, world_from_implant: np.ndarray) -> np.ndarray:
        """(rows, columns) float32: mm of iron that attenuate as what a ray crosses."""
        self.place(camera, world_from_implant)
        return self.lengths_cm(camera, self._label) * np.float32(10 * self.kind.iron)


def _surface(values: np.ndarray, kind: Kind):
    """The surface (vtkPolyData) where distances (x, y, z) are 0."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*values.shape)
    image.SetOrigin(*kind.low)
    image.SetSpacing(*3 * [kind.voxel_mm])
    image.GetPointData().SetScalars(numpy_to_vtk(values.astype(np.float32).ravel("F"), deep=1))
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.0)
    merged = vtk.vtkCleanPolyData()
    merged.SetInputConnection(edges.GetOutputPort())
    outward = vtk.vtkPolyDataNormals()
    outward.SplittingOff()
    outward.AutoOrientNormalsOn()
    outward.SetInputConnection(merged.GetOutputPort())
    outward.Update()
    return outward.GetOutput()


class Placed(NamedTuple):
    """An implant at a pose, as the metal of a `SimulatedXRay`."""

    implant: Implant
    world_from_implant: np.ndarray

    def chord_lengths(self, camera: Camera) -> np.ndarray:
        """As `Implant.chord_lengths`."""
        return self.implant.chord_lengths(camera, self.world_from_implant)


@lru_cache
def implant(name: str) -> Implant:
    """One of KINDS."""
    return Implant(name)


@lru_cache
def body(data: Path) -> tuple:
    """The pelvis, its projector, and points of its bones."""
    _, volume = person(PERSON, data)
    return volume, RtkProjector(Body.from_hu(volume)), bone_points(volume)


def bent(
    options: Options, rng: np.random.Generator, world_from_body: np.ndarray
) -> tuple[MovedBones, mvreg.Body]:
    """The pelvis with its bones moved, and its CT with labels of them, from a start near it."""
    _, projector, points = body(options.data)
    there = bones.person("pelvis", options.data)
    moved = bones.motions(rng, there.points, bones.CHAINS["pelvis"][0], BENT_DEG)
    labels = np.where(np.isin(there.labels, LABELS), there.labels, 0)
    whole = mvreg.Body(
        there.ct,
        labels=labels.transpose(2, 1, 0),
        structures={bones.NAMES[label]: label for label in LABELS},
        world_from_ct=near_start(rng, world_from_body, points),
    )
    return MovedBones(projector, there.longer, there.longer_labels, moved), whole


def run(options: Options, seed: int, number: int) -> dict:
    """Simulate and register a case."""
    rng = np.random.default_rng([seed, number])
    name = list(KINDS)[number % len(KINDS)]
    volume, projector, bone = body(options.data)
    cameras, world_from_body = drawn(rng, volume, bone, 2, (55, 65))
    own = implant(name)
    middle = own.points.mean(axis=0)
    turn = rigid.exp_so3(unit(rng.normal(size=3)) * np.radians(rng.uniform(0, 40)))
    true = rigid.from_rotation_translation(turn, rng.uniform(-30, 30, 3) - turn @ middle)
    xray = SimulatedXRay(
        metal=(Placed(own, true),),
        photons=rng.uniform(500, 2000),
        scatter_to_primary=rng.uniform(0.2, 1.2),
    )
    beside = []
    if options.bones:
        projector, whole = bent(options, np.random.default_rng([seed, number, 1]), world_from_body)
        beside.append(whole)
    images = take(projector, cameras, [xray] * 2, world_from_body, rng)
    centre = rigid.transform_points(true, middle)
    motion = rigid.turn_and_shift(
        unit(rng.normal(size=3)) * np.radians(rng.uniform(0, 10)),
        unit(rng.normal(size=3)) * rng.uniform(0, 10),
    )
    views = [
        mvreg.View(image, camera, name=f"view {n}", intensity="linear", uncertainty=CALIBRATED)
        for n, (image, camera) in enumerate(zip(images, cameras, strict=True))
    ]
    start = rigid.about(centre, motion) @ true
    part = mvreg.Body(own.path, name=name, unit=own.kind.material, world_from_ct=start)
    result = mvreg.register(mvreg.Case.from_arrays(*beside, part, *views))
    judged = result.bodies[name]
    found = judged.world_from_ct
    off = rigid.transform_points(found, middle) - centre
    beams = [unit(centre - camera.source) for camera in cameras]
    along = [float(off @ beam) for beam in beams]
    turned = np.degrees(np.linalg.norm(rigid.log_so3((found @ rigid.inverse(true))[:3, :3])))
    codes = [reason.code for reason in judged.reasons]
    return {
        "implant": name,
        "across_mm": max(float(np.linalg.norm(off - a * beam)) for a, beam in zip(along, beams)),
        "depth_mm": max(map(abs, along)),
        "degrees": float(turned),
        "turn_not_shown": "turn-not-shown" in codes,
        "alike": min(judged.similarity.values()),
        "verdict": judged.verdict,
    }


def tables(rows: list[dict]) -> str:
    """By implant: how many are within all limits, medians and largest errors."""
    lines = [
        "| implant | cases | within | " + " | ".join(f"{key}: median, largest" for key in LIMITS),
        "| --- " * (3 + len(LIMITS)) + "|",
    ]
    for name in KINDS:
        own = [row for row in rows if row["implant"] == name]
        within = sum(all(row[key] <= most for key, most in LIMITS.items()) for row in own)
        errors = (np.array([row[key] for row in own]) for key in LIMITS)
        told = " | ".join(f"{np.median(each):.2f}, {each.max():.2f}" for each in errors)
        lines.append(f"| {name} | {len(own)} | {within} | {told} |")
    return "\n".join(lines)


BONES = {"action": "store_true", "help": "beside the CT and its labelled bones"}
STUDY = Study(__doc__, run, tables, arguments={"bones": BONES})
