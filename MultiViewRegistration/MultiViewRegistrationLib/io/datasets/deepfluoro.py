"""The down-sampled files of DeepFluoro: pictures to train networks on, of which no registration can be made.

They hold X-rays as line integrals, 50 pixels cut off each side, upright, at 1/2 to 1/16 of the resolution; the labels of what each pixel
shows; and landmarks in the image. They hold no CT, no intrinsics and no pose, and how their pixels lie on the full image's to a part of a
pixel is not written anywhere. So they make images, labels and landmarks, but no case.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import CT, ct_from_array, masked
from ...imaging.xray import RawImage, raw_image
from ..case_writer import metaimage
from ..files import staged
from ..hdf5 import Hdf5, opened
from . import LEAKS, Imported, in_any_view, view_entry

SMALL_LAYOUT = "a down-sampled file of DeepFluoro"
#: Groups of the down-sampled files, by the names in the full one.
GROUPS = {"17-1882": "01", "18-1109": "02", "18-0725": "03", "18-2799": "04", "18-2800": "05", "17-1905": "06"}
MAX_LANDMARKS = 100


@dataclass(frozen=True, eq=False)
class SmallProjection:
    """An X-ray of a down-sampled file.

    Attributes
    ----------
    line_integrals
        float32 (rows, columns), bone bright.
    labels
        uint8 of the same shape, 0 = background.
    landmarks
        [column, row] by name; they may lie outside the image.
    """

    line_integrals: np.ndarray
    labels: np.ndarray
    landmarks: dict[str, list[float]]


def refuse_down_sampled(file: Hdf5) -> NoReturn:
    """The InputError for a file without geometry where the full one is needed."""
    if file.has("land-names"):
        raise InputError(
            f"{file.name}: is {LAYOUT}, which has X-rays, their segmentation and landmarks but neither CT, intrinsics nor "
            "poses, so that no case can be made of it; give the full-resolution file, or use mvreg import deepfluoro-small "
            "for its images."
        )
    file.refuse("proj-params", "is missing", f"it in {file.layout}")


def read_small(path: str | os.PathLike, specimen: str, views: Sequence[int]) -> dict[int, SmallProjection]:
    """The X-rays with these numbers of a specimen, by the number.

    Parameters
    ----------
    specimen
        As in the full-resolution file ("17-1882"), or as here ("01").

    Raises
    ------
    InputError
        For what differs from the layout.
    """
    group = GROUPS.get(specimen, specimen)
    if group not in GROUPS.values():
        raise InputError(f'specimen: found "{specimen}", expected one of {", ".join(GROUPS)}; choose one of these.')
    with opened(path, SMALL_LAYOUT) as file:
        count = int(
            file.number("land-names/num-lands", f"a number of landmarks, 1 to {MAX_LANDMARKS}", 1, MAX_LANDMARKS)
        )
        names = [file.text(f"land-names/land-{number:02d}", "a landmark's name") for number in range(count)]
        images = file.pixels(f"{group}/projs", 3, "X-rays x rows x columns")
        labels = file.pixels(f"{group}/segs", 3, "X-rays x rows x columns of labels")
        landmarks = file.pixels(f"{group}/lands", 3, f"X-rays x 2 x {count}")
        if labels.shape != images.shape or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 255:
            file.refuse(f"{group}/segs", "does not fit the X-rays", "whole numbers from 0 to 255 in the shape of projs")
        if landmarks.shape != (len(images), 2, count):
            file.refuse(f"{group}/lands", f"has the shape {landmarks.shape}", f"{(len(images), 2, count)}")
        if not views or not all(0 <= number < len(images) for number in views):
            file.refuse(
                f"{group}/projs",
                f"has {len(images)} X-rays",
                f"numbers from 0 to {len(images) - 1}",
                "correct the views",
            )
    return {
        number: SmallProjection(
            images[number].astype(np.float32),
            labels[number].astype(np.uint8),
            dict(zip(names, landmarks[number].T.astype(float).tolist(), strict=True)),
        )
        for number in views
    }


def write_small(folder: str | os.PathLike, projections: dict[int, SmallProjection]) -> list[Path]:
    """Writes NNN.mha (line integrals), NNN_labels.png and landmarks.json; returns their paths. All appear, or none."""
    landmarks = {f"{number:03d}": projection.landmarks for number, projection in projections.items()}
    with staged(folder, last="landmarks.json") as staging:
        for number, projection in projections.items():
            (staging / f"{number:03d}.mha").write_bytes(metaimage(projection.line_integrals, np.eye(3)))
            Image.fromarray(projection.labels).save(staging / f"{number:03d}_labels.png")
        (staging / "landmarks.json").write_text(json.dumps(landmarks, indent=1) + "\n", encoding="utf-8")
        written = sorted(path.name for path in staging.iterdir())
    return [Path(folder) / name for name in written]


LAYOUT = "DeepFluoro's full-resolution file (ipcai_2020_full_res_data.h5)"
PARAMETERS = "proj-params"
PELVIS_POSE = "cam-to-pelvis-vol"


@dataclass(frozen=True)
class Bone:
    """What can be registered.

    Attributes
    ----------
    pose, good
        In gt-poses, the latter 1 where the pose is good.
    labels
        In vol-seg.
    landmark
        The only one that lies on the bone; None for all.
    """

    pose: str
    labels: tuple[int, ...]
    good: str | None = None
    landmark: str | None = None


BONES = {
    "pelvis": Bone(PELVIS_POSE, (1, 2, 3, 4)),
    "left-femur": Bone("cam-to-left-femur-vol", (5,), "left-femur-good-fov", "FH-l"),
    "right-femur": Bone("cam-to-right-femur-vol", (6,), "right-femur-good-fov", "FH-r"),
}
MAX_LANDMARK_DISTANCE_PX = 5.0  # between the file's 2D landmarks (median) and where its own geometry puts the 3D ones
START_DEPTH = (
    0.75  # of the way from source to detector: where DiffPose's prior has the patient (10.48550/arXiv.2312.06358, code)
)
SEARCH = {"rotation_deg": 45.0, "translation_mm": 150.0}
#: Camera from CT axes of an AP image whose patient is upright: columns to the patient's left, rows to the feet, Z to the back.
AP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
TURNED = np.diag([-1.0, -1, 1])  # by 180 degrees about the beam


@dataclass(frozen=True, eq=False)
class Detector:
    """proj-params, in the file's own convention.

    Attributes
    ----------
    intrinsic
        (3, 3).
    extrinsic
        (4, 4).
    size
        (columns, rows).
    """

    intrinsic: np.ndarray
    extrinsic: np.ndarray
    size: tuple[int, int]
    pixel_mm: tuple[float, float]

    @property
    def source_to_detector_mm(self) -> float:
        return abs(self.intrinsic[1, 1]) * self.pixel_mm[1]

    def project(self, world_from_ct: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2), column and row in the image as it is stored, of CT points (N, 3)."""
        x = rigid.transform_points(self.extrinsic @ world_from_ct, points) @ self.intrinsic.T
        return x[:, :2] / x[:, 2:]


@dataclass(frozen=True, eq=False)
class Projection:
    """One X-ray.

    Attributes
    ----------
    world_from_ct
        (4, 4), to the frame that the file calls the camera's world.
    turned
        As rot-180-for-up says.
    """

    number: int
    image: RawImage
    world_from_ct: np.ndarray
    turned: bool


def read_deepfluoro(
    path: str | os.PathLike,
    specimen: str,
    views: Sequence[int],
    *,
    bone: str | None = None,
    crop: int = 0,
    upright: bool = False,
    all_targets: bool = False,
) -> Imported:
    """A case of one specimen and the X-rays with these numbers, with its truth.

    The world is the frame of the first view's "camera world". The views' relation to each other is known from the true poses alone: with
    several views `relative_geometry` is "truth". The start is a plain AP pose that knows nothing of the truth.

    Parameters
    ----------
    bone
        One of BONES, which becomes the mask; None for the whole CT at the pelvis's pose, as the papers do.
    crop
        Pixels to cut off each side; the papers cut 50. 0 leaves the images undisturbed.
    upright
        Turn the images whose rot-180-for-up is 1, as the papers do.
    all_targets
        Take all landmarks as targets, rather than those that fall on one of the images; of a femur the centre of
        its head alone.

    Raises
    ------
    InputError
        For what differs from the layout, naming the HDF5 path.
    """
    if bone is not None and bone not in BONES:
        raise InputError(f'bone: found "{bone}", expected one of {", ".join(BONES)}.')
    if not views or len(set(views)) < len(views) or min(views) < 0:
        raise InputError("views: expected numbers of X-rays from 0, each once; correct them.")
    with opened(path, LAYOUT) as file:
        if not file.has(PARAMETERS):
            refuse_down_sampled(file)
        detector = _detector(file)
        file.require(specimen, "specimen", sorted(set(file.names("")) - {PARAMETERS}))
        ct = _ct(file, specimen, bone)
        landmarks = {
            name: file.vector(f"{specimen}/vol-landmarks/{name}", 3, "a point of 3 mm in LPS")
            for name in file.names(f"{specimen}/vol-landmarks")
        }
        projections = [_projection(file, specimen, number, detector, bone, landmarks) for number in views]
    only = bone and BONES[bone].landmark
    points = [point for name, point in landmarks.items() if only in (None, name)]
    return _case(ct, detector, projections, np.reshape(points, (-1, 3)), crop, upright, all_targets)


def _detector(file: Hdf5) -> Detector:
    def number(name: str, expected: str, least: float, most: float) -> float:
        return file.number(f"{PARAMETERS}/{name}", expected, least, most)

    intrinsic = file.matrix(f"{PARAMETERS}/intrinsic", (3, 3), "a 3 x 3 matrix")
    if not (
        intrinsic[0, 0] < 0 and intrinsic[1, 1] < 0 and np.allclose(intrinsic[[1, 2, 2, 2], [0, 0, 1, 2]], (0, 0, 0, 1))
    ):
        file.refuse(
            f"{PARAMETERS}/intrinsic",
            f"has fx = {intrinsic[0, 0]:g} and fy = {intrinsic[1, 1]:g}",
            "an upper triangular matrix with fx and fy below 0, as z is toward the source",
        )
    extrinsic = rigid.check_rigid(
        file.matrix(f"{PARAMETERS}/extrinsic", (4, 4), "a rigid 4 x 4 matrix"), f"{file.name}: {PARAMETERS}/extrinsic"
    )
    size = tuple(int(number(f"num-{axis}", "a number of pixels", 8, 20000)) for axis in ("cols", "rows"))
    pixel_mm = tuple(
        number(f"pixel-{axis}-spacing", "a pixel's mm on the detector, 0.01 to 10", 0.01, 10) for axis in ("col", "row")
    )
    detector = Detector(intrinsic, extrinsic, size, pixel_mm)
    if not 200 <= detector.source_to_detector_mm <= 5000:
        file.refuse(
            f"{PARAMETERS}/intrinsic",
            f"and the pixel size have the detector {detector.source_to_detector_mm:g} mm from the source",
            "200 to 5000 mm",
        )
    return detector


def _ct(file: Hdf5, specimen: str, bone: str | None) -> CT:
    group = f"{specimen}/vol"
    values = file.pixels(f"{group}/pixels", 3, "slices x rows x columns in HU")
    ct_from_index = np.eye(4)
    ct_from_index[:3, :3] = file.matrix(f"{group}/dir-mat", (3, 3), "a 3 x 3 matrix") * _spacing(
        file, f"{group}/spacing", 3
    )
    ct_from_index[:3, 3] = file.vector(f"{group}/origin", 3, "a point of 3 mm in LPS")
    ct = ct_from_array(values, ct_from_index, "hu", name=f"{file.name}: {group}/pixels")
    if bone is None:
        return ct
    labels = file.pixels(f"{specimen}/vol-seg/image/pixels", 3, "slices x rows x columns of labels")
    return masked(ct, np.isin(labels, BONES[bone].labels), f"{file.name}: {specimen}/vol-seg/image/pixels")


def _spacing(file: Hdf5, path: str, length: int) -> np.ndarray:
    spacing = file.vector(path, length, f"{length} numbers of mm")
    if not ((spacing > 0.01) & (spacing < 20)).all():
        file.refuse(path, f"is {spacing.tolist()}", "mm between 0.01 and 20")
    return spacing


def _projection(
    file: Hdf5,
    specimen: str,
    number: int,
    detector: Detector,
    bone: str | None,
    landmarks: dict[str, np.ndarray],
) -> Projection:
    group = f"{specimen}/projections/{number:03d}"
    pixels = file.pixels(f"{group}/image/pixels", 2, "rows x columns")
    if pixels.shape != detector.size[::-1]:
        file.refuse(
            f"{group}/image/pixels",
            f"has {pixels.shape[0]} rows and {pixels.shape[1]} columns",
            f"{detector.size[1]} and {detector.size[0]}, as {PARAMETERS} says",
        )
    if not np.allclose(_spacing(file, f"{group}/image/spacing", 2), detector.pixel_mm, rtol=1e-3):
        file.refuse(f"{group}/image/spacing", "is another one", f"that of {PARAMETERS}, {list(detector.pixel_mm)} mm")
    _check_landmarks(file, group, detector, _world_from_ct(file, f"{group}/gt-poses/{PELVIS_POSE}"), landmarks)
    chosen = BONES[bone or "pelvis"]
    if chosen.good and not file.number(f"{group}/gt-poses/{chosen.good}", "0 or 1", 0, 1):
        file.refuse(
            f"{group}/gt-poses/{chosen.good}",
            "is 0: too little of the femur is seen for a true pose",
            "1",
            "choose other views",
        )
    turned = bool(file.number(f"{group}/rot-180-for-up", "0 or 1", 0, 1))
    return Projection(
        number, raw_image(pixels, detector.pixel_mm), _world_from_ct(file, f"{group}/gt-poses/{chosen.pose}"), turned
    )


def _world_from_ct(file: Hdf5, path: str) -> np.ndarray:
    return rigid.inverse(rigid.check_rigid(file.matrix(path, (4, 4), "a rigid 4 x 4 matrix"), f"{file.name}: {path}"))


def _check_landmarks(
    file: Hdf5, group: str, detector: Detector, world_from_ct: np.ndarray, landmarks: dict[str, np.ndarray]
) -> None:
    """The file holds each landmark twice, in the CT and in the image: what it is read as must bring the two together."""
    names = [name for name in file.names(f"{group}/gt-landmarks") if name in landmarks]
    if not names:
        file.refuse(f"{group}/gt-landmarks", "has none of the landmarks of vol-landmarks", "the same names")
    points = np.array([landmarks[name] for name in names])
    depths = rigid.transform_points(detector.extrinsic @ world_from_ct, points)[:, 2]
    if np.median(depths) >= 0:
        file.refuse(
            f"{group}/gt-poses/cam-to-pelvis-vol",
            f"has the landmarks at z = {np.median(depths):.0f} mm of the camera",
            "z below 0, as z is toward the source",
        )
    pixels = [file.vector(f"{group}/gt-landmarks/{name}", 2, "a pixel of 2 numbers, column and row") for name in names]
    apart = np.median(np.linalg.norm(detector.project(world_from_ct, points) - pixels, axis=1))
    if not apart <= MAX_LANDMARK_DISTANCE_PX:
        file.refuse(
            f"{group}/gt-landmarks",
            f"lie {apart:.1f} pixels (median) from where pose and intrinsic put vol-landmarks",
            f"at most {MAX_LANDMARK_DISTANCE_PX:g}",
        )


def _case(
    ct: CT,
    detector: Detector,
    projections: list[Projection],
    landmarks: np.ndarray,
    crop: int,
    upright: bool,
    all_targets: bool,
) -> Imported:
    first, several = projections[0], len(projections) > 1
    columns, rows = detector.size
    if crop < 0 or 2 * crop > min(detector.size) - 8:
        raise InputError(
            f"crop: found {crop}, expected pixels from 0 that leave an image of {columns} x {rows}; choose less."
        )
    entries, images, cameras = [], {}, []
    middle = rigid.transform_points(first.world_from_ct, ct.centroid())
    for projection in projections:
        name = f"{projection.number:03d}"
        turn = upright and projection.turned
        camera_from_world = detector.extrinsic @ projection.world_from_ct @ rigid.inverse(first.world_from_ct)
        pixels = np.array([[-1.0, 0, columns - 1], [0, -1, rows - 1], [0, 0, 1]]) if turn else np.eye(3)
        camera = Camera.from_projection_matrix(
            pixels @ detector.intrinsic @ camera_from_world[:3], detector.size, in_front=middle
        )
        cameras.append(camera.cropped(crop, crop, columns - 2 * crop, rows - 2 * crop))
        entries.append(view_entry(name, cameras[-1], "linear"))
        images[name] = _cut(projection.image, turn, crop)
    seen = all_targets | in_any_view(rigid.transform_points(first.world_from_ct, landmarks), cameras)
    notes = [
        f"{seen.sum()} of {len(landmarks)} landmarks are targets"
        + ("." if all_targets else ": those that fall on an image.")
    ]
    if several:
        notes.append(LEAKS)
    content = {
        "views": entries,
        **({"relative_geometry": "truth"} if several else {}),
        "world_from_ct": _nominal(ct, detector, first),
        "search": SEARCH,
        "targets": landmarks[seen],
        "truth": {"world_from_ct": first.world_from_ct},
    }
    return Imported(content, ct, images, notes)


def _cut(image: RawImage, turn: bool, crop: int) -> RawImage:
    values = image.values[::-1, ::-1] if turn else image.values
    rows, columns = values.shape
    values = np.ascontiguousarray(values[crop : rows - crop, crop : columns - crop])
    return RawImage(values, image.step, image.white, image.curve, image.pixel_mm)


def _nominal(ct: CT, detector: Detector, first: Projection) -> np.ndarray:
    """world_from_ct of a plain AP image with the CT's middle on the central ray; of the truth it knows rot-180-for-up only."""
    axes = TURNED @ AP if first.turned else AP
    nk, nj, ni = ct.volume.values.shape
    middle = rigid.transform_points(ct.volume.ct_from_index, (np.array([ni, nj, nk]) - 1) / 2)
    at = np.array([0, 0, -START_DEPTH * detector.source_to_detector_mm])
    return rigid.inverse(detector.extrinsic) @ rigid.from_rotation_translation(axes, at - axes @ middle)
