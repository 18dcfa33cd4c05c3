"""The CT's bone in the 3D views as a surface: coarse, but drawn at once also where no graphics card is; it moves with the CT."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonDataModel import vtkImageData, vtkPolyData
from vtkmodules.vtkCommonMath import vtkMatrix4x4
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D, vtkPolyDataNormals, vtkWindowedSincPolyDataFilter
from vtkmodules.vtkFiltersGeneral import vtkTransformPolyDataFilter
from vtkmodules.vtkImagingCore import vtkImageShrink3D

from ..errors import InputError
from ..imaging.ct import BONE_HU, BONE_SHARE_OF_LARGEST, CT
from .background_task import TURN, Worker
from .fingerprint import of_ct
from .frames import ras_from_lps
from .products import product
from .registration import CT_UNIT, Registration

BONES = "bones"
#: Of what it was made, so that it is made anew only where that has changed.
MADE_OF = "MultiViewRegistration.madeOf"
COLOUR = (0.90, 0.85, 0.74)
#: About the size of its triangles, at most; of a small bone by itself they are this share of its length.
GRAIN_MM, GRAIN_SHARE = 3.0, 0.02
SMOOTHING, PASS_BAND = 12, 0.15


def is_current(registration: Registration) -> bool:
    """Whether there is a surface of the CT as it is."""
    node = registration.node.GetNodeReference(BONES)
    return node is not None and node.GetPolyData() is not None and node.GetAttribute(MADE_OF) == of_ct(registration)


def take(registration: Registration) -> Callable[[], vtkPolyData]:
    """The making of a surface in two steps: what needs the scene is done now, what takes long in the function returned, in any thread.

    InputError where there is no CT with voxels.
    """
    ct = registration.ct
    if ct is None or ct.GetImageData() is None:
        raise InputError("CT: none is chosen, expected a volume; select or load one.")
    image, spacing_mm, to_ras = vtkImageData(), ct.GetSpacing(), vtkMatrix4x4()
    image.ShallowCopy(ct.GetImageData())
    ct.GetIJKToRASMatrix(to_ras)
    level = (
        BONE_HU if registration.parameter(CT_UNIT, "hu") == "hu" else BONE_SHARE_OF_LARGEST * image.GetScalarRange()[1]
    )
    return lambda: surface(image, level, _steps(spacing_mm), to_ras)


class Follower:
    """Has the surface of a registration's CT made, in a thread, where there is none of the CT as it is."""

    def __init__(self) -> None:
        self._making: tuple[Worker, Registration, str] | None = None
        self._tried = ""

    def follow(self, registration: Registration, wait: float = TURN) -> None:
        """Call it from a timer.   wait: as `Worker.poll`."""
        of = of_ct(registration)
        if self._making is not None:
            worker, whose, made_of = self._making
            worker.poll(wait)
            if worker.state != "running":
                self._making = None
            if worker.state == "done" and (whose, made_of) == (registration, of):
                put(registration, worker.result)
        elif registration.ct is not None and of != self._tried and not is_current(registration):
            self._tried = of  # whatever becomes of it
            make = take(registration)
            self._making = Worker(lambda tell: make()), registration, of


def of_structure(ct: CT) -> vtkPolyData:
    """The same of a CT that is in no scene: of the structure that its mask selects, if it has one. In any thread."""
    values, image = ct.volume.values, vtkImageData()
    level = BONE_HU if ct.unit == "hu" else BONE_SHARE_OF_LARGEST * float(values.max())
    if ct.mask is not None:
        values = np.where(ct.mask, values, values.min())
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
    there = [np.flatnonzero((values >= level).any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    longest_mm = max(
        (np.ptp(at) * mm for at, mm in zip(there, ct.volume.spacing_mm, strict=True) if len(at)), default=0.0
    )
    steps = _steps(ct.volume.spacing_mm, min(GRAIN_MM, GRAIN_SHARE * longest_mm))
    return surface(image, level, steps, slicer.util.vtkMatrixFromArray(ras_from_lps(ct.volume.ct_from_index)))


def surface(image, level: float, steps, to_ras) -> vtkPolyData:
    """Where an image (vtkImageData) reaches a level, of every few voxels along i, j, k, in the frame that `to_ras` takes its indices to."""
    thin, edges, smooth, place, transform = (
        vtkImageShrink3D(),
        vtkFlyingEdges3D(),
        vtkWindowedSincPolyDataFilter(),
        vtkTransformPolyDataFilter(),
        vtkTransform(),
    )
    thin.SetInputData(image)
    thin.SetShrinkFactors(*map(int, steps))
    thin.MeanOn()
    edges.SetInputConnection(thin.GetOutputPort())
    edges.SetValue(0, level)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    smooth.SetInputConnection(edges.GetOutputPort())
    smooth.SetNumberOfIterations(SMOOTHING)
    smooth.SetPassBand(PASS_BAND)
    smooth.NormalizeCoordinatesOn()
    transform.SetMatrix(to_ras)
    place.SetInputConnection(smooth.GetOutputPort())
    place.SetTransform(transform)
    normals = vtkPolyDataNormals()
    normals.SetInputConnection(place.GetOutputPort())
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def _steps(spacing_mm, grain_mm: float = GRAIN_MM) -> np.ndarray:
    return np.maximum(1, np.rint(grain_mm / np.array(spacing_mm))).astype(int)


def put(registration: Registration, made: vtkPolyData) -> None:
    """Show a surface of the CT as it is; hidden, should a person have hidden the one before."""
    node = product(registration.node, BONES, "vtkMRMLModelNode", f"{registration.name} bones", hidden=True)
    node.SetAttribute(MADE_OF, of_ct(registration))
    fill(node, made, registration.ct_transform, COLOUR)


def fill(node, made: vtkPolyData, transform, colour: tuple[float, float, float]) -> None:
    """Have a vtkMRMLModelNode show a surface in 3D, under a transform node; in this colour, if it was not shown before."""
    node.SetAndObservePolyData(made)
    node.SetAndObserveTransformNodeID(transform.GetID())
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetColor(*colour)
        display.SetVisibility2D(False)
        display.SetSpecular(0.2)


def is_shown(registration: Registration) -> bool:
    node = registration.node.GetNodeReference(BONES)
    return node is not None and bool(node.GetDisplayVisibility())


def show(registration: Registration, shown: bool) -> None:
    """Show the surface, or hide it, where there is one."""
    node = registration.node.GetNodeReference(BONES)
    if node is not None:
        node.SetDisplayVisibility(shown)
