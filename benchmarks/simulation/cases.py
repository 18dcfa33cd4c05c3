"""Whole cases with known truth.

a CT, X-rays of it taken by an independent projector, targets and starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiViewRegistrationLib.assessment.metrics import mtre
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.fields import CALIBRATION
from MultiViewRegistrationLib.geometry.machines import CArm
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.reading import raw_image
from MultiViewRegistrationLib.imaging.xray import View, XRay, to_line_integrals
from MultiViewRegistrationLib.io.datasets.chest import chest_ct
from MultiViewRegistrationLib.io.files import write_json, written_atomically

from .body import Body, bone_points, middle, without_couch
from .projector import MaterialProjector, RtkProjector
from .simulator import PIXEL_MM, SIZE, Overlay, SimulatedXRay

SEARCH = {"rotation_deg": 15, "translation_mm": 45}
TARGETS = 30
LARGEST_START_MM = 22.0


class Patient:
    """A CT and all that its cases need of it.

    Making one takes some seconds, a case then one or two.
    """

    def __init__(
        self,
        ct_path: str | Path,
        couch: bool,
        beyond_mm: float = 130.0,
        drift: Sequence[float] = (0, 0),
    ) -> None:
        """ct_path: a CT that load_ct reads, in Hounsfield units, of a patient head first and supine.

        couch: the scanner's couch is in the CT and is to be left out. beyond_mm, drift: as in `continued`.
        """
        self.ct_path = Path(ct_path).resolve()
        ct = load_ct(self.ct_path)
        volume = without_couch(ct.volume) if couch else ct.volume
        self.projector = RtkProjector(Body.from_hu(volume, beyond_mm, drift))
        self.bone_points = bone_points(volume)
        # The middle of the images: where the bone is along the body, and half-way through it.
        self.centre = np.array([*middle(volume)[:2], self.bone_points[:, 2].mean()])


def demo_case(folder: Path) -> Path:
    """A case like that of `mvreg demo`: a chest in a C-arm, near anteroposterior and left lateral.

    Path of its case.json. Raises InputError where the CT cannot be downloaded or itk-rtk is
    missing.
    """
    patient, rng = Patient(chest_ct(), couch=True, beyond_mm=60), np.random.default_rng(4)
    cameras = [_camera(rng, *angles, mirrored=True) for angles in ((2, 3), (88, -2))]
    pose = random_pose(patient.centre, rng)
    return write_case(folder, patient, cameras, pose, rng, names=("AP", "lateral"))


def write_case(
    folder: Path,
    patient: Patient,
    cameras: Sequence[Camera],
    world_from_ct: np.ndarray,
    rng: np.random.Generator,
    xrays: Sequence[SimulatedXRay] = 3 * (SimulatedXRay(),),
    names: Sequence[str] = ("view1", "view2", "view3"),
) -> Path:
    """Writes the X-rays, each by its view's name, case.json and starts.json into `folder`; path of case.json.

    The start is the farthest of those, 20 to 22 mm from the truth at the targets.
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = targets_of(patient, cameras, xrays, world_from_ct, rng)
    starts = start_poses(world_from_ct, targets, rng)
    write_json(folder / "starts.json", {"starts": starts})
    views = []
    for name, camera, xray in zip(names, cameras, xrays):
        image = sitk.GetImageFromArray(xray.take(patient.projector, camera, world_from_ct, rng))
        image.SetSpacing((xray.pixel_mm, xray.pixel_mm))
        with written_atomically(folder / f"{name}.mha") as path:
            sitk.WriteImage(image, str(path), useCompression=True)
        views.append(
            {
                "name": name,
                "image": f"{name}.mha",
                "intensity": "linear",
                "camera": camera.to_json(),
                **CALIBRATION,  # a simulated C-arm does not bend
            }
        )
    case = {
        "version": 1,
        "ct": patient.ct_path.name
        if patient.ct_path.parent == folder.resolve()
        else str(patient.ct_path),
        "views": views,
        "world_from_ct": starts[-1],
        "search": SEARCH,
        "targets": targets,
        "truth": {"world_from_ct": world_from_ct},
    }
    write_json(folder / "case.json", case)
    return folder / "case.json"


def random_cameras(
    rng: np.random.Generator, views: int, separation_deg: tuple[float, float]
) -> list[Camera]:
    """C-arm cameras, all stored mirrored or none.

    The first within 20 degrees of anteroposterior.
    """
    mirrored = bool(rng.random() < 0.5)
    primary, secondary = rng.uniform(-20, 20), rng.uniform(-10, 10)
    cameras = [_camera(rng, primary, secondary, mirrored)]
    side = rng.choice([-1, 1])
    for _ in range(views - 1):
        other, separation = np.radians([rng.uniform(-10, 10), rng.uniform(*separation_deg)])
        first = np.radians(secondary)
        # in latitude alone it must not be more already
        other = np.clip(other, first - separation, first + separation)
        # The angle between two directions in longitude and latitude, solved for the difference in
        # longitude.
        product = np.cos(first) * np.cos(other)
        cosine = (np.cos(separation) - np.sin(first) * np.sin(other)) / product
        turn = np.degrees(np.arccos(np.minimum(cosine, 1)))
        cameras.append(_camera(rng, primary + side * turn, np.degrees(other), mirrored))
        side = -side
    return cameras


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector at the length 1."""
    return vector / np.linalg.norm(vector)


def views_of(images: Sequence[np.ndarray], cameras: Sequence[Camera]) -> list[View]:
    """The views of simulated images (rows, columns), uint16, called view 0, view 1 and so on."""
    pixel = (PIXEL_MM, PIXEL_MM)
    xrays = (to_line_integrals(raw_image(image, pixel), "linear") for image in images)
    return named_views(xrays, cameras)


def named_views(xrays: Iterable[XRay], cameras: Sequence[Camera]) -> list[View]:
    """X-rays by these cameras, called view 0, view 1 and so on."""
    pairs = enumerate(zip(xrays, cameras, strict=True))
    return [View(f"view {n}", xray, camera) for n, (xray, camera) in pairs]


def take(
    projector: MaterialProjector,
    cameras: Sequence[Camera],
    xrays: Sequence[SimulatedXRay],
    world_from_ct: np.ndarray,
    rng: np.random.Generator,
    overlays: Sequence[Overlay] = (),
) -> list[np.ndarray]:
    """X-rays (rows, columns), uint16, by each camera, with what lies on them."""
    images = []
    for camera, xray in zip(cameras, xrays, strict=True):
        image = xray.take(projector, camera, world_from_ct, rng)
        for put in overlays:
            image = put(image, camera)
        images.append(image)
    return images


def kept_images(file: Path, make: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """The images in a file, made first if it is not there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, *make())
    with np.load(file) as content:
        return [content[key] for key in content.files]


def random_pose(centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(4, 4) world_from_ct: turned by up to 10 degrees, the centre up to 15 mm off on each axis."""
    R = rigid.exp_so3(unit(rng.normal(size=3)) * np.radians(rng.uniform(0, 10)))
    return rigid.from_rotation_translation(R, rng.uniform(-15, 15, 3) - R @ centre)


def start_poses(
    world_from_ct: np.ndarray, targets: np.ndarray, rng: np.random.Generator, count: int = 10
) -> np.ndarray:
    """(count, 4, 4) poses with an mTRE up to LARGEST_START_MM, one in each of `count` equal steps."""
    errors = (np.arange(count) + rng.uniform(size=count)) * LARGEST_START_MM / count
    return np.stack([_start_pose(world_from_ct, targets, error, rng) for error in errors])


def _start_pose(world_from_ct, targets, error_mm, rng):
    """A pose with this mTRE, within the range that the case says to search."""
    true = rigid.transform_points(world_from_ct, targets)
    while True:
        twist = rng.normal(size=6) * [0.07, 0.07, 0.07, 8, 8, 8]
        for _ in range(10):  # the error is nearly proportional to the twist
            start = rigid.about(true.mean(axis=0), rigid.exp_se3(twist))
            twist *= error_mm / mtre(start, np.eye(4), true)
        if np.degrees(rigid.rotation_angle(start)) < SEARCH["rotation_deg"] - 2:
            return start @ world_from_ct


def targets_of(
    patient: Patient,
    cameras: Sequence[Camera],
    xrays: Sequence[SimulatedXRay],
    world_from_ct: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """(TARGETS, 3) points of the bone, CT LPS mm, that lie in the field of every view."""
    world = rigid.transform_points(world_from_ct, patient.bone_points)
    pairs = zip(cameras, xrays)
    seen = np.all([xray.shows(camera.project(world), camera.size) for camera, xray in pairs], 0)
    if seen.sum() < TARGETS:
        raise InputError(
            f"{patient.ct_path}: found {seen.sum()} points of bone that all views show, expected "
            f"at least {TARGETS}; use a CT in Hounsfield units with more bone, or fewer views."
        )
    return rng.choice(patient.bone_points[seen], TARGETS, replace=False).round(2)


def _camera(rng, primary_deg, secondary_deg, mirrored):
    """That of a C-arm with distances and principal point as they vary from one view to the next."""
    principal_point = (np.array(SIZE) - 1) / 2 + rng.uniform(-12, 12, 2)
    return CArm(
        source_to_detector_mm=rng.uniform(1000, 1030),
        source_to_isocentre_mm=rng.uniform(685, 715),
        pixel_mm=(PIXEL_MM, PIXEL_MM),
        size=SIZE,
        principal_point=tuple(principal_point),
        rao_lao_deg=primary_deg,
        cra_cau_deg=secondary_deg,
        mirrored=mirrored,
    ).camera()
