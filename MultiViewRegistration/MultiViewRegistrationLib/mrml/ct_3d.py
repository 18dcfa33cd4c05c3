"""The CT's bone in the 3D views: as a coarse surface, or by Slicer's volume rendering.

Both move with the CT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import scipy
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import (
    vtkFlyingEdges3D,
    vtkPolyDataNormals,
    vtkWindowedSincPolyDataFilter,
)
from vtkmodules.vtkFiltersGeneral import vtkTransformPolyDataFilter
from vtkmodules.vtkImagingCore import vtkImageShrink3D

from ..errors import InputError
from ..geometry import rigid
from ..imaging.ct import BONE_HU, BONE_SHARE_OF_LARGEST, CT
from .fingerprints import of_ct
from .nodes import (
    OWNER,
    Colour,
    configure,
    has_voxels,
    product,
    products_of,
    ras_from_lps,
    remove_with_products,
)
from .registration import CT_UNIT, Registration

BONES = "bones"
#: What the surface was made of: it is made again only where that has changed.
MADE_OF = "MultiViewRegistration.madeOf"
SURFACE_COLOUR = (0.90, 0.85, 0.74)
#: About the size of its triangles, at most; of a small bone by itself they are this share of its
#: length.
GRAIN_MM = 3.0
GRAIN_SHARE = 0.02
#: About the size of those of a mask whose outline is drawn.
OUTLINE_MM = 1.2
#: How far it is blurred before, in voxels, so that it has no steps: no sheet of one voxel is lost.
#: How many voxels the blur reaches.
BLUR = 0.7
BLUR_VOXELS = 3
SMOOTHING = 12
PASS_BAND = 0.15


def surface_is_current(registration: Registration) -> bool:
    """Return whether there is a surface of the CT as it is."""
    node = registration.node.GetNodeReference(BONES)
    return (
        node is not None
        and node.GetPolyData() is not None
        and node.GetAttribute(MADE_OF) == of_ct(registration)
    )


def take_surface(registration: Registration) -> Callable[[], vtkPolyData]:
    """Make a surface in two steps.

    What needs the scene is done now, what takes long in the function returned, in any thread.

    Raises
    ------
    InputError
        Where there is no CT with voxels.
    """
    ct = registration.ct
    if not has_voxels(ct):
        raise InputError("CT: none is chosen, expected a volume; select or load one.")
    image = vtkImageData()
    spacing_mm = ct.GetSpacing()
    image.ShallowCopy(ct.GetImageData())
    to_ras = slicer.util.vtkMatrixFromArray(registration.ct_place)
    level = (
        BONE_HU
        if registration.parameter(CT_UNIT, "hu") == "hu"
        else BONE_SHARE_OF_LARGEST * image.GetScalarRange()[1]
    )
    return lambda: isosurface(image, level, _steps(spacing_mm), to_ras)


def structure_surface(ct: CT) -> vtkPolyData:
    """Return the surface of a CT that is in no scene.

    Of the structure that its mask selects, if it has one. In any thread.
    """
    values = ct.volume.values
    image = vtkImageData()
    level = BONE_HU if ct.unit == "hu" else BONE_SHARE_OF_LARGEST * float(values.max())
    if ct.mask is not None:
        values = np.where(ct.mask, values, values.min())
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
    there = [np.flatnonzero((values >= level).any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    longest_mm = max(
        (np.ptp(at) * mm for at, mm in zip(there, ct.volume.spacing_mm, strict=True) if len(at)),
        default=0.0,
    )
    steps = _steps(ct.volume.spacing_mm, min(GRAIN_MM, GRAIN_SHARE * longest_mm))
    return isosurface(
        image, level, steps, slicer.util.vtkMatrixFromArray(ras_from_lps(ct.volume.ct_from_index))
    )


def mask_surface(mask: np.ndarray, ras_from_index: np.ndarray) -> vtkPolyData:
    """Return the closed surface about the voxels (slices, rows, columns) of a mask at a place (4, 4), fine enough for outlines.

    In any thread.
    """
    steps = _steps(rigid.steps(ras_from_index), OUTLINE_MM)
    before = steps * (1 + BLUR_VOXELS // steps)  # whole steps, with room for the blur
    room = [(first, first + step) for first, step in zip(before[::-1], steps[::-1], strict=True)]
    place = ras_from_index.copy()
    values = scipy.ndimage.gaussian_filter(np.pad(mask, room).astype(np.float32), BLUR)
    image = vtkImageData()
    place[:3, 3] -= place[:3, :3] @ before
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    return isosurface(image, 0.5, steps, slicer.util.vtkMatrixFromArray(place))


def isosurface(image: Any, level: float, steps: Iterable[float], to_ras: Any) -> vtkPolyData:
    """Return the isosurface of an image (vtkImageData), of every few voxels along i, j, k, see `to_ras`.

    `to_ras` takes its indices to the surface's frame.
    """
    thin = vtkImageShrink3D()
    transform = vtkTransform()
    thin.SetInputData(image)
    configure(thin, ShrinkFactors=tuple(map(int, steps)), Mean=True)
    transform.SetMatrix(to_ras)
    last: vtkAlgorithm = thin
    for following, values in (
        (
            vtkFlyingEdges3D(),
            {"Value": (0, level), "ComputeNormals": False, "ComputeScalars": False},
        ),
        (
            vtkWindowedSincPolyDataFilter(),
            {"NumberOfIterations": SMOOTHING, "PassBand": PASS_BAND, "NormalizeCoordinates": True},
        ),
        (vtkTransformPolyDataFilter(), {"Transform": transform}),
        (vtkPolyDataNormals(), {"Splitting": False}),
    ):
        configure(following, InputConnection=last.GetOutputPort(), **values)
        last = following
    last.Update()
    return last.GetOutputDataObject(0)


def _steps(spacing_mm: Iterable[float], grain_mm: float = GRAIN_MM) -> np.ndarray:
    return np.maximum(1, np.rint(grain_mm / np.array(spacing_mm))).astype(int)


def put_surface(registration: Registration, made: vtkPolyData) -> None:
    """Show a surface of the CT as it is; hidden, should a person have hidden the one before."""
    name = f"{registration.name} bones"
    node = put_model(
        registration.node, BONES, name, made, registration.ct_transform, SURFACE_COLOUR, hidden=True
    )
    node.SetAttribute(MADE_OF, of_ct(registration))


def put_model(
    owner: Any,
    role: str,
    name: str,
    made: vtkPolyData,
    transform: Any,
    colour: Colour,
    *,
    hidden: bool = False,
):
    """Show a surface in 3D, under a transform node, in the owner's model of that role.

    In this colour, if it was not shown before.
    """
    style = {"Color": colour, "Visibility2D": False, "Specular": 0.2}
    node = product(owner, role, "vtkMRMLModelNode", name, hidden=hidden, **style)
    node.SetAndObservePolyData(made)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


#: Of the surface of the CT where bones lie elsewhere: a ghost of where the CT has them.
GHOST_OPACITY = 0.2


def fade_surface(registration: Registration, faded: bool) -> None:
    """Show the surface of the CT as a ghost, or solid again."""
    node = registration.node.GetNodeReference(BONES)
    if node is not None:
        node.GetDisplayNode().SetOpacity(GHOST_OPACITY if faded else 1.0)


def surface_is_shown(registration: Registration) -> bool:
    """Return whether the surface of the CT's bone is shown in 3D."""
    node = registration.node.GetNodeReference(BONES)
    return node is not None and bool(node.GetDisplayVisibility())


def show_surface(registration: Registration, shown: bool) -> None:
    """Show the surface, or hide it, where there is one."""
    node = registration.node.GetNodeReference(BONES)
    if node is not None:
        node.SetDisplayVisibility(shown)


#: One of Slicer's presets; it shows bone and what is filled with contrast agent.
PRESET = "CT-AAA"


def can_show_volume(registration: Registration) -> bool:
    """Return whether there is a CT with voxels, and a Slicer with volume rendering."""
    return _logic() is not None and has_voxels(registration.ct)


def volume_is_shown(registration: Registration) -> bool:
    """Return whether the CT is shown in 3D by volume rendering."""
    display = _volume_display(registration)
    return display is not None and bool(display.GetVisibility())


def show_volume(registration: Registration, shown: bool = True) -> None:
    """Show the CT, or hide it. What a person has set up for its volume rendering stays.

    Without such a thing, bone is shown.
    """
    if not can_show_volume(registration):
        return
    display = _volume_display(registration)
    if display is None and shown:
        display = _new_volume_display(registration)
    if display is not None:
        display.SetVisibility(shown)


def update_volume(registration: Registration) -> None:
    """Show the chosen CT by volume rendering in place of the one before, where that was shown by this."""
    ct = registration.ct
    shown = False
    for made in products_of(registration.node):
        if made.IsA("vtkMRMLVolumeRenderingDisplayNode") and made.GetVolumeNode() is not ct:
            shown |= bool(made.GetVisibility())
            scene = made.GetScene()
            properties = made.GetVolumePropertyNode()
            remove_with_products(made)
            if properties is not None and properties.GetNodeReferenceID(OWNER):
                scene.RemoveNode(properties)
    if shown:
        show_volume(registration)


def _volume_display(registration: Registration):
    """Return the CT's volume rendering display node, whoever made it."""
    return (
        _logic().GetFirstVolumeRenderingDisplayNode(registration.ct)
        if can_show_volume(registration)
        else None
    )


def _new_volume_display(registration: Registration):
    logic = _logic()
    display = logic.CreateDefaultVolumeRenderingNodes(registration.ct)
    properties = display.GetVolumePropertyNode()
    preset = (
        logic.GetPresetByName(PRESET) if registration.parameter(CT_UNIT, "hu") == "hu" else None
    )
    if preset is not None:
        properties.Copy(preset)
    properties.SetHideFromEditors(True)
    for node in (display, properties):  # they go when the registration goes
        node.SetNodeReferenceID(OWNER, registration.node.GetID())
    return display


def _logic():
    """Return the vtkSlicerVolumeRenderingLogic of Slicer's module, None without that."""
    module = getattr(slicer.modules, "volumerendering", None)
    return module.logic() if module is not None else None
