"""A fingerprint of all that a registration's result rests on: where it differs from the result's, that is stale."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..io.cameras import GEOMETRIES
from .case import EXTRAS
from .registration import CT_UNIT, Registration
from .xray import XRayView

#: What of a view's content a registration depends on.
ASKED = (*GEOMETRIES, "pixel_mm", "frame", "intensity", "inverted", "flipped", "rotation_sd_deg", "translation_sd_mm")

_checksums: dict[int, int] = {}  # by the image's modification time, which no other image shares


def fingerprint(registration: Registration) -> str:
    """Hexadecimal. It is the same after the scene was saved and loaded; voxels are summed up again only where they changed.

    Neither the pose nor the name of anything is in it, nor what a registration corrected.
    """
    return _digest([of_ct(registration), registration.parameter(EXTRAS), [of_view(view) for view in registration.xrays if view.used]])


def of_ct(registration: Registration) -> str:
    """Of the CT and the structure in it."""
    segment = _segment(registration.segmentation, registration.segment_id)
    return _digest([_volume(registration.ct), registration.parameter(CT_UNIT), segment])


def of_view(view: XRayView) -> str:
    """Of one X-ray, its mask, and its geometry as it was given."""
    content = view.content
    mask = view.mask and [_segment(view.mask, segment_id) for segment_id in view.mask.GetSegmentation().GetSegmentIDs()]
    return _digest([_volume(view.source or view.node), {key: content.get(key) for key in ASKED}, mask])


def _digest(told) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _volume(node) -> list | None:
    if node is None or node.GetImageData() is None:
        return None
    place = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(place)
    return [_checksum(node.GetImageData()), np.round(slicer.util.arrayFromVTKMatrix(place), 6).tolist()]


def _segment(segmentation, segment_id: str) -> list | None:
    segment = segmentation and segmentation.GetSegmentation().GetSegment(segment_id)
    labelmap = segment and segment.GetRepresentation(slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName())
    return labelmap and [_checksum(labelmap), segment.GetLabelValue()]


def _checksum(image) -> int:
    key = image.GetMTime()
    if key not in _checksums:
        scalars = image.GetPointData().GetScalars()
        _checksums[key] = zlib.crc32(np.ascontiguousarray(vtk_to_numpy(scalars))) if scalars else 0
    return _checksums[key]
