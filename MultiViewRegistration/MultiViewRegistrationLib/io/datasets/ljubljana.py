"""Ljubljana: cerebral angiograms of ten patients in two views with a 3D angiogram and true poses.

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

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import CT, ct_from_array
from ...imaging.reading import RawImage
from ..files import MAX_NUMBER
from ..hdf5 import Hdf5, opened
from . import Imported, cropped, in_any_view, read_pixel_mm, read_spacing, with_truth

LAYOUT = "Ljubljana's data as DiffPose packs it (ljubljana.h5)"
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
    with opened(path, LAYOUT) as file:
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
