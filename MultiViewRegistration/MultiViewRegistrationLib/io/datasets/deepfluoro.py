"""Importers of DeepFluoro and Ljubljana.

DeepFluoro: six cadaver pelves with 366 X-rays and true poses (Grupp et al., IJCARS 2020), in full resolution.

Ljubljana: cerebral angiograms of ten patients in two views with a 3D angiogram and true poses.

They are those of Mitrovic et al. (IEEE TMI 2013), in the HDF5 file into which DiffPose packs them
(github.com/eigenvivek/DiffPose, diffpose/ljubljana.py).

Each view has its own extrinsic, from the volume's frame to a camera with z from source to detector:

    pixel = dehomogenised(intrinsic @ extrinsic @ x),   x in mm from the volume's first voxel, along its axes.

`volume/pixels` is indexed [x, y, z] in the order of `volume/spacing`: that is how DiffPose's
renderer takes it, and `points` must lie inside. The data set does not state which way the axes run
in the patient; the names L, P and S mean nothing here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import CT, ct_from_array, masked
from ...imaging.reading import RawImage
from ..files import MAX_NUMBER
from ..hdf5 import Hdf5, opened
from . import (
    TRUTH_LEAK_WARNING,
    Imported,
    cropped,
    in_any_view,
    read_pixel_mm,
    read_spacing,
    view_entry,
    with_truth,
)

LAYOUT = "DeepFluoro's full-resolution file (ipcai_2020_full_res_data.h5)"
PARAMETERS = "proj-params"
PELVIS_POSE = "cam-to-pelvis-vol"


@dataclass(frozen=True)
class Bone:
    """A bone that can be registered.

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
MAX_LANDMARK_DISTANCE_PX = (
    5.0  # between the file's 2D landmarks (median) and where its own geometry puts the 3D ones
)
START_DEPTH = 0.75  # of the way from source to detector: where DiffPose's prior has the patient (10.48550/arXiv.2312.06358, code)
SEARCH = {"rotation_deg": 45.0, "translation_mm": 150.0}
#: Camera from CT axes of an AP image whose patient is upright: columns to the patient's left, rows
#: to the feet, Z to the back.
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
        """The distance from the source to the detector along the central axis, by the rows' focal length."""
        return abs(self.intrinsic[1, 1]) * self.pixel_mm[1]

    def project(self, world_from_ct: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2), column and row in the image as it is stored, of CT points (N, 3)."""
        x = rigid.transform_points(self.extrinsic @ world_from_ct, points) @ self.intrinsic.T
        return x[:, :2] / x[:, 2:]


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
    """Return a case of one specimen and the X-rays with these numbers, with its truth.

    The world is the frame of the first view's "camera world". The views' relation to each other is
    known from the true poses alone: with several views `relative_geometry` is "truth". The start is
    a plain AP pose that knows nothing of the truth.

    Parameters
    ----------
    bone
        One of BONES, which becomes the mask; None for the whole CT at the pelvis's pose, as the
        papers do.
    crop
        Pixels to cut off each side; the papers cut 50. 0 leaves the images undisturbed.
    upright
        Turn the images whose rot-180-for-up is 1, as the papers do.
    all_targets
        Take all landmarks as targets, rather than those that fall on one of the images; of a femur
        the centre of its head alone.

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
        if not file.has(PARAMETERS) and file.has("land-names"):
            raise InputError(
                f"{file.name}: is a down-sampled file of DeepFluoro, which has neither CT, "
                "intrinsics nor poses, so that no case can be made of it; give the full-resolution "
                "file."
            )
        detector = _detector(file)
        file.require(specimen, "specimen", sorted(set(file.names("")) - {PARAMETERS}))
        ct = _ct(file, specimen, bone)
        group = f"{specimen}/vol-landmarks"
        names = file.names(group)
        landmarks = {n: file.vector(f"{group}/{n}", 3, "a point of 3 mm in LPS") for n in names}
        groups = {f"{n:03d}": f"{specimen}/projections/{n:03d}" for n in views}
        poses = [_pose(file, group, detector, bone, landmarks) for group in groups.values()]
        middle = rigid.transform_points(poses[0], ct.centroid())
        turns = []
        images = {}
        cameras = []
        for (name, group), pose in zip(groups.items(), poses):
            pixels = _pixels(file, group, detector)
            turns.append(bool(file.number(f"{group}/rot-180-for-up", "0 or 1", 0, 1)))
            matrix = detector.intrinsic
            if upright and turns[-1]:
                columns, rows = detector.size
                matrix = [[-1.0, 0, columns - 1], [0, -1, rows - 1], [0, 0, 1]] @ matrix
                pixels = pixels[::-1, ::-1]
            camera_from_world = detector.extrinsic @ pose @ rigid.inverse(poses[0])
            camera = Camera.from_projection_matrix(
                matrix @ camera_from_world[:3], detector.size, in_front=middle
            )
            images[name], camera = cropped(pixels, detector.pixel_mm, camera, crop)
            cameras.append(camera)
    only = bone and BONES[bone].landmark
    chosen = [point for name, point in landmarks.items() if only in (None, name)]
    points = np.reshape(chosen, (-1, 3))
    seen = all_targets | in_any_view(rigid.transform_points(poses[0], points), cameras)
    what = "." if all_targets else ": those that fall on an image."
    notes = [f"{seen.sum()} of {len(points)} landmarks are targets{what}"]
    content = {
        "views": [view_entry(*view, "linear") for view in zip(groups, cameras)],
        "world_from_ct": _nominal(ct, detector, turns[0]),
        "search": SEARCH,
        "targets": points[seen],
        "truth": {"world_from_ct": poses[0]},
    }
    if len(views) > 1:
        content["relative_geometry"] = "truth"
        notes.append(TRUTH_LEAK_WARNING)
    return Imported(content, ct, images, notes)


def _detector(file: Hdf5) -> Detector:
    intrinsic = file.matrix(f"{PARAMETERS}/intrinsic", (3, 3), "a 3 x 3 matrix")
    lengths = [f"{PARAMETERS}/num-{axis}" for axis in ("cols", "rows")]
    columns, rows = (int(file.number(key, "8 to 20000 pixels", 8, 20000)) for key in lengths)
    spacings = [f"{PARAMETERS}/pixel-{axis}-spacing" for axis in ("col", "row")]
    pixel_mm = read_pixel_mm(file, spacings, intrinsic[1, 1])
    return Detector(intrinsic, file.rigid(f"{PARAMETERS}/extrinsic"), (columns, rows), pixel_mm)


def _ct(file: Hdf5, specimen: str, bone: str | None) -> CT:
    group = f"{specimen}/vol"
    values = file.pixels(f"{group}/pixels", 3, "slices x rows x columns in HU")
    directions = file.matrix(f"{group}/dir-mat", (3, 3), "a 3 x 3 matrix")
    ct_from_index = np.eye(4)
    ct_from_index[:3, :3] = directions * read_spacing(file, f"{group}/spacing", 3)
    ct_from_index[:3, 3] = file.vector(f"{group}/origin", 3, "a point of 3 mm in LPS")
    ct = ct_from_array(values, ct_from_index, "hu", name=f"{file.name}: {group}/pixels")
    if bone is None:
        return ct
    labels = file.pixels(f"{specimen}/vol-seg/image/pixels", 3, "slices x rows x columns of labels")
    return masked(
        ct, np.isin(labels, BONES[bone].labels), f"{file.name}: {specimen}/vol-seg/image/pixels"
    )


def _pixels(file: Hdf5, group: str, detector: Detector) -> np.ndarray:
    """Return the X-ray as it is stored, (rows, columns)."""
    pixels = file.pixels(f"{group}/image/pixels", 2, "rows x columns")
    if pixels.shape != detector.size[::-1]:
        file.refuse(
            f"{group}/image/pixels",
            f"has {pixels.shape[0]} rows and {pixels.shape[1]} columns",
            f"{detector.size[1]} and {detector.size[0]}, as {PARAMETERS} says",
        )
    return pixels


def _pose(
    file: Hdf5, group: str, detector: Detector, bone: str | None, landmarks: dict[str, np.ndarray]
) -> np.ndarray:
    """Return world_from_ct (4, 4) of the bone, to the frame that the file calls the camera's world.

    The file holds each landmark twice, in the CT and in the image: what it is read as must bring
    the two together.
    """
    names = [name for name in file.names(f"{group}/gt-landmarks") if name in landmarks]
    if not names:
        file.refuse(
            f"{group}/gt-landmarks", "has none of the landmarks of vol-landmarks", "the same names"
        )
    pelvis = rigid.inverse(file.rigid(f"{group}/gt-poses/{PELVIS_POSE}"))
    points = np.array([landmarks[name] for name in names])
    what = "a pixel of 2 numbers, column and row"
    pixels = [file.vector(f"{group}/gt-landmarks/{name}", 2, what) for name in names]
    median_px = np.median(np.linalg.norm(detector.project(pelvis, points) - pixels, axis=1))
    if not median_px <= MAX_LANDMARK_DISTANCE_PX:
        file.refuse(
            f"{group}/gt-landmarks",
            f"lie {median_px:.1f} pixels (median) from where pose and intrinsic put vol-landmarks",
            f"at most {MAX_LANDMARK_DISTANCE_PX:g}",
        )
    chosen = BONES[bone or "pelvis"]
    if chosen.good and not file.number(f"{group}/gt-poses/{chosen.good}", "0 or 1", 0, 1):
        what = "is 0: too little of the femur is seen for a true pose"
        file.refuse(f"{group}/gt-poses/{chosen.good}", what, "1", "choose other views")
    return rigid.inverse(file.rigid(f"{group}/gt-poses/{chosen.pose}"))


def _nominal(ct: CT, detector: Detector, turned: bool) -> np.ndarray:
    """Return world_from_ct of a plain AP image with the CT's middle on the central ray.

    Of the truth it knows rot-180-for-up only.
    """
    axes = TURNED @ AP if turned else AP
    nk, nj, ni = ct.volume.values.shape
    middle = rigid.transform_points(ct.volume.ct_from_index, (np.array([ni, nj, nk]) - 1) / 2)
    at = np.array([0, 0, -START_DEPTH * detector.source_to_detector_mm])
    return rigid.inverse(detector.extrinsic) @ rigid.from_rotation_translation(
        axes, at - axes @ middle
    )


LJUBLJANA_LAYOUT = "Ljubljana's data as DiffPose packs it (ljubljana.h5)"
VIEWS = ("ap", "lat", "ap-max", "lat-max")
SHARE_INSIDE = 0.9  # of the points that must lie in the volume


def read_ljubljana(
    path: str | os.PathLike,
    subject: int,
    views: Sequence[str],
    *,
    crop: int = 0,
    threshold: float = 0,
) -> Imported:
    """Return a case of one subject, from 1, and these of VIEWS, with its truth.

    The world is the first view's camera. All cameras were found by markers that volume and images
    show, so with several views `relative_geometry` is "truth". There is no start pose, as the data
    set does not state how a patient lies along the volume's axes.

    Parameters
    ----------
    crop
        Pixels to cut off each side; 0 leaves the images undisturbed.
    threshold
        Voxels below are nothing; DiffPose's registration takes 1000.

    Raises
    ------
    InputError
        For what differs from the layout, naming the HDF5 path.
    """
    if not views or len(set(views)) < len(views) or not set(views) <= set(VIEWS):
        raise InputError(
            f"views: found {', '.join(views) or 'none'}, expected some of {', '.join(VIEWS)}, each "
            "once; correct them."
        )
    group = f"subject{subject:02d}"
    with opened(path, LJUBLJANA_LAYOUT) as file:
        file.require(group, "group", file.names(""))
        ct = _volume(file, f"{group}/volume", threshold)
        points = file.pixels(f"{group}/points", 2, "points x 3 mm").astype(np.float64)
        _check_points(file, f"{group}/points", points, ct)
        read = [_view(file, f"{group}/proj-{view}", points, crop) for view in views]
    cameras = {name: camera for name, (_, camera) in zip(views, read)}
    seen = in_any_view(points, list(cameras.values()))
    content, leaks = with_truth(cameras, points[seen])
    notes = [
        f"{seen.sum()} of {len(points)} points are targets: those that fall on an image.",
        "The first voxel's centre is taken as the origin of the points; the file does not say "
        "whether it is that or its corner.",
        *leaks,
    ]
    return Imported(content, ct, {name: image for name, (image, _) in zip(views, read)}, notes)


def _volume(file: Hdf5, group: str, threshold: float) -> CT:
    values = file.pixels(f"{group}/pixels", 3, "a volume [x, y, z] with 0 for nothing")
    if threshold > 0:
        values = np.where(values < threshold, 0, values)
    spacing = read_spacing(file, f"{group}/spacing", 3)
    return ct_from_array(
        values.transpose(2, 1, 0),
        np.diag([*spacing, 1.0]),
        "relative",
        name=f"{file.name}: {group}/pixels",
    )


def _check_points(file: Hdf5, path: str, points: np.ndarray, ct: CT) -> None:
    if points.shape[1] != 3 or not (np.abs(points) <= MAX_NUMBER).all():
        file.refuse(path, f"has the shape {points.shape}", "points x 3 finite numbers of mm")
    index = rigid.transform_points(ct.volume.index_from_ct, points)
    inside = ((index >= -1) & (index <= np.array(ct.volume.size))).all(1).mean()
    if inside < SHARE_INSIDE:
        file.refuse(
            path,
            f"has {100 * inside:.0f} % of its points in the volume",
            f"at least {100 * SHARE_INSIDE:.0f} %, in mm from its first voxel and with "
            "volume/pixels indexed [x, y, z]",
        )


def _view(file: Hdf5, group: str, points: np.ndarray, crop: int) -> tuple[RawImage, Camera]:
    """Return the image, and the camera, with the volume as its world."""
    pixels = file.pixels(f"{group}/pixels", 2, "rows x columns")
    intrinsic = file.matrix(f"{group}/intrinsic", (3, 3), "a 3 x 3 matrix")
    camera_from_volume = file.rigid(f"{group}/extrinsic")
    pixel_mm = read_pixel_mm(
        file, [f"{group}/col-spacing", f"{group}/row-spacing"], intrinsic[1, 1]
    )
    source_to_detector_mm = intrinsic[1, 1] * pixel_mm[1]
    if source_to_detector_mm < 0 or intrinsic[2, 2] != 1:
        file.refuse(
            f"{group}/intrinsic",
            f"and the pixel size have the detector {source_to_detector_mm:g} mm from the source",
            "200 to 5000 mm",
        )
    depth = (camera_from_volume @ [*points.mean(0), 1])[2]
    if not 0 < depth < source_to_detector_mm:
        file.refuse(
            f"{group}/extrinsic",
            f"has the points at z = {depth:.0f} mm of the camera",
            f"them between the source and the detector at {source_to_detector_mm:.0f} mm",
        )
    camera = Camera.from_projection_matrix(
        intrinsic @ camera_from_volume[:3], pixels.shape[::-1], points.mean(0)
    )
    if not in_any_view(points, [camera]).any():
        file.refuse(f"{group}/extrinsic", "has no point on the image", "a camera that sees them")
    return cropped(pixels, pixel_mm, camera, crop)
