"""One X-ray in the scene: an image at its detector plane, and its geometry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer
from numpy.typing import ArrayLike
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkTransform

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.fields import STEP_SD
from ..geometry.machines import SlotScan
from ..io.view_record import Geometry
from .nodes import OWNER, is_linear, lps_from_ras, ras_from_lps, ras_from_node
from .xray_record import XRayRecord, record_of


def drawn_on(segmentation: Any):
    """Return the volume node whose grid a segmentation was drawn on, None where that is unknown."""
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())


def move_segments(segmentation: Any, after_from_before: np.ndarray) -> None:
    """Move all segments by a transform (4, 4) in the frame of their node.

    Voxels keep their values; a mirror image is allowed.
    """
    move = vtkTransform()
    move.SetMatrix(slicer.util.vtkMatrixFromArray(after_from_before))
    segmentation.GetSegmentation().ApplyLinearTransform(move)
    segmentation.GetSegmentation().InvalidateNonSourceRepresentations()
    segmentation.Modified()


ATTRIBUTE = "MultiViewRegistration.view"
#: The attribute with the tag of the slice view that shows an X-ray.
SHOWN_IN = "MultiViewRegistration.sliceView"
#: The line integrals (low, high) between which an image is shown.
GreyRange = tuple[float, float]
SOURCE = "source"
MASK = "mask"
#: While a frame of a sequence stands in for the source: the volume of the frame, and the source
#: from before.
FRAME = "frameOfSequence"
STILL = "sourceBeforeSequence"
#: Beyond how many times the isocentre's depth the image is shown where the distance of the detector
#: is unknown.
DETECTOR_BEHIND_ISOCENTRE = 1.5
DETECTOR_MM = 1000.0


@dataclass(repr=False)
class XRayView:
    """An X-ray image node and its record, which is JSON in an attribute; nothing is kept here.

    The node is a vtkMRMLScalarVolumeNode of line integrals, bone bright, with one slice. A
    projection matrix is kept as the camera that it settled to.
    """

    node: Any

    @classmethod
    def create(cls, scene: Any, name: str) -> XRayView:
        """Return a new view, still without image and geometry."""
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        node.SetAttribute(ATTRIBUTE, "{}")
        return cls(node)

    @property
    def id(self) -> str:
        """The node's."""
        return self.node.GetID()

    @property
    def scene(self) -> Any:
        """The vtkMRMLScene; None once the X-ray was removed."""
        return self.node.GetScene()

    @property
    def display(self) -> Any:
        """The vtkMRMLVolumeDisplayNode of its picture."""
        return self.node.GetDisplayNode()

    @property
    def name(self) -> str:
        """The node's."""
        return self.node.GetName()

    @property
    def case_name(self) -> str:
        """The name of the registration that the view belongs to."""
        registration = self.node.GetNodeReference(OWNER)
        return registration.GetName() if registration is not None else ""

    @property
    def record(self) -> XRayRecord:
        """What is known of it.

        Raises
        ------
        InputError
            Beginning with the view's name, where a damaged scene has no record there.
        """
        return record_of(self.name, self.node.GetAttribute(ATTRIBUTE) or "{}")

    @record.setter
    def record(self, record: XRayRecord) -> None:
        self.node.SetAttribute(ATTRIBUTE, json.dumps(record.scene_json()))

    def change(self, **fields: Any) -> None:
        """Set fields of the record.

        A new geometry takes the place of the one before, its distortion, correction, origins and
        marker. What was stated of a marker's camera does not hold for it, nor what was of the
        principal point for another camera.
        """
        if "geometry" in fields:
            fields = {
                "distortion": None,
                "corrected": None,
                "origins": {},
                "marker": "",
                **fields,
            }
            stated = fields.get("uncertainty", self._stated_of(fields["geometry"]))
            if not isinstance(fields["geometry"], SlotScan):
                stated = {key: sd for key, sd in stated.items() if key != STEP_SD.key}
            fields["uncertainty"] = stated
        self.record = replace(self.record, **fields)

    def _stated_of(self, geometry: Geometry) -> dict[str, float | None]:
        """Return what was stated of the geometry before and holds for a new one, too."""
        before = self.record.geometry
        stated = dict(self.record.uncertainty)
        if isinstance(geometry, Camera):
            if isinstance(before, Camera) and geometry.same_as(before):
                return stated
            stated.pop("principal_point_sd_px", None)
        return {} if self.record.marker else stated

    def correct(self, camera: Camera | None) -> bool:
        """Set the camera as a registration corrected it, None for as given.

        Whether it was another one before.
        """
        now = replace(self.record, corrected=camera)
        differs = now != self.record
        if differs:
            self.record = now
        return differs

    @property
    def used(self) -> bool:
        """Whether it takes part in the registration."""
        return self.record.use

    @property
    def source(self):
        """The volume that the image was made from, None where it is gone."""
        return self.node.GetNodeReference(SOURCE)

    @property
    def mask(self):
        """The vtkMRMLSegmentationNode whose segments say which part of the image is used, if any."""
        return self.node.GetNodeReference(MASK)

    @property
    def mask_on_source(self) -> bool:
        """Whether the mask was drawn on the volume that the image was made from, and not on the image."""
        source = self.source
        if source is not None and source is self.node.GetNodeReference(FRAME):
            source = self.node.GetNodeReference(STILL)
        return source is not None and self.mask is not None and drawn_on(self.mask) is source

    @property
    def masked(self):
        """The volume node that the mask was drawn on."""
        return self.source if self.mask_on_source else self.node

    @property
    def size(self) -> tuple[int, int]:
        """(columns, rows); (0, 0) without an image."""
        image = self.node.GetImageData()
        return image.GetDimensions()[:2] if image else (0, 0)

    @property
    def given_camera(self) -> Camera:
        """The camera that its geometry says.

        Raises
        ------
        InputError
            Where that is missing, or for an image of another size.
        """
        return self.record.flat.camera(self.size)

    @property
    def camera(self) -> Camera:
        """The camera, as a registration corrected it where it did.

        Raises
        ------
        InputError
            As `given_camera`.
        """
        corrected = self.record.corrected
        return (
            corrected
            if corrected is not None and corrected.size == self.size
            else self.given_camera
        )

    @property
    def ras_from_pixel(self) -> np.ndarray:
        """(4, 4), takes (column, row, mm off the plane along the beam, 1) to RAS, where its geometry says that it lies."""
        return ras_from_lps(world_from_pixel(self.camera, self.detector_mm))

    def ras_of(self, pixel: ArrayLike) -> np.ndarray:
        """RAS mm (3,) of a pixel (column, row) in the image as it lies in the scene."""
        return self.ras_from_pixel[:3] @ np.append(pixel, [0.0, 1.0])

    def check_place(self) -> None:
        """InputError where the image lies under a transform, as its geometry says where it lies."""
        if not is_linear(self.node) or not np.allclose(
            ras_from_node(self.node), np.eye(4), rtol=0, atol=1e-6
        ):
            raise InputError(
                f"{self.name}: lies under the transform "
                f"{self.node.GetParentTransformNode().GetName()}, but its geometry says where it "
                "lies; take it out of the transform."
            )

    def place(self) -> None:
        """Lay the image at its detector plane, and what was drawn on it.

        Where the geometry is missing or wrong both stay.
        """
        if not self.placed:
            return
        before = place_of(self.node)
        place(self.node, self.camera, self.detector_mm)
        self.carry_mask(before, place_of(self.node))

    def keep_in_place(self) -> None:
        """Lay the image back where its geometry says, where a person has moved it alone."""
        if self.placed:
            there = self.ras_from_pixel[:, [0, 1, 3]]
            if not np.allclose(place_of(self.node)[:, [0, 1, 3]], there, rtol=0, atol=1e-6):
                place(self.node, self.camera, self.detector_mm)

    def carry_mask(self, before: np.ndarray, after: np.ndarray) -> None:
        """Take a mask that was drawn on the image from one place of the image, ras_from_pixel (4, 4), to another."""
        if (
            self.mask is not None
            and not self.mask_on_source
            and not np.allclose(before, after, rtol=1e-9, atol=1e-9)
        ):
            ras_from_mask = ras_from_node(self.mask)
            move_segments(
                self.mask,
                np.linalg.inv(ras_from_mask) @ after @ np.linalg.inv(before) @ ras_from_mask,
            )

    @property
    def placed(self) -> bool:
        """Whether it has an image and a geometry that fits it."""
        try:
            return self.camera is not None
        except InputError:
            return False

    @property
    def detector_mm(self) -> float:
        """The distance from the source at which the image is shown.

        At the detector, where it is known.
        """
        camera = self.camera
        pixel_mm = self.record.detector_pixel_mm
        geometry = self.record.geometry
        if isinstance(geometry, SlotScan):
            isocentre_mm = geometry.source_to_isocentre_mm
        elif pixel_mm:
            return float(camera.intrinsics[1, 1] * pixel_mm[1])
        else:
            isocentre_mm = float(camera.depth(np.zeros(3)))
        return DETECTOR_BEHIND_ISOCENTRE * isocentre_mm if isocentre_mm > 1 else DETECTOR_MM

    @property
    def pixel_aspect(self) -> float:
        """The height of a pixel over its width in the image as it is read.

        Of a slot scan at the isocentre, as only its width grows.
        """
        geometry = self.record.geometry
        width, height = (
            geometry.pixel_mm if isinstance(geometry, SlotScan) else self.node.GetSpacing()[:2]
        )
        return height / width


def tag_of(view: XRayView) -> str | None:
    """Return the tag of the slice view that shows an X-ray, or is to show it once it is there.

    None where none is.
    """
    return view.node.GetAttribute(SHOWN_IN)


def world_from_pixel(camera: Camera, depth_mm: float) -> np.ndarray:
    """(4, 4) that takes (column, row, 0, 1) to the point of the pixel's ray at this depth, world LPS mm.

    The third axis is one mm along the beam.
    """
    place = np.eye(4)
    plane = camera.plane_at(depth_mm)
    place[:3, :2] = plane[:, :2]
    place[:3, 3] = plane[:, 2]
    place[:3, 2] = camera.world_from_camera[:3, 2]
    return place


def place_of(node: Any) -> np.ndarray:
    """(4, 4) that takes a volume node's (column, row, slice, 1) to RAS mm in the node's own frame."""
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def from_other_end(place: np.ndarray, slices: int) -> np.ndarray:
    """Return the place (4, 4) of the same voxels, where their slices are counted from the other end."""
    return place @ [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, slices - 1], [0, 0, 0, 1]]


def is_left_handed(place: np.ndarray) -> bool:
    """Return whether the axes of a place (4, 4) are.

    A file of Slicer's has the slices of such a volume the other way round.
    """
    return bool(np.linalg.det(place) < 0)


def place(node: Any, camera: Camera, depth_mm: float) -> None:
    """Lay a volume with one slice on the plane square to the beam at this depth, its pixels on their rays.

    Where the camera mirrors, its third axis points to the source: of a left-handed image with one
    slice a saved scene brings that back.
    """
    world_from_index = world_from_pixel(camera, depth_mm)
    world_from_index[:3, 2] *= np.sign(np.linalg.det(world_from_index[:3, :3]))
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ras_from_lps(world_from_index)))


def on_image(pixel: np.ndarray, size: Sequence[int], beside: float = 0.0) -> bool:
    """Return whether a pixel (2,) is on an image of a size, or beside it by no more than this share of that."""
    sides = np.array(size)
    return bool((np.abs(pixel - (sides - 1) / 2) <= (0.5 + beside) * sides).all())


ON_PLANE_MM = 0.6
"""A point is on a detector's plane if it is no farther off than this: half the slice of the image,
which is 1 mm thick."""
EDGE_SHARE = 0.5
"""And if it is no farther beside the image than this share of its size, so that a point may be
dragged over the edge."""


@dataclass(frozen=True, eq=False)
class DetectorPlane:
    """An X-ray, where it lies.

    Attributes
    ----------
    slice_id
        The ID that the node of its slice view has, or will have once there is one; None for an
        X-ray that is not shown.
    ras_from_pixel
        (4, 4), takes (column, row, mm off the plane along the beam, 1) to RAS.
    stamp
        Equal for equal detectors of one view.
    """

    view: XRayView
    slice_id: str | None
    camera: Camera
    ras_from_pixel: np.ndarray
    stamp: tuple

    @property
    def source(self) -> np.ndarray:
        """RAS mm (3,); of a slot scan, that of the middle row."""
        return ras_from_lps(self.camera.source)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) on which points (..., 3), RAS mm, fall."""
        return self.camera.project(lps_from_ras(points))

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Distances (...) of points (..., 3), RAS mm, from the source along the beam.

        Negative behind it.
        """
        return self.camera.depth(lps_from_ras(points))

    def on_plane(self, pixels: ArrayLike) -> np.ndarray:
        """RAS mm (..., 3) of pixels (..., 2)."""
        place = self.ras_from_pixel
        return np.asarray(pixels, float) @ place[:3, :2].T + place[:3, 3]

    def locate(self, point: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the pixel (2,) that is square under a point (3,), RAS mm, and how far off the plane the point is, mm along the beam."""
        column, row, off, _ = np.linalg.solve(self.ras_from_pixel, [*point, 1.0])
        return np.array([column, row]), float(off)

    def holds(self, point: np.ndarray) -> bool:
        """Return whether a point (3,), RAS mm, lies on the image or beside it."""
        pixel, off = self.locate(point)
        return abs(off) <= ON_PLANE_MM and on_image(pixel, self.camera.size, EDGE_SHARE)


def detectors(registration) -> list[DetectorPlane]:
    """Return the detector planes of a `registration.Registration`'s X-rays with a known geometry."""
    return [_detector(view) for view in registration.xrays if view.placed]


def _detector(view: XRayView) -> DetectorPlane:
    tag = tag_of(view)
    return DetectorPlane(
        view,
        tag and f"vtkMRMLSliceNode{tag}",
        view.camera,
        view.ras_from_pixel,
        stamp=(view.id, view.node.GetAttribute(ATTRIBUTE), view.size, tag),
    )


def detector_of(point: np.ndarray, among: list[DetectorPlane]) -> DetectorPlane | None:
    """Return the one on whose plane a point (3,), RAS mm, lies.

    Of several the nearest plane, of one plane the image nearest to its middle.
    """

    def order(detector: DetectorPlane) -> tuple[float, float]:
        pixel, off = detector.locate(point)
        return round(abs(off), 2), float(np.abs((pixel + 0.5) / detector.camera.size - 0.5).max())

    return min((detector for detector in among if detector.holds(point)), key=order, default=None)
