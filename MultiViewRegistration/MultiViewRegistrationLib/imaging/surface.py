"""Surfaces, such as an implant's from CAD, as volumes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, install_command
from .image_source import SURFACE_READERS

#: Voxels of its box, and the side of the least: edges of metal are sharp.
VOXELS = 8e6
LEAST_VOXEL_MM = 0.2
#: The shares of a voxel that lies half in it come from so many parts along each axis.
PARTS = 2
#: The longest side of an implant, mm: others are in metres or inches.
SIDES_MM = (5.0, 1000.0)
#: Slicer writes the frame of a surface into its first lines; other programs name none.
RAS = b"SPACE=RAS"
HEADER_BYTES = 1024


def read_surface(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return which share of each voxel lies within a closed surface.

    Returns
    -------
    values
        float32 (nk, nj, ni), 0 to 1.
    ct_from_index
        (4, 4), takes (i, j, k, 1) to mm along the axes of the file, LPS where Slicer wrote RAS.

    Raises
    ------
    InputError
        Where VTK is missing, the file cannot be read or has no triangles, the surface is not
        closed, or of a size that no implant has.
    """
    surface = _read(path)
    low, high = np.reshape(surface.GetBounds(), (3, 2)).T
    longest = float((high - low).max())
    if not SIDES_MM[0] <= longest <= SIDES_MM[1]:
        raise InputError(
            f"{path}: is {longest:.3g} mm long, expected {SIDES_MM[0]:g} to {SIDES_MM[1]:g}; write "
            "it in mm."
        )
    voxel_mm = max(float(np.cbrt(np.prod(high - low) / VOXELS)), LEAST_VOXEL_MM)
    size = np.ceil((high - low) / voxel_mm).astype(int) + 4  # air about it
    first = (low + high - (size - 1) * voxel_mm) / 2
    values = _inside(surface, first - voxel_mm / 2, voxel_mm / PARTS, size * PARTS)
    ct_from_index = np.diag([*3 * [voxel_mm], 1.0])
    ct_from_index[:3, 3] = first
    with path.open("rb") as file:
        if RAS in file.read(HEADER_BYTES):
            ct_from_index[:2] *= -1
    nk, nj, ni = size[::-1]
    parts = values.reshape(nk, PARTS, nj, PARTS, ni, PARTS)
    return parts.mean(axis=(1, 3, 5), dtype=np.float32), ct_from_index


def write_surface(surface: Any, path: Path) -> None:
    """Write a vtkPolyData of Slicer's scene, which is in RAS, to a .vtk."""
    from vtkmodules.vtkIOLegacy import vtkPolyDataWriter

    writer = vtkPolyDataWriter()
    writer.SetInputData(surface)
    writer.SetHeader(RAS.decode())
    writer.SetFileName(str(path))
    writer.Write()


def _read(path: Path) -> Any:
    """Return a vtkPolyData of triangles."""
    try:
        from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkFeatureEdges, vtkTriangleFilter
    except ImportError as error:
        raise InputError(
            f"{path}: surfaces need VTK, which is not installed; run {install_command('viewer')}."
        ) from error
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path.")
    module, name = SURFACE_READERS[path.suffix.lower()]
    reader = getattr(import_module(f"vtkmodules.{module}"), name)()
    complaints: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: complaints.append(name))
    reader.SetFileName(str(path))
    merged = vtkCleanPolyData()
    merged.SetInputConnection(reader.GetOutputPort())
    triangles = vtkTriangleFilter()
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    triangles.SetInputConnection(merged.GetOutputPort())
    edges = vtkFeatureEdges()
    edges.FeatureEdgesOff()
    edges.NonManifoldEdgesOff()
    edges.SetInputConnection(triangles.GetOutputPort())
    edges.Update()
    if complaints or not triangles.GetOutput().GetNumberOfPolys():
        raise InputError(
            f"{path}: has no triangles that can be read, expected a surface; export it again."
        )
    if gaps := edges.GetOutput().GetNumberOfCells():
        raise InputError(
            f"{path}: is open along {gaps} edges, expected a closed surface; close it, as what lies "
            "inside is not known."
        )
    return triangles.GetOutput()


def _inside(surface: Any, corner: np.ndarray, voxel_mm: float, size: np.ndarray) -> np.ndarray:
    """Return uint8 (nk, nj, ni), 1 within a surface, of `size` (ni, nj, nk) voxels from a `corner` (3,)."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR
    from vtkmodules.vtkImagingStencil import vtkImageStencilToImage, vtkPolyDataToImageStencil

    stencil = vtkPolyDataToImageStencil()
    stencil.SetInputData(surface)
    stencil.SetOutputOrigin(*(corner + voxel_mm / 2))
    stencil.SetOutputSpacing(*3 * [voxel_mm])
    stencil.SetOutputWholeExtent(*np.stack([0 * size, size - 1], axis=1).ravel())
    image = vtkImageStencilToImage()
    image.SetInputConnection(stencil.GetOutputPort())
    image.SetOutputScalarType(VTK_UNSIGNED_CHAR)
    image.Update()
    return vtk_to_numpy(image.GetOutput().GetPointData().GetScalars()).reshape(size[::-1])
