"""The scene's content for the backend: volumes, masks, landmarks, the case of them all, and what was found in its CT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from ..errors import InputError
from ..geometry.landmarks import Landmark
from ..imaging.body import NO_STRUCTURES, Body, Structures, StructureSource, bone_of_ct
from ..imaging.bone_names import Segment
from ..imaging.ct import BONE_HU, CT, ct_from_array, masked
from ..imaging.reading import undistorted, undistorted_mask
from ..imaging.segmentation import LabelVolume, structures_in
from ..imaging.xray import RawImage, XRay, raw_image, to_line_integrals
from ..io.case import Case, views_of
from ..io.case_settings import DEFAULT_SEARCH, CaseSettings
from ..io.files import JsonObject
from ..io.view_record import LEFT_OUT
from ..known import without_none
from ..translation import _
from .nodes import (
    LABELMAP,
    control_points,
    from_node_to,
    lps_from_ras,
    place_of_labelmap,
    place_of_voxels,
    voxels_of_labelmap,
)
from .registration import UNIT, Registration, check_place, refuse_nonlinear
from .xray import XRayView, place_of
from .xray_record import XRayRecord

LANDMARKS = "landmarks"
#: The attribute of a mask's segmentation that leaves out what did not fit, whoever has edited it
#: since.
SUGGESTED = "MultiViewRegistration.suggested"
#: The settings of a case that a scene has no nodes for, in the record as a case.json has them; and
#: those that it has otherwise.
EXTRAS = "case"
OTHERWISE: dict[str, Any] = dict(search=None, landmarks=[], patient_digests={})


def keep_settings(registration: Registration, settings: CaseSettings) -> None:
    """Keep the settings of a case that a scene has no nodes for."""
    registration.keep(EXTRAS, CaseSettings(**settings.entries | OTHERWISE).to_json())


def change_settings(registration: Registration, **changes: Any) -> None:
    """Change some of the settings that are kept."""
    keep_settings(registration, replace(settings_of(registration), **changes))


def settings_of(registration: Registration) -> CaseSettings:
    """Return the settings that are kept; all others are as usual."""
    kept = dict(registration.kept(EXTRAS, {}))
    before = {"world_from_ct": "truth_world_from_ct", "structures": "structure_truths"}
    if truth := {key: kept.pop(name) for key, name in before.items() if name in kept}:
        kept["truth"] = truth
    shared = kept.pop("shared_unknowns", {})
    kept["shared_unknowns"] = without_none(shared)
    return CaseSettings.of_json(JsonObject(registration.name, "", kept))


def case_of(
    registration: Registration,
    image_of: Callable[[XRayView], XRay],
    bodies: Sequence[Body],
) -> Case:
    """Return the case of the X-rays that are used.

    Parameters
    ----------
    image_of
        `xray_of`, or what keeps those made before.
    bodies
        Where they are now, if that means anything.

    Raises
    ------
    InputError
        Beginning with the node's name, for missing or invalid values.
    """
    views = registration.used_xrays
    if not views:
        raise InputError(
            "X-rays: there is none to use, expected at least one, better two; add an X-ray, or use "
            "one that is skipped."
        )
    for view in views:
        view.check_place()
    first = bodies[0]
    settings = settings_of(registration)
    settings.search = search_of(registration)
    settings.landmarks = landmarks_of(registration, views)
    return Case(
        **vars(settings),
        bodies=tuple(bodies),
        views=views_of(
            "X-rays",
            [replace(view.record.flat, assumptions=assumptions_of(view)) for view in views],
            [image_of(view) for view in views],
            first.ct,
            first.world_from_ct,
        ),
        name=registration.name,
    )


def search_of(registration: Registration) -> dict[str, float] | None:
    """Return how far a search goes from where the CT is, see `CaseSettings`; None where that was not chosen."""
    chosen = {key: registration.parameter(key, "") for key in DEFAULT_SEARCH}
    if not any(chosen.values()):
        return None
    return {key: float(chosen[key] or usual) for key, usual in DEFAULT_SEARCH.items()}


def searches_whole_ct(registration: Registration) -> bool:
    """Return whether a search goes through all of the CT, wherever it is now.

    By itself a structure looks like too much else: a search for one goes from where it is.
    """
    return search_of(registration) is None and not registration.segment_id


def assumptions_of(view: XRayView) -> tuple[str, ...]:
    """Return the assumptions on a view, a sentence each."""
    left_out = view.mask is not None and view.mask.GetAttribute(SUGGESTED)
    assumed = view.record.assumptions
    return (*assumed, LEFT_OUT) if left_out and LEFT_OUT not in assumed else assumed


def ct_of(registration: Registration) -> CT:
    """Return the CT in its own frame, and the structure to register, if one is chosen.

    Raises
    ------
    InputError
        Where it cannot be used.
    """
    return take_ct(registration)()


def take_ct(registration: Registration) -> Callable[[], CT]:
    """Do `ct_of` in two steps: what needs the scene is done now, what takes long in the function returned, in any thread.

    Both raise InputError as `ct_of` does.
    """
    node = registration.ct
    if node is None:
        raise InputError("CT: none is chosen, expected a volume; select or load one.")
    check_place(node)
    voxels = _voxels(node)
    place = lps_from_ras(registration.ct_place)
    name = node.GetName()
    unit = registration.ct_unit
    structure = _structure(registration)
    segmentation = registration.segmentation
    structure_name = segmentation and segmentation.GetName()

    alone = bool(registration.bone_cts)

    def work() -> CT:
        ct = ct_from_array(voxels, place, unit, name=name)
        if alone:
            return bone_of_ct(ct, name)
        return ct if structure is None else masked(ct, structure, structure_name)

    return work


def bodies_of(registration: Registration, ct: CT) -> list[Body]:
    """Return the bodies, `ct` that of the first, without poses and UIDs.

    Raises
    ------
    InputError
        Where a CT, or a segment, cannot be used.
    """
    unit = registration.ct_unit
    found: list[Body] = []
    if not registration.bone_cts:
        found = [Body(ct, bones=structures_of(registration, ct))]
    for name, volume in registration.apart.items():
        if found:
            own = volume.GetAttribute(UNIT) or unit
            read = ct_from_array(_voxels(volume), lps_from_ras(place_of(volume)), own, name=name)
            ct = bone_of_ct(read, name)
        found.append(Body(ct, name))
    return found


def structures_of(registration: Registration, ct: CT) -> Structures:
    """Return the structures that get a pose of their own each, on the grid of the CT.

    Raises
    ------
    InputError
        Where they cannot be used.
    """
    if not registration.chosen_segments:
        return NO_STRUCTURES
    refuse_nonlinear(registration.segmentation)
    segments = segments_chosen(registration)
    return structures_in(
        segments, [StructureSource(each.name, each.label) for each in segments.segments], ct
    )


def segments_chosen(registration: Registration) -> LabelVolume:
    """Return the segments that were chosen of a segmentation; those in one layer are read at once."""
    node = registration.segmentation
    layers: dict[Any, tuple[np.ndarray, np.ndarray]] = {}
    segments = []
    for segment_id in registration.chosen_segments:
        segment = node.GetSegmentation().GetSegment(segment_id)
        layer = segment.GetRepresentation(LABELMAP)
        value = segment.GetLabelValue()
        if layer is None:  # a surface, say
            layer = slicer.vtkOrientedImageData()
            node.GetBinaryLabelmapRepresentation(segment_id, layer)
            value = 1
        if layer not in layers:
            voxels = None if layer.IsEmpty() else voxels_of_labelmap(layer)
            place = lps_from_ras(registration.ct_from_segmentation @ place_of_voxels(layer))
            layers[layer] = np.zeros((0, 0, 0), np.uint8) if voxels is None else voxels, place
        segments.append(Segment(segment.GetName(), value, [*layers].index(layer)))
    return LabelVolume(node.GetName(), [*layers.values()], segments)


def xray_of(view: XRayView) -> XRay:
    """Return the view's line integrals, valid within its field and its mask.

    Raises
    ------
    InputError
        Where its image cannot be used.
    """
    record = view.record
    try:
        if view.source is not None:
            xray = to_line_integrals(
                frame_of(view.source, record), record.intensity, record.inverted
            )
        else:
            xray = to_line_integrals(_picture(view), "log")
    except InputError as error:
        raise InputError(f"{view.name}: {error}") from None
    used = drawn(view)
    if used is None:
        return xray
    if not (xray.valid & used).any():
        raise InputError(
            f"{view.name}: the mask {view.mask.GetName()} leaves nothing of the X-ray's field, "
            "expected segments over what is to be used; correct it, or choose none."
        )
    return replace(xray, valid=xray.valid & used)


def landmark_markups(owner: Any):
    """Return the list of landmarks of a registration's or an X-ray's node.

    None without one, or where a damaged scene has another node there.
    """
    node = owner.GetNodeReference(LANDMARKS)
    return node if node is not None and node.IsA("vtkMRMLMarkupsNode") else None


def landmarks_of(registration: Registration, views: list[XRayView]) -> list[Landmark]:
    """Return the points with the same label in the CT's list and in those of the X-rays.

    The others wait for their partner.
    """
    seen: dict[str, dict[str, np.ndarray]] = {}
    for view in views:
        for label, point in control_points(landmark_markups(view.node)):
            seen.setdefault(label, {})[view.name] = view.camera.project(lps_from_ras(point))
    in_ct = control_points(landmark_markups(registration.node), world=False)
    return [
        Landmark(label, lps_from_ras(point), seen[label]) for label, point in in_ct if label in seen
    ]


def frame_of(volume: Any, record: XRayRecord) -> RawImage:
    """Return the frame of a volume node that a view with this record shows, undistorted.

    Grey in colours is grey.

    InputError, without a name in front.
    """
    frames = any_voxels(volume)
    frame = record.shown_frame
    if not 0 <= frame < len(frames):
        raise InputError(
            f"frame {frame} was requested, but the image has {len(frames)}; choose one from 0 to "
            f"{len(frames) - 1}."
        )
    return raw_of(frames[frame], record)


def image_for_file(view: XRayView) -> RawImage:
    """Return the image as a case.json can name it. That has no word for an inverted grey scale.

    It is inverted back.
    """
    if view.source is None:
        return _picture(view)
    raw = frame_of(view.source, view.record)
    return replace(raw, values=raw.white - raw.values) if view.record.inverted else raw


def _picture(view: XRayView) -> RawImage:
    """Return the line integrals that the view shows, where its source was deleted."""
    return raw_image(_voxels(view.node)[0], view.record.image_pixel_mm)


def raw_of(values: np.ndarray, record: XRayRecord) -> RawImage:
    """Return the image of a frame's values (rows, columns), in any thread."""
    raw = raw_image(values[:, ::-1] if record.flipped else values, record.image_pixel_mm)
    raw = replace(raw, white=record.white) if record.white is not None else raw
    return undistorted(raw, record.lens)


def any_voxels(node: Any) -> np.ndarray:
    """Return the voxels (slices, rows, columns), with a further axis where a voxel has several values.

    Raises
    ------
    InputError
        Without a name, where there are none.
    """
    image = node.GetImageData()
    if image is None or not image.GetNumberOfPoints() or image.GetPointData().GetScalars() is None:
        raise InputError("has no voxels, expected an image; load it again.")
    values = vtk_to_numpy(image.GetPointData().GetScalars())
    return values.reshape(*image.GetDimensions()[::-1], *values.shape[1:])


def _voxels(node: Any) -> np.ndarray:
    """Return the voxels (slices, rows, columns)."""
    try:
        values = any_voxels(node)
    except InputError as error:
        raise InputError(f"{node.GetName()}: {error}") from None
    components = node.GetImageData().GetNumberOfScalarComponents()
    if components > 1:
        raise InputError(
            f"{node.GetName()}: has {components} values a voxel (colour or vectors), expected a "
            "grey image; convert it (Vector to Scalar Volume)."
        )
    return values


def _structure(registration: Registration) -> np.ndarray | None:
    """Return bool (slices, rows, columns) on the CT's grid, True in the segment that is to be registered."""
    node = registration.segmentation
    segment = registration.segment_id
    if node is None or not segment:
        return None
    if node.GetSegmentation().GetSegment(segment) is None:
        raise InputError(
            f"{node.GetName()}: the segment to register is not there, expected one of its "
            "segments; choose one, or none."
        )
    refuse_nonlinear(node)
    grid = grid_of(registration.ct, registration.ct_place)
    selected = segments_on(node, [segment], grid, registration.ct_from_segmentation)
    if not selected.any():
        name = node.GetSegmentation().GetSegment(segment).GetName()
        raise InputError(
            f"{node.GetName()}: the segment {name} has no voxel within the CT, expected the "
            "structure to register; draw it."
        )
    return selected


def drawn(view: XRayView) -> np.ndarray | None:
    """Return bool (rows, columns), True where any segment of the view's mask is.

    None without a mask.
    """
    if view.mask is None:
        return None
    refuse_nonlinear(view.mask)
    segments = view.mask.GetSegmentation().GetSegmentIDs()
    selected = segments_on(
        view.mask, segments, grid_of(view.masked), from_node_to(view.masked, view.mask)
    )
    if not view.mask_on_source:
        return selected[0]
    record = view.record
    painted = selected[record.shown_frame]
    painted = painted[:, ::-1] if record.flipped else painted
    return undistorted_mask(painted, record.lens)


def segments_on(
    segmentation: Any, segment_ids: list[str], grid: Any, grid_from_segmentation: np.ndarray
) -> np.ndarray:
    """Return bool (slices, rows, columns), the voxels of a grid that these segments cover.

    Parameters
    ----------
    grid
        As of `grid_of`.
    grid_from_segmentation
        (4, 4), RAS mm, from the frame of the segmentation to that of the grid.
    """
    covered = np.zeros(grid.GetDimensions()[::-1], bool)
    for segment_id in segment_ids:
        labelmap = slicer.vtkOrientedImageData()
        resampled = slicer.vtkOrientedImageData()
        segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap)
        if labelmap.IsEmpty():
            continue
        place = grid_from_segmentation @ place_of_labelmap(labelmap)
        labelmap.SetImageToWorldMatrix(slicer.util.vtkMatrixFromArray(place))
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
            labelmap, grid, resampled
        )
        covered |= vtk_to_numpy(resampled.GetPointData().GetScalars()).reshape(covered.shape) != 0
    return covered


def grid_of(volume: Any, place: np.ndarray | None = None):
    """Return a vtkOrientedImageData without voxels on a volume node's grid, in the node's own frame, or at a place (4, 4), RAS mm."""
    grid = slicer.vtkOrientedImageData()
    grid.SetDimensions(volume.GetImageData().GetDimensions())
    grid.SetGeometryFromImageToWorldMatrix(
        slicer.util.vtkMatrixFromArray(place_of(volume) if place is None else place)
    )
    return grid


def take_facts(registration: Registration) -> Callable[[], list[str]]:
    """Return the facts in two steps, as `take_ct`.

    What needs the scene is done now, what takes long in the function returned, in any thread.

    Both raise InputError where the CT cannot be used.
    """
    work = take_ct(registration)
    return lambda: facts(work())


def facts(ct: CT) -> list[str]:
    """Return the size of a CT and how much of it, or of its structure, is bone, a line each."""
    values = ct.volume.values
    voxel_ml = float(np.prod(ct.volume.spacing_mm)) / 1000
    voxels = np.array(values.shape[::-1])
    lines = [
        _("Voxels: {size}").format(size=_times(voxels, "d")),
        _("Spacing: {spacing} mm").format(spacing=_times(ct.volume.spacing_mm, ".2f")),
        _("Extent: {extent} mm").format(extent=_times(voxels * ct.volume.spacing_mm, ".0f")),
    ]
    if ct.mask is not None:
        structure_ml = np.count_nonzero(ct.mask) * voxel_ml
        lines.append(_("Structure: {ml:.0f} ml").format(ml=structure_ml))
    if ct.unit != "hu":
        return lines
    bone = values > BONE_HU
    bone_ml = np.count_nonzero(bone if ct.mask is None else bone & ct.mask) * voxel_ml
    found = (
        _("Bone: {ml:.0f} ml (above {hu:.0f} HU)")
        if bone_ml
        else _("No bone above {hu:.0f} HU: are the values right?")
    )
    return [*lines, found.format(ml=bone_ml, hu=BONE_HU)]


def _times(numbers: np.ndarray, form: str) -> str:
    return " \u00d7 ".join(f"{number:{form}}" for number in numbers)
