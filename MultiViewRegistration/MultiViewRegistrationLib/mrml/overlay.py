"""What lies over an X-ray: the DRR, or a picture made of both, in volumes on its plane; and its annotations.

Its frustum in 3D, its name and angles, and the patient's sides at the edges of the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkFiltersCore import vtkAppendPolyData
from vtkmodules.vtkFiltersSources import vtkSphereSource

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.machines import CArm, SlotScan, image_sides, side_of_direction
from . import slice_view
from .layout import colour_of, slice_of
from .nodes import (
    Colour,
    configure,
    leave_out_of_files,
    mesh_of,
    polyline,
    product,
    products_of,
    ras_from_lps,
    remove_product,
    remove_with_products,
)
from .registration import Registration
from .slice_view import ras_from_slice
from .xray import DetectorPlane, GreyRange, XRayView, on_image

if TYPE_CHECKING:
    from ..report.overlays import Film
    from .drawing import ToneMatch

#: What may lie over an X-ray: a DRR or a picture made of both (report.overlays).
DRR = "drr"
PICTURE = "picture"
#: Modes in which a DRR lies over the X-ray, and those with a picture in Slicer's slice views.
BLENDS = ("blend", "flicker")
PICTURES = ("checkerboard", "edges", "colours", "difference")
MODES = (*BLENDS, *PICTURES, "off")
#: Modes in which blue is where the DRR is brighter.
WITH_BLUE_DRR = ("colours", "difference")
#: Parameters of a registration.
MODE = "overlay"
OPACITY = "opacity"
#: Percentiles of the X-ray that are black and white where a part of it is looked at.
GREYS = (1, 99)
#: Seconds that each of the two is seen in turn.
FLICKER_S = 0.5
#: What a DRR's voxel has where it says nothing: transparent, and so low that its neighbours are not
#: dimmed when they are interpolated.
NOTHING = -1e4


def mode_of(registration: Registration) -> str:
    """Return one of MODES."""
    mode = registration.parameter(MODE, MODES[0])
    return mode if mode in MODES else MODES[0]


def opacity_of(registration: Registration) -> float:
    """Return the blend, from 0, the X-ray alone, to 1, the DRR alone."""
    return float(registration.parameter(OPACITY, "0.5"))


def xray_window(view: XRayView) -> GreyRange:
    """Return the line integrals (low, high) between which the X-ray is shown."""
    display = view.display
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def show_greys_within(view: XRayView, box: np.ndarray) -> None:
    """Show the X-ray in the greys that it has between the lowest and the highest pixel (2, 2)."""
    (left, top), (right, bottom) = box
    there = slicer.util.arrayFromVolume(view.node)[0, top:bottom, left:right]
    if there.size:  # of a damaged file there may be nothing
        view.display.SetWindowLevelMinMax(*np.percentile(there, GREYS))


class SliceCanvas:
    """Overlays as volumes on the X-rays' planes, which `lay` puts into their slice views.

    a `mrml.drawing.Canvas`.
    """

    def kind(self, mode: str) -> str | None:
        """Return what lies over an X-ray in a mode: DRR or PICTURE; None for nothing."""
        if mode == "off":
            return None
        return DRR if mode in BLENDS else PICTURE

    def foreground(self, view: XRayView, mode: str) -> Any:
        """Return the volume node to lie over the X-ray in this mode.

        None where there is none (yet).
        """
        role = self.kind(mode)
        return role and view.node.GetNodeReference(role)

    def remove(self, view: XRayView, but: str = "off") -> None:
        """Remove the volumes that a mode does not use; they are no longer at the CT's pose."""
        for role in {DRR, PICTURE} - {self.kind(but)}:
            remove_product(view.node, role)

    def show(self, detector: DetectorPlane, kind: str, image: np.ndarray, factor: int) -> None:
        """Put a DRR (rows, columns), NaN where it says nothing, or a picture, uint8 (rows, columns, 3), into the view's volume.

        Its pixels are those of the camera pooled by `factor`.
        """
        if kind == DRR:
            node = _volume(detector.view, DRR, "vtkMRMLScalarVolumeNode", "DRR")
            image = np.where(np.isnan(image), np.float32(NOTHING), image)
        else:
            node = _volume(detector.view, PICTURE, "vtkMRMLVectorVolumeNode", "overlay")
        voxels = node.GetImageData() and slicer.util.arrayFromVolume(node)
        if voxels is not None and voxels.shape == image[None].shape:
            voxels[:] = (
                image  # all of Slicer follows another image, a slice view alone other voxels
            )
            node.GetImageData().Modified()
        else:
            slicer.util.updateVolumeFromArray(node, image[None])
        _place(node, detector, factor)

    def shade(self, view: XRayView, tones: ToneMatch) -> None:
        """Show the DRR as the X-ray is shown.

        In its window, and in its colours, should a person have inverted them.
        """
        node = view.node.GetNodeReference(DRR)
        like = view.display
        if node is None or like is None:
            return
        low, high = tones.window(like.GetWindowLevelMin(), like.GetWindowLevelMax())
        display = node.GetDisplayNode()
        with slicer.util.NodeModify(display):
            configure(
                display,
                AutoWindowLevel=False,
                WindowLevelMinMax=(low, high),
                Interpolate=like.GetInterpolate(),
                AndObserveColorNodeID=like.GetColorNodeID(),
                Threshold=(0.0, 1e6),
                ApplyThreshold=True,
            )

    def picture_of(self, mode: str, film: Film, drr: np.ndarray, *, structure: bool) -> np.ndarray:
        """Make the picture, uint8 (rows, columns, 3), of one of PICTURES, as `report.overlays.live_picture`."""
        from ..report.overlays import live_picture  # it needs Pillow

        return live_picture(mode, film, drr, structure=structure)


def lay(registration: Registration, seconds: float) -> None:
    """Show in each X-ray's slice view the overlay that the registration's mode selects.

    Parameters
    ----------
    seconds
        Of any clock, for the flicker.
    """
    canvas = SliceCanvas()
    mode = mode_of(registration)
    opacity = {
        "blend": opacity_of(registration),
        "flicker": float(seconds % (2 * FLICKER_S) < FLICKER_S),
    }.get(mode, 1.0)
    for view in registration.xrays:
        slice_view.lay_over(view, canvas.foreground(view, mode), opacity)


def _volume(view: XRayView, role: str, class_name: str, suffix: str) -> Any:
    node = product(view.node, role, class_name, f"{view.name} {suffix}")
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.SetSelectable(False)
    return node


def _place(node: Any, detector: DetectorPlane, factor: int) -> None:
    """Lay a volume on the detector's plane, each of its pixels over `factor` x `factor` of the X-ray's."""
    pixel_from_pooled = np.diag([factor, factor, 1.0, 1.0])
    pixel_from_pooled[:2, 3] = (factor - 1) / 2
    node.SetIJKToRASMatrix(
        slicer.util.vtkMatrixFromArray(detector.ras_from_pixel @ pixel_from_pooled)
    )


FRUSTUM = "frustum"
#: What a frustum was made of: it is made again only where that has changed.
MADE_OF = "MultiViewRegistration.madeOf"
LINE_WIDTH = 2.0
SOURCE_RADIUS_MM = 6.0
DASH_MM = 12.0
#: The colour of a view that is not used.
SKIPPED_COLOUR = (0.55, 0.55, 0.58)


def show_frustum(view: XRayView) -> None:
    """Draw the view's frustum, or draw it again where its camera has changed.

    None without a camera.
    """
    if not view.placed:
        remove_product(view.node, FRUSTUM)
        return
    camera = view.camera
    depth_mm = view.detector_mm
    node = product(
        view.node,
        FRUSTUM,
        "vtkMRMLModelNode",
        f"{view.name} frustum",
        hidden=True,
        Visibility2D=False,
        LineWidth=LINE_WIDTH,
        Lighting=False,
        BackfaceCulling=True,  # the ball is not in the way of an eye at the source
    )
    node.SetSelectable(False)  # points are placed on what lies behind it
    made_of = hashlib.sha256(
        camera.linear_forms.tobytes() + repr((camera.size, depth_mm)).encode()
    ).hexdigest()
    if node.GetAttribute(MADE_OF) != made_of or node.GetPolyData() is None:
        node.SetAndObservePolyData(frustum_polydata(camera, depth_mm))
        node.SetAttribute(MADE_OF, made_of)
    node.SetName(f"{view.name} frustum")
    node.GetDisplayNode().SetColor(*(colour_of(view) if view.used else SKIPPED_COLOUR))


def detector_corners(camera: Camera, depth_mm: float) -> np.ndarray:
    """Return where (4, 3) the outer corners of the image lie at this depth, world LPS mm.

    Clockwise from the top left one.
    """
    return camera.at_depth(camera.corners, depth_mm)


def frustum_polydata(camera: Camera, depth_mm: float) -> vtkPolyData:
    """Return the frustum's lines, RAS mm.

    Source to corners, the detector's edge, the central ray in dashes; a ball at the source.

    Of a slot scan the way of the source is a line, with the ball at the middle row's.
    """
    edge = detector_corners(camera, depth_mm)
    foot = camera.source + depth_mm * camera.world_from_camera[:3, 2]
    dashes = (
        np.arange(0, depth_mm, DASH_MM)[: int(depth_mm / DASH_MM) // 2 * 2].reshape(-1, 2)
        / depth_mm
    )
    dashes = camera.source + dashes[..., None] * (foot - camera.source)
    sources = camera.sources(camera.corners)
    way = sources[None, [0, 2]] if camera.source_step.any() else np.empty((0, 2, 3))
    segments = np.concatenate(
        [np.stack([sources, edge], axis=1), polyline(edge, closed=True), dashes, way]
    )

    ball = vtkSphereSource()
    configure(ball, Center=tuple(ras_from_lps(camera.source)), Radius=SOURCE_RADIUS_MM)
    both = vtkAppendPolyData()
    both.AddInputData(mesh_of(ras_from_lps(segments)))
    both.AddInputConnection(ball.GetOutputPort())
    both.Update()
    return both.GetOutput()


#: The label in the slice view, and that at the source in 3D.
LABEL = "label"
LABEL_3D = "label3D"
#: Pixels of a slice view between its edge and the text, and the size of a letter there, on a screen
#: of usual density; small letters are narrower.
MARGIN = 8
LETTER_WIDTH = 10
LETTER_HEIGHT = 16
TITLE_LETTER_WIDTH = 8
USUAL_DENSITY = 0.2
TEXT_SCALE = 3.0
LINE_SPACING = 1.2
#: Pixels of the shorter side of a slice view, on a screen of usual density, below which the case and
#: the angles would lie over the letters.
SMALL_PX = 240
#: A glyph too small to be seen; one of size 0 is drawn large.
GLYPH_MM = 1e-3
#: How far beyond the source its label in 3D is; sources are farther apart than detectors.
BEYOND_MM = 25.0


def show_labels(view: XRayView) -> None:
    """Write the labels, or write again what has changed; without a slice view only that in 3D."""
    tone = colour_of(view) if view.used else SKIPPED_COLOUR
    node = slice_of(view)
    if node is None or 0 in view.size:
        remove_product(view.node, LABEL)
    else:
        markups, display = _label_markups(view.node, LABEL, f"{view.name} label", tone)
        if list(display.GetViewNodeIDs()) != [node.GetID()]:
            display.SetViewNodeIDs([node.GetID()])
        texts = _texts(view, node)
        _write_labels(markups, texts, _places(view, node, texts))
    if not view.placed:
        remove_product(view.node, LABEL_3D)
        return
    markups, display = _label_markups(view.node, LABEL_3D, f"{view.name} label 3D", tone)
    display.SetVisibility2D(False)
    display.GetTextProperty().SetJustificationToCentered()
    camera = view.camera
    anchor = ras_from_lps(camera.source - BEYOND_MM * camera.world_from_camera[:3, 2])
    _write_labels(markups, [view.name], [anchor])


def is_labelled(view: XRayView) -> bool:
    """Return whether an X-ray's slice view has its label."""
    return view.node.GetNodeReference(LABEL) is not None


def show_names(
    lines: Any, slice_id: str | None, names: Sequence[tuple[str, Colour, np.ndarray]]
) -> None:
    """Write names in this slice view, each in its colour to the right of its place, (3,) RAS mm.

    They are products of the model of lines whose names they are, and with it in no scene file.
    """
    for superfluous in products_of(lines)[len(names) :]:
        remove_with_products(superfluous)
    for number, (name, colour, place) in enumerate(names):
        markups, display = _label_markups(lines, f"name{number}", name, colour)
        display.SetViewNodeIDs([slice_id])
        leave_out_of_files(markups)
        _write_labels(markups, [name], [place])


def settle_labels(view: XRayView) -> None:
    """Put the label back into the corner of its slice view, and the letters to the edges, after a zoom, a move, or a new size."""
    markups = view.node.GetNodeReference(LABEL)
    node = slice_of(view)
    if markups is not None and node is not None:
        texts = _texts(view, node)
        _write_labels(markups, texts, _places(view, node, texts))


def _texts(view: XRayView, node: Any) -> list[str]:
    """Return what is written in a slice view: the title, in a small one its name alone, and the sides."""
    small = min(node.GetDimensions()[:2]) < SMALL_PX * node.GetScreenScaleFactor() / USUAL_DENSITY
    lines = [short_title(view)] if small else title(view)
    return ["\n".join(lines), *(sides_of(view) or ())]


def short_title(view: XRayView) -> str:
    """Return the name of a view, and whether it is skipped."""
    return view.name if view.used else f"{view.name} (skipped)"


def title(view: XRayView) -> list[str]:
    """Return the names of the view and of its registration.

    The C-arm's angles and the distance from source to detector, or on which side the tube of a slot
    scan is and how far from the isocentre; what of these is known.
    """
    reading = c_arm_of(view)
    geometry = view.record.geometry
    name = " \u2013 ".join(filter(None, [view.name, view.case_name]))
    lines = [name if view.used else f"{name} (skipped)"]
    if reading is not None:
        lines.append(
            f"{_angle(reading.rao_lao_deg, 'LAO', 'RAO')}  "
            f"{_angle(reading.cra_cau_deg, 'CRA', 'CAU')}"
        )
        lines.append(f"SID {reading.source_to_detector_mm:.0f} mm")
    elif isinstance(geometry, SlotScan) and view.placed:
        lines.append(
            f"Slot scan, tube at {side_of_direction(-view.camera.world_from_camera[:3, 2])}"
        )
        lines.append(f"SOD {geometry.source_to_isocentre_mm:.0f} mm")
    return lines


def c_arm_of(view: XRayView) -> CArm | None:
    """Return the C-arm's reading.

    None where the isocentre is not in the beam, and where no angles were given: a matrix, or a
    camera from beads, has a world whose axes need not be the patient's.
    """
    if view.record.kind != "c_arm":
        return None
    try:
        camera = view.camera
        depth_mm = view.detector_mm
        reading = CArm.from_camera(camera, depth_mm / np.abs(camera.intrinsics.diagonal()[:2]))
    except InputError:
        return None
    return reading if on_image(camera.project(np.zeros(3)), camera.size) else None


def sides_of(view: XRayView) -> tuple[str, str, str, str] | None:
    """Return the patient's sides at the left, right, top and bottom edge of the image.

    None where the world's axes may not be the patient's.
    """
    if c_arm_of(view) is None and not (view.placed and view.record.kind == "slot_scan"):
        return None
    return image_sides(view.camera, np.eye(4))


def _angle(degrees: float, positive: str, negative: str) -> str:
    degrees = round(degrees, 1)
    return f"{positive if degrees >= 0 else negative} {abs(degrees):.1f}°"


def _places(view: XRayView, node: Any, texts: list[str]) -> np.ndarray:
    """Return RAS mm (n, 3) of the lower left corners of the texts.

    That in the corner of a slice view, then left, right, top and bottom.
    """
    ras_from_xy = slicer.util.arrayFromVTKMatrix(node.GetXYToRAS())
    grow = node.GetScreenScaleFactor() / USUAL_DENSITY
    size = node.GetDimensions()[:2]
    margin = grow * MARGIN
    letter = grow * np.array([LETTER_WIDTH, LETTER_HEIGHT])
    (left, bottom), (right, top) = np.clip(_image_in(view, ras_from_xy), 0, size)
    lines = texts[0].split("\n")
    width = [len(text) * letter[0] for text in texts]
    centre = (left + right) / 2
    middle = (bottom + top) / 2 - letter[1] / 2
    xy = [(margin, size[1] - margin - len(lines) * letter[1])]
    if len(texts) > 1:
        highest = top - margin - letter[1]
        if (
            margin + grow * TITLE_LETTER_WIDTH * max(map(len, lines)) > centre - width[3] / 2
        ):  # the title is in the way
            highest = min(highest, xy[0][1] - letter[1])
        xy += [
            (left + margin, middle),
            (right - margin - width[2], middle),
            (centre - width[3] / 2, highest),
            (centre - width[4] / 2, bottom + margin),
        ]
    return np.array([(*place, 0, 1) for place in xy]) @ ras_from_xy[:3].T


def _image_in(view: XRayView, ras_from_xy: np.ndarray) -> np.ndarray:
    """Return the lower left and the upper right corner (2, 2) of the image in pixels (x, y) of its slice view."""
    half = np.array(view.size) * view.node.GetSpacing()[:2] / 2
    ras = np.array([[*-half, 0, 1], [*half, 0, 1]]) @ ras_from_slice(view).T
    return np.linalg.solve(ras_from_xy, ras.T)[:2].T


def _label_markups(owner: Any, role: str, name: str, tone: Colour) -> tuple:
    """Return the owner's list of labels in this colour, and its display node."""
    node = owner.GetNodeReference(role)
    if node is None:
        selection = owner.GetScene().GetNodeByID("vtkMRMLSelectionNodeSingleton")
        kind = selection.GetActivePlaceNodeClassName()
        active = selection.GetActivePlaceNodeID()
        node = product(
            owner,
            role,
            "vtkMRMLMarkupsFiducialNode",
            name,
            hidden=True,
            PointLabelsVisibility=True,
            PropertiesLabelVisibility=False,
            UseGlyphScale=False,
            GlyphSize=GLYPH_MM,
            TextScale=TEXT_SCALE,
            OccludedVisibility=True,
            OccludedOpacity=1.0,
        )
        node.SetLocked(True)
        # Slicer takes any new list for the one to place points into.
        selection.SetReferenceActivePlaceNodeClassName(kind)
        selection.SetReferenceActivePlaceNodeID(active)
    node.SetName(name)
    display = node.GetDisplayNode()
    configure(display, Color=tone, SelectedColor=tone)
    configure(
        display.GetTextProperty(), Shadow=True, LineSpacing=LINE_SPACING
    )  # no scene file has these
    return node, display


def _write_labels(markups: Any, texts: list[str], positions) -> None:
    with slicer.util.NodeModify(markups):
        while markups.GetNumberOfControlPoints() > len(texts):
            markups.RemoveNthControlPoint(markups.GetNumberOfControlPoints() - 1)
        while markups.GetNumberOfControlPoints() < len(texts):
            markups.AddControlPoint(0, 0, 0)
        for i, (text, position) in enumerate(zip(texts, positions, strict=True)):
            if markups.GetNthControlPointLabel(i) != text:
                markups.SetNthControlPointLabel(i, text)
            if not np.allclose(markups.GetNthControlPointPosition(i), position, atol=1e-6):
                markups.SetNthControlPointPosition(i, *position)
