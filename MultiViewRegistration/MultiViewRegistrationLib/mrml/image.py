"""Images of X-rays and of the frames of a sequence: in files, or as slices of volumes in the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR

from ..errors import InputError
from ..imaging.body import Structures, colour_of
from ..imaging.field import hull
from ..imaging.xray import RawImage, XRay, count_frames, to_line_integrals
from ..io.case import image_of, mask_of
from ..io.case_file import CaseFile
from ..io.sequence import FrameFiles
from ..io.view_record import ViewRecord
from ..translation import _
from .case import any_voxels, grid_of, raw_of, xray_of
from .fingerprints import keep_undrawn
from .layout import number_of, tag_of
from .nodes import LABELMAP, NUMBERED, OWNER, configure, nodes_of_class, product
from .registration import MAX_VIEWS, Registration
from .xray import FRAME, MASK, SOURCE, GreyRange, XRayView, place_of
from .xray_record import XRayRecord, greys_of, name_of


@dataclass(frozen=True, eq=False)
class FrameImage:
    """A view's image in a frame.

    Attributes
    ----------
    raw
        As the file has it, None where the scene has it already.
    settings
        The fields of the view's record that go with it.
    name
        Of the image, for people.
    """

    xray: XRay
    settings: dict
    raw: RawImage | None = None
    name: str = ""


class FileImages:
    """The images of frames in files.

    Parameters
    ----------
    valid
        Bool (rows, columns) by the name of each view that is shown: what of it is used. Frames with
        a case.json of their own have their own fields and masks.
    """

    def __init__(self, files: FrameFiles, valid: Mapping[str, np.ndarray]) -> None:
        self.files = files
        self._valid = dict(valid)
        self.names = files.names

    def read(self, number: int) -> dict[str, FrameImage]:
        """Return the images of a frame, by view.

        Raises
        ------
        InputError
            Where one cannot be read, or shows nothing.
        """
        entries = {view.name: view for view in self.files.file(number).views}
        lost = next((name for name in self._valid if name not in entries), None)
        if lost:
            raise InputError(
                _(
                    "{frame}: has no view {view}, expected the views of the first frame; correct "
                    "its case."
                ),
                frame=self.names[number],
                view=lost,
            )
        return {name: self._image(entries[name], valid) for name, valid in self._valid.items()}

    def _image(self, entry: ViewRecord, valid: np.ndarray) -> FrameImage:
        raw = image_of(entry)
        try:
            if raw.values.shape != valid.shape:
                raise InputError(
                    _(
                        "has {size[1]} columns and {size[0]} rows, expected {first[1]} and "
                        "{first[0]} as in the first frame."
                    ),
                    size=raw.values.shape,
                    first=valid.shape,
                )
            settings = greys_of(raw, entry.intensity)
            xray = to_line_integrals(
                raw,
                settings["intensity"],
                settings["inverted"],
                valid=None if self.files.own_cases else valid,
            )
        except InputError as error:
            raise InputError(f"{entry.image_path.name}: {error}") from None
        if self.files.own_cases and entry.mask is not None:
            xray = replace(xray, valid=xray.valid & mask_of(entry))
        name = name_of(entry.image_path) + ("" if entry.frame is None else f", frame {entry.frame}")
        return FrameImage(
            replace(xray, pixel_mm=entry.pixel_mm or xray.pixel_mm), settings, raw, name
        )


class SliceImages:
    """The frames of volumes in the scene with a slice for each, from the one that each view shows.

    Parameters
    ----------
    views
        With their sources, and the `XRay` of each as it is.

    Attributes
    ----------
    files
        None, as a file is of no use without the scene.
    """

    files = None

    def __init__(self, views: Mapping[str, tuple[XRayView, XRay]]) -> None:
        self._stacks = {}
        for name, (view, xray) in views.items():
            self._stacks[name] = any_voxels(view.source), view.record, xray.valid
        count = min(len(stack) - record.shown_frame for stack, record, _ in self._stacks.values())
        first = next(record.shown_frame for _, record, _ in self._stacks.values())
        self.names = [f"frame {first + number}" for number in range(count)]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> dict[str, FrameImage]:
        """Return the images of a frame, by view, as `FileImages.read`."""
        return {name: self._image(name, number, *stack) for name, stack in self._stacks.items()}

    def _image(
        self, name: str, number: int, stack: np.ndarray, record: XRayRecord, valid: np.ndarray
    ) -> FrameImage:
        frame = record.shown_frame + number
        try:
            raw = raw_of(stack[frame], record)
            xray = to_line_integrals(raw, record.intensity, record.inverted, valid=valid)
        except InputError as error:
            raise InputError(f"{name}, frame {frame}: {error}") from None
        return FrameImage(xray, {"frame": frame})


def frames_in(registration: Registration) -> int:
    """Return the number of frames of the used X-rays in the scene itself, each from the one on that it shows."""
    sources = [(view.source, view.record.shown_frame) for view in registration.used_xrays]
    return min(
        (_slices(source) - frame if source is not None else 1 for source, frame in sources),
        default=0,
    )


def how_many(path: Path) -> int:
    """Return the number of frames of a case.json's X-rays from its own on, in any thread.

    1 for still images.

    InputError as `CaseFile.read`.
    """
    file = CaseFile.read(path)
    return min(count_frames(view.image_path) - (view.frame or 0) for view in file.views)


def _slices(volume: Any) -> int:
    image = volume.GetImageData()
    return image.GetDimensions()[2] if image is not None else 0


#: Beyond its field an X-ray is shown as black if it is so much whiter there, beside the contrast
#: within; and how much whiter than the brightest within, beside the blades themselves.
APART = 0.5
RIM = 0.1


def set_source(view: XRayView, source: Any, xray: XRay | None = None) -> None:
    """Make the view's picture from a volume.

    Parameters
    ----------
    xray
        What `xray_of` makes of it, where that is known.

    Raises
    ------
    InputError
        Where it is no X-ray; the view then stays as it was.
    """
    before = view.source
    view.node.SetNodeReferenceID(SOURCE, source.GetID())
    try:
        refresh(view, xray)
    except Exception:
        view.node.SetNodeReferenceID(SOURCE, before and before.GetID())
        raise


def change_image(view: XRayView, **settings: Any) -> None:
    """Make the picture with other settings: frame, intensity, inverted, flipped.

    A mask that was drawn on the picture is turned round with it. A slot scan is not turned round:
    its geometry says which way its columns run.

    Raises
    ------
    InputError
        Where that cannot be; nothing changes then.
    """
    before = view.record
    flip = before.flipped != settings.get("flipped", before.flipped)
    if flip and before.kind == "slot_scan":
        raise InputError(
            f"{view.name}: is a slot scan, whose geometry says which way its columns run, expected "
            "the image as it is stored; give its columns_along the other way round in the "
            "case.json instead."
        )
    view.change(**settings)
    if flip:
        _flip_mask(view)
    try:
        refresh(view)
    except InputError:
        view.record = before
        if flip:
            _flip_mask(view)
        raise


def _flip_mask(view: XRayView) -> None:
    flip = np.diag([-1.0, 1, 1, 1])
    place = place_of(view.node)
    flip[0, 3] = view.size[0] - 1
    view.carry_mask(place, place @ flip)


def refresh(view: XRayView, xray: XRay | None = None) -> None:
    """Make the picture again: line integrals, bone bright, at the detector plane.

    Parameters
    ----------
    xray
        As in `set_source`.

    Raises
    ------
    InputError
        Where the image cannot be used.
    """
    xray = xray or xray_of(view)
    slicer.util.updateVolumeFromArray(view.node, xray.line_integrals[None])
    view.place()
    if view.display is None:
        view.node.CreateDefaultDisplayNodes()
    window, shown = greys(xray)
    display = view.display
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*window)
    display.SetApplyThreshold(shown is not None)
    if shown is not None:
        display.SetThreshold(*shown)


@lru_cache(maxsize=MAX_VIEWS)
def greys(xray: XRay) -> tuple[GreyRange, GreyRange | None]:
    """Return the line integrals between which an X-ray is shown, and those beyond which it is transparent; None for none.

    In any thread, once.

    Collimator blades, which nothing passed, are shown as black so, and not as the brightest bone of
    all; not where metal within the field is as dense.
    """
    low, high = np.percentile(xray.line_integrals[xray.valid], (0.5, 99.5))
    window = float(low), float(max(high, low + 1e-3))
    within = hull(xray.valid)
    field = xray.line_integrals[within]
    blades = xray.line_integrals[~within]
    darkest = field.min()
    brightest = field.max()
    white = np.percentile(field, 99.5)
    blade = np.median(blades) if blades.size else brightest
    if not (blade - white > APART * (white - darkest) and brightest < (white + blade) / 2):
        return window, None
    # The rim of the field, which is not trusted, may be a little brighter than all within.
    return window, (float(darkest) - 1, float(brightest + RIM * (blade - brightest)))


def thumbnail(view: XRayView, side: int) -> np.ndarray:
    """Return a small picture of a view as its slice view shows it, uint8 (rows, columns, 3).

    Parameters
    ----------
    side
        Pixels, about, of its longer side.
    """
    display = view.display
    step = max(1, max(view.size) // side)
    values = slicer.util.arrayFromVolume(view.node)[0, ::step, ::step]
    low = display.GetWindowLevelMin()
    high = display.GetWindowLevelMax()
    grey = (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


FILL_OPACITY = 0.2


def set_mask(view: XRayView, segmentation: Any) -> None:
    """Use only what the segments of this vtkMRMLSegmentationNode cover.

    All of the X-ray's field with None.

    Raises
    ------
    InputError
        Where they leave nothing of it; the mask then stays as it was.
    """
    before = view.mask
    view.node.SetNodeReferenceID(MASK, segmentation and segmentation.GetID())
    try:
        xray_of(view)
    except Exception:
        view.node.SetNodeReferenceID(MASK, before and before.GetID())
        raise
    if before is not None and before is not segmentation and before.GetDisplayNode() is not None:
        before.GetDisplayNode().RemoveAllViewNodeIDs()  # see `show`


def draw_mask(view: XRayView) -> tuple[Any, str]:
    """Return a mask to draw on: a segmentation on the view's picture with one segment, which is what is used of it now.

    It goes with the view.

    Returns its vtkMRMLSegmentationNode and the segment's ID. InputError where the image cannot be
    used.
    """
    mask = add_mask(view, f"{view.name} mask", xray_of(view).valid)
    keep_undrawn(view)
    return mask


def show_mask(view: XRayView, *, filled: bool = False) -> None:
    """Show a mask that was drawn on the view's picture as an outline, in no other X-ray's slice view.

    Parameters
    ----------
    filled
        Tinted as well, for whoever draws it; it would hide what is to be judged.
    """
    if view.mask is None or view.mask_on_source or view.mask.GetDisplayNode() is None:
        return
    display = view.mask.GetDisplayNode()
    views = tuple(
        node.GetID()
        for node in nodes_of_class("vtkMRMLSliceNode", view.scene)
        if not number_of(node.GetLayoutName() or "") or node.GetLayoutName() == tag_of(view)
    )
    with slicer.util.NodeModify(display):
        if tuple(display.GetViewNodeIDs()) != views:
            display.SetViewNodeIDs(list(views))
        display.SetVisibility2DFill(filled)
        display.SetOpacity2DFill(FILL_OPACITY)
        display.SetVisibility2DOutline(True)


def add_mask(view: XRayView, name: str, used: np.ndarray) -> tuple[Any, str]:
    """Use only the part of a view's image where `used` (rows, columns) is True, by a segmentation that goes with it.

    Returns its vtkMRMLSegmentationNode and the segment's ID.
    """
    mask, segment = segmentation_node(view.scene, name, used[None], view.node)
    mask.SetNodeReferenceID(OWNER, view.id)
    view.node.SetNodeReferenceID(MASK, mask.GetID())
    return mask, segment


def segmentation_node(scene: Any, name: str, selected: np.ndarray, volume: Any):
    """Return a segmentation that lies on a volume, with one segment, True in `selected` (slices, rows, columns) on its grid.

    And the segment's ID.
    """
    node, labelmap = _segmentation_on(scene, name, selected, volume)
    return node, node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name)


def structures_node(scene: Any, name: str, structures: Structures, volume: Any):
    """Return a segmentation that lies on a volume, with a segment for each structure, on its grid.

    All in one layer, as in a file.
    """
    node, labelmap = _segmentation_on(scene, name, structures.labels, volume)
    node.GetSegmentation().SetSourceRepresentationName(LABELMAP)
    for n, structure in enumerate(structures.names):
        segment = slicer.vtkSegment()
        configure(segment, Name=structure, LabelValue=n + 1, Color=colour_of(n))
        segment.AddRepresentation(LABELMAP, labelmap)
        if any(structures.terminology[n : n + 1]):
            segment.SetTag(segment.GetTerminologyEntryTagName(), structures.terminology[n])
        node.GetSegmentation().AddSegment(segment)
    if structures.numbered:
        node.SetAttribute(NUMBERED, "asked")
    return node


def _segmentation_on(scene: Any, name: str, labels: np.ndarray, volume: Any) -> tuple:
    """Return a segmentation without segments that lies on a volume.

    And a vtkOrientedImageData of labels (slices, rows, columns) on its grid.
    """
    labelmap = grid_of(volume)
    labelmap.AllocateScalars(VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = labels.ravel()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node, labelmap


def stored(*frames: RawImage) -> np.ndarray:
    """Return the images (frames, rows, columns) as the volume of an X-ray has them, as whole numbers where they are such."""
    whole = all(raw.step == 1 and raw.values.min() >= 0 and raw.white < 2**16 for raw in frames)
    return np.stack([raw.values.astype(np.uint16) if whole else raw.values for raw in frames])


def show_frame(view: XRayView, image: FrameImage) -> None:
    """Show an image of a sequence in a view; brightness and contrast stay, so that nothing flashes."""
    if image.raw is not None:
        volume = _frame_volume(view)
        volume.SetName(image.name)
        slicer.util.updateVolumeFromArray(volume, stored(image.raw))
    record = view.record
    if any(getattr(record, key) != value for key, value in image.settings.items()):
        view.change(**image.settings)
    slicer.util.updateVolumeFromArray(view.node, image.xray.line_integrals[None])


def _frame_volume(view: XRayView):
    """Return the volume that stands in for the view's source while frames are shown.

    The source stays as it is.
    """
    volume = view.node.GetNodeReference(FRAME)
    if volume is None:
        source = view.source
        volume = product(view.node, FRAME, "vtkMRMLScalarVolumeNode", "", hidden=True)
        if source is not None:
            volume.CopyOrientation(source)
        view.node.SetNodeReferenceID(SOURCE, volume.GetID())
    return volume
