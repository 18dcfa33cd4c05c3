"""Fingerprints of a registration's inputs, by which a result is known to be out of date."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from vtkmodules.util.numpy_support import vtk_to_numpy

from ..io.view_record import sha256_of
from .case import EXTRAS
from .nodes import (
    LABELMAP,
    box_in_labelmap,
    from_node_to,
    has_voxels,
    is_linear,
    place_of_labelmap,
    ras_from_node,
    segments_of,
    voxels_of_labelmap,
)
from .registration import CT_TRANSFORM, CT_UNIT, SAME, UNIT, Registration
from .xray import XRayView, from_other_end, is_left_handed, place_of

#: What of a CT's place is no number.
NOT_LINEAR = "not linear"

_checksums: dict = {}  # by the image's modification time, which no other image shares


def fingerprint(registration: Registration, excluded: Collection[str] = ()) -> str:
    """Return the fingerprint of a registration, hexadecimal.

    It is the same after the scene was saved and loaded; voxels are summed up again only where they
    changed. It contains the names of structures, but no other names, no pose, no correction of a
    camera, and no use of the pose.

    Parameters
    ----------
    registration
        The registration.
    excluded
        Names of implants whose fingerprints are not included.
    """
    return sha256_of([*_body(registration), *of_bones(registration, excluded)])


def body_fingerprint(registration: Registration) -> str:
    """Return `fingerprint` without the bones that get a pose of their own."""
    return sha256_of(_body(registration))


def _body(registration: Registration) -> list:
    extras = registration.kept(EXTRAS, {})
    return [
        of_ct(registration),
        json.dumps(extras) if extras else "",
        list(map(of_view, registration.used_xrays)),
    ]


def of_ct(registration: Registration, structure: str | None = None) -> str:
    """Return the fingerprint of the CT and a structure in it, both in the CT's frame.

    By default the segment that is registered alone; "" of the whole CT.
    """
    ct = registration.ct
    chosen = registration.segment_id if structure is None else structure
    segment = _segment(registration.segmentation, chosen, _in_ct(registration))
    bent = [] if ct is None or is_linear(ct) else [NOT_LINEAR]
    return sha256_of([_ct_volume(registration), registration.parameter(CT_UNIT), segment, *bent])


def ct_fingerprint(registration: Registration, name: str = "") -> str:
    """Return the fingerprint of the voxels of the CT, or of a bone or implant, and of where they lie in its frame; "" without any."""
    volume = _volume(registration.apart[name]) if name else _ct_volume(registration)
    return "" if volume is None else sha256_of(volume)


def of_bones(registration: Registration, excluded: Collection[str] = ()) -> list[str]:
    """Return the fingerprints of the bones that get a pose of their own, of segments or of a CT each; none without any."""
    found = [of_structures(registration)] if registration.chosen_segments else []
    for name, volume in registration.apart.items():
        if name in excluded:
            continue
        found.append(sha256_of([name, volume.GetAttribute(UNIT), _volume(volume)]))
    return found


def of_structures(registration: Registration) -> str:
    """Return the fingerprint of the segments that are registered after the whole CT, each with its name, which a result has."""
    node = registration.segmentation
    segments = segments_of(node)
    lies = _in_ct(registration)
    named = sorted((segments[each].GetName(), each) for each in registration.chosen_segments)
    return sha256_of([[name, _segment(node, segment_id, lies)] for name, segment_id in named])


def _in_ct(registration: Registration) -> np.ndarray | None:
    """Return the place of the segmentation in the CT, as `_place`."""
    if registration.ct is None or registration.segmentation is None:
        return None
    transform = registration.node.GetNodeReference(CT_TRANSFORM)
    return _place(registration.segmentation, transform, lambda: registration.ct_from_segmentation)


def of_view(view: XRayView) -> str:
    """Return the fingerprint of one X-ray, its mask, and its given geometry."""
    moved = _place(view.node, None, lambda: ras_from_node(view.node))
    image = [_volume(view.source or view.node), view.record.inputs, _mask(view)]
    return sha256_of(image if moved is None else [*image, _rounded(moved, 6)])


def _mask(view: XRayView) -> list | None:
    mask = view.mask
    if mask is None or mask.GetAttribute(UNDRAWN) == _on_image(view):
        return None
    lies = _place(
        mask, view.masked.GetParentTransformNode(), lambda: from_node_to(view.masked, mask)
    )
    if not view.mask_on_source:  # a corrected camera carries it along, see `XRayView.place`
        lies = np.linalg.inv(place_of(view.node)) @ (np.eye(4) if lies is None else lies)
    return [
        _segment(mask, segment_id, lies) for segment_id in mask.GetSegmentation().GetSegmentIDs()
    ]


def _place(node: Any, transform: Any, found: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Return the place (4, 4) of a node that should be under a transform node, or none.

    None where it lies as if it were.

    NaN where a transform is not linear.
    """
    if node.GetParentTransformNode() is transform:
        return None
    place = found() if is_linear(node) else np.full((4, 4), np.nan)
    return None if np.allclose(place, np.eye(4), rtol=0, atol=SAME) else place


#: The attribute of a mask with the fingerprint that it has until something is drawn: it leaves an
#: X-ray as it is.
UNDRAWN = "MultiViewRegistration.undrawn"


def keep_undrawn(view: XRayView) -> None:
    """Have an X-ray with the mask that it has now be the same as without one, until something is drawn on that."""
    view.mask.SetAttribute(UNDRAWN, _on_image(view))


def _on_image(view: XRayView) -> str:
    """Return the fingerprint of the pixels of an X-ray's image that the segments of its mask fill.

    They count wherever the image lies: they are carried with it.
    """
    pixel_from_ras = np.linalg.inv(place_of(view.node))
    mask = view.mask
    filled = (_filled(mask, each, pixel_from_ras) for each in segments_of(mask))
    return sha256_of(
        [each and [each.checksum, each.shape, _rounded(each.first[:2], 2)] for each in filled]
    )


def of_image(view: XRayView) -> str:
    """Return the fingerprint of the pixels of one X-ray."""
    image = (view.source or view.node).GetImageData()
    return sha256_of(image and _checksum(image, False))


def case_id(registration: Registration) -> str:
    """Return six hexadecimal digits of the X-rays that are used, for names of files."""
    return sha256_of(sorted(map(of_image, registration.used_xrays)))[:6]


def _ct_volume(registration: Registration) -> list | None:
    ct = registration.ct
    return _volume(ct, registration.ct_place) if has_voxels(ct) else None


def _volume(node: Any, place: np.ndarray | None = None) -> list | None:
    """Return what is fingerprinted of voxels and where they lie, in the node's frame unless a place is given.

    Of a left-handed volume, the slices are counted as in a file of Slicer's.
    """
    if not has_voxels(node):
        return None
    place = place_of(node) if place is None else place
    image = node.GetImageData()
    left_handed = is_left_handed(place)
    place = from_other_end(place, image.GetDimensions()[2]) if left_handed else place
    return [_checksum(image, left_handed), _rounded(place, 6)]


def _segment(segmentation: Any, segment_id: str, lies: np.ndarray | None) -> list | None:
    """Return what is fingerprinted of the voxels that a segment fills and where they lie, see `_filled`."""
    filled = _filled(segmentation, segment_id, lies)
    return filled and [
        filled.checksum,
        filled.shape,
        _rounded(filled.first, 3),
        _rounded(filled.place[:3, :3], 6),
    ]


class _FilledBox(NamedTuple):
    """The box of voxels that a segment fills: `first` (4,) is where the first of them is, by `place` (4, 4)."""

    checksum: int
    shape: tuple[int, ...]
    first: np.ndarray
    place: np.ndarray


def _filled(segmentation: Any, segment_id: str, lies: np.ndarray | None) -> _FilledBox | None:
    """Return the box of voxels that a segment fills; None without any.

    The box around them grows and shrinks as a scene is saved and loaded.

    Parameters
    ----------
    lies
        (4, 4), where the segmentation lies in what it is a part of; None where the two have one
        frame.
    """
    if segmentation is None or not segment_id:
        return None
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    labelmap = segment and segment.GetRepresentation(LABELMAP)
    if not labelmap:
        return None
    key = labelmap.GetMTime(), segment.GetLabelValue()
    if key not in _checksums:
        _checksums[key] = _box_of(labelmap, segment.GetLabelValue())
    if _checksums[key] is None:
        return None
    checksum, shape, first = _checksums[key]
    place = place_of_labelmap(labelmap) if lies is None else lies @ place_of_labelmap(labelmap)
    return _FilledBox(checksum, shape, place @ [*first, 1], place)


def _box_of(labelmap: Any, value: int) -> tuple | None:
    """Return the checksum of the box of voxels with a value, its shape, and its first voxel (i, j, k); None without any."""
    box = box_in_labelmap(labelmap, value)
    voxels = voxels_of_labelmap(labelmap)
    if box is None or voxels is None:
        return None
    content = voxels[box] == value
    first = np.add([side.start for side in box[::-1]], labelmap.GetExtent()[::2])
    return zlib.crc32(np.packbits(content).data), content.shape, first


#: Numbers are rounded as if they were larger by this: files change them by some 1e-13, and voxels
#: of 0.703125 or 0.9765625 mm, as most CTs have, lie in the middle between two rounded numbers.
OFF_THE_MIDDLE = 1e-9


def _rounded(numbers: np.ndarray, digits: int) -> list:
    """Round numbers, those that a file has changed in their last bits alike.

    Without negative zeros, which are written otherwise than zeros.
    """
    return (np.round(numbers + OFF_THE_MIDDLE, digits) + 0.0).tolist()


def _checksum(image: Any, backwards: bool) -> int:
    """Return the checksum of an image's voxels.

    Parameters
    ----------
    backwards
        Of the last slice first.
    """
    key = image.GetMTime(), backwards
    if key not in _checksums:
        scalars = image.GetPointData().GetScalars()
        checksum = 0
        for voxels in _slices(image, scalars)[:: -1 if backwards else 1] if scalars else ():
            checksum = zlib.crc32(voxels, checksum)
        _checksums[key] = checksum
    return _checksums[key]


def _slices(image: Any, scalars: Any) -> np.ndarray:
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[2], -1)
