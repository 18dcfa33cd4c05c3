"""A fingerprint of all that a registration's result rests on: where it differs from the result's, that is stale."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from ..io.cameras import GEOMETRIES
from .case import EXTRAS
from .registration import CT_UNIT, Registration
from .xray import XRayView, place_of

#: What of a view's content a registration depends on, with its distortion where it has one.
ASKED = (*GEOMETRIES, "pixel_mm", "frame", "intensity", "inverted", "flipped", "rotation_sd_deg", "translation_sd_mm")

_checksums: dict = {}  # by the image's modification time, which no other image shares


def fingerprint(registration: Registration) -> str:
    """Hexadecimal. It is the same after the scene was saved and loaded; voxels are summed up again only where they changed.

    Neither the pose nor the name of anything is in it, nor what a registration corrected.
    """
    return _digest(
        [
            of_ct(registration),
            registration.parameter(EXTRAS),
            [of_view(view) for view in registration.xrays if view.used],
        ]
    )


def of_ct(registration: Registration) -> str:
    """Of the CT and the structure in it."""
    segment = _segment(registration.segmentation, registration.segment_id)
    return _digest([_volume(registration.ct), registration.parameter(CT_UNIT), segment])


def of_view(view: XRayView) -> str:
    """Of one X-ray, its mask, and its geometry as it was given."""
    content = view.content
    mask = view.mask and [_segment(view.mask, segment_id) for segment_id in view.mask.GetSegmentation().GetSegmentIDs()]
    return _digest(
        [_volume(view.source or view.node), {key: content.get(key) for key in ASKED} | _distortion(content), mask]
    )


def of_volume(node) -> str:
    """Of the voxels of a volume and where they lie."""
    return _digest(_volume(node))


def of_geometry(view: XRayView) -> str:
    """Of the geometry of one X-ray as it was given."""
    content = view.content
    return _digest({key: content.get(key) for key in GEOMETRIES} | _distortion(content))


def _distortion(content: dict) -> dict:
    """Nothing where there is none, as in scenes of before."""
    return {key: content[key] for key in ("distortion",) if key in content}


def _digest(told) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _volume(node) -> list | None:
    """Of voxels and where they lie. A file of Slicer's has the slices of a left-handed volume the other way round, and so this has."""
    if node is None or node.GetImageData() is None:
        return None
    place = place_of(node)
    left_handed = bool(np.linalg.det(place) < 0)
    if left_handed:
        last = node.GetImageData().GetDimensions()[2] - 1
        place = place @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, last], [0, 0, 0, 1]]
    return [_checksum(node.GetImageData(), left_handed), _rounded(place, 6)]


def _segment(segmentation, segment_id: str) -> list | None:
    """Of the voxels that a segment fills and where they lie: the box around them grows and shrinks as a scene is saved and loaded."""
    segment = segmentation and segmentation.GetSegmentation().GetSegment(segment_id)
    labelmap = segment and segment.GetRepresentation(
        slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    )
    if not labelmap:
        return None
    key = labelmap.GetMTime(), segment.GetLabelValue()
    if key not in _checksums:
        _checksums[key] = _filled(labelmap, segment.GetLabelValue())
    return _checksums[key]


def _filled(labelmap, value: int) -> list | None:
    scalars = labelmap.GetPointData().GetScalars()
    if not scalars:
        return None
    voxels = vtk_to_numpy(scalars).reshape(labelmap.GetDimensions()[::-1]) == value
    box = [np.flatnonzero(voxels.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if not box[0].size:
        return None
    content = voxels[tuple(slice(filled[0], filled[-1] + 1) for filled in box)]
    place = vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(place)
    first = np.add([filled[0] for filled in box[::-1]], labelmap.GetExtent()[::2])
    corner = slicer.util.arrayFromVTKMatrix(place) @ [*first, 1]
    return [zlib.crc32(np.packbits(content)), content.shape, _rounded(corner, 3), _axes(place)]


def _axes(place) -> list:
    return _rounded(slicer.util.arrayFromVTKMatrix(place)[:3, :3], 6)


def _rounded(numbers: np.ndarray, digits: int) -> list:
    """Without negative zeros, which are written otherwise than zeros."""
    return (np.round(numbers, digits) + 0.0).tolist()


def _checksum(image, backwards: bool) -> int:
    """backwards: of the last slice first."""
    key = image.GetMTime(), backwards
    if key not in _checksums:
        scalars = image.GetPointData().GetScalars()
        checksum = 0
        for voxels in _slices(image, scalars)[:: -1 if backwards else 1] if scalars else ():
            checksum = zlib.crc32(voxels, checksum)
        _checksums[key] = checksum
    return _checksums[key]


def _slices(image, scalars) -> np.ndarray:
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[2], -1)
