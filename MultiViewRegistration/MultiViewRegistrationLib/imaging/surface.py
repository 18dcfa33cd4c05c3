"""Conversion of surfaces, such as a CAD model of an implant, to volumes.

VTK's readers trust the counts and indices in a file, so a damaged file can crash the process. They
run in a child process with limited resources, see `child`.
"""

from __future__ import annotations

import mmap
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, install_command
from .child import Answer, ChildFailed, call
from .image_source import SURFACE_READERS
from .reading import READING_BYTES, READING_S

#: Voxels of a surface's bounding box, and their smallest side: edges of metal are sharp.
VOXELS = 8e6
MIN_VOXEL_MM = 0.2
#: Voxels with the margin of air, which is most of a flat box.
MAX_VOXELS = 2 * VOXELS
#: Subdivisions of a voxel along each axis, by which the fraction inside is counted.
PARTS = 2
#: The longest side of an implant, mm: others are in metres or inches.
SIDES_MM = (5.0, 1000.0)
#: Slicer writes the frame of a surface into its first lines; other programs name none.
RAS = b"SPACE=RAS"
HEADER_BYTES = 1024
#: Bytes of memory for each byte of a file: 524,000 triangles took 9 in binary PLY, 16 in compressed
#: .vtp. Their volume took 28 s on a busy machine.
MEMORY_PER_BYTE = 20
MIN_BYTES_PER_S = 1e5
#: Numbers of points, cells and values as PLY, VTK's legacy files and VTK's XML state them.
_COUNT = re.compile(
    rb"^element \w+ +(\d+)"
    rb"|^(?:POINTS|VERTICES|LINES|POLYGONS|TRIANGLE_STRIPS|POINT_DATA|CELL_DATA) +(\d+)"
    rb"|\bNumberOf\w+ *= *[\"'] *(\d+)",
    re.MULTILINE,
)
#: Points of compressed VTK XML for each of its bytes: deflate reaches 1,032.
MAX_COMPRESSION = 1100


def read_surface(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the fraction of each voxel inside a closed surface.

    Returns
    -------
    values
        float32 (nk, nj, ni), 0 to 1.
    ct_from_index
        (4, 4), takes (i, j, k, 1) to mm along the axes of the file, LPS where Slicer wrote RAS.

    Raises
    ------
    InputError
        If VTK is missing, the file cannot be read or has no triangles, the surface is not closed,
        or its size is not plausible for an implant.
    """
    filled = _in_child("voxelise", path)
    ct_from_index = np.array(filled.value["ct_from_index"])
    if _is_in_ras(path):
        ct_from_index[:2] *= -1
    return filled.data.view(np.float32).reshape(filled.value["shape"]), ct_from_index


def read_triangles(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the triangles of a surface, open or closed.

    Returns
    -------
    points
        Float32 (n, 3), LPS mm.
    triangles
        Int32 (m, 3) indices of the corners.

    Raises
    ------
    InputError
        If VTK is missing, or the file cannot be read or has no triangles.
    """
    read = _in_child("triangulate", path)
    numbers = read.data.view(np.int32)
    points = numbers[: 3 * read.value].view(np.float32).reshape(-1, 3)
    if _is_in_ras(path):
        points[:, :2] *= -1
    return points, numbers[3 * read.value :].reshape(-1, 3)


def _in_child(function: str, path: Path) -> Answer:
    """Return the result of a function of this module for a surface, computed in a child process."""
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path.")
    check_counts(path)
    size = path.stat().st_size
    memory = READING_BYTES + MEMORY_PER_BYTE * size
    try:
        return call(
            f"{__name__}:{function}", [os.fspath(path)], memory, READING_S + size / MIN_BYTES_PER_S
        )
    except ChildFailed:
        raise _unreadable(path) from None


def _is_in_ras(path: Path) -> bool:
    with path.open("rb") as file:
        return RAS in file.read(HEADER_BYTES)


def check_counts(path: Path) -> None:
    """Check that a surface file declares no more points, cells or values than its size allows.

    Raises
    ------
    InputError
        If a number is larger than the file.
    """
    size = path.stat().st_size
    most = size * MAX_COMPRESSION if path.suffix.lower() == ".vtp" else size
    if not size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _COUNT.finditer(data):
            count = int(match[match.lastindex or 0])
            if count > most:
                raise InputError(
                    f"{path}: the header states {count:.3g} points or cells, but the file has "
                    f"{size} bytes. Export the surface again."
                )


def voxelise(path: str) -> tuple[dict[str, Any], np.ndarray]:
    """Return the shape, the position and the values of a surface's volume. Runs in a child process.

    Raises
    ------
    InputError
        As `read_surface`.
    """
    surface = _closed_surface(Path(path))
    low, high = np.reshape(surface.GetBounds(), (3, 2)).T
    longest = float((high - low).max())
    if not SIDES_MM[0] <= longest <= SIDES_MM[1]:
        raise InputError(
            f"{path}: the surface is {longest:.3g} mm long, but an implant is {SIDES_MM[0]:g} to "
            f"{SIDES_MM[1]:g} mm. Export it in mm."
        )
    voxel_mm = max(float(np.cbrt(np.prod(high - low) / VOXELS)), MIN_VOXEL_MM)
    size = _size_with_air(high - low, voxel_mm)
    while size.prod() > MAX_VOXELS:
        voxel_mm *= 1.1
        size = _size_with_air(high - low, voxel_mm)
    first = (low + high - (size - 1) * voxel_mm) / 2
    values = _inside(surface, first - voxel_mm / 2, voxel_mm / PARTS, size * PARTS)
    ct_from_index = np.diag([*3 * [voxel_mm], 1.0])
    ct_from_index[:3, 3] = first
    nk, nj, ni = shape = size[::-1].tolist()
    parts = values.reshape(nk, PARTS, nj, PARTS, ni, PARTS)
    described = {"shape": shape, "ct_from_index": ct_from_index.tolist()}
    return described, parts.mean(axis=(1, 3, 5), dtype=np.float32)


def triangulate(path: str) -> tuple[int, np.ndarray]:
    """Return the number of points of a surface, and its points and triangles as int32. Runs in a child process.

    Raises
    ------
    InputError
        As `read_triangles`.
    """
    from vtkmodules.util.numpy_support import vtk_to_numpy

    mesh = _triangles(Path(path)).GetOutput()
    points = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float32)
    corners = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).astype(np.int32)
    return len(points), np.concatenate([points.ravel().view(np.int32), corners])


def _size_with_air(extent_mm: np.ndarray, voxel_mm: float) -> np.ndarray:
    return np.ceil(extent_mm / voxel_mm).astype(int) + 4


def is_whole(mesh: Any) -> bool:
    """Return whether all cells of a vtkPolyData refer to existing points, and its arrays have a value for each point or cell."""
    if not mesh.IsA("vtkPolyData"):
        return False
    points = mesh.GetNumberOfPoints()
    for cells in (mesh.GetVerts(), mesh.GetLines(), mesh.GetPolys(), mesh.GetStrips()):
        if not cells.IsValid():
            return False
        named = cells.GetConnectivityArray()
        least, most = named.GetRange() if named.GetNumberOfTuples() else (0, -1)
        if least < 0 or most >= points:
            return False
    of_points = _have_values(mesh.GetPointData(), points)
    return of_points and _have_values(mesh.GetCellData(), mesh.GetNumberOfCells())


def _have_values(data: Any, count: int) -> bool:
    arrays = map(data.GetAbstractArray, range(data.GetNumberOfArrays()))
    return all(array.GetNumberOfTuples() == count for array in arrays)


def write_surface(surface: Any, path: Path) -> None:
    """Write a vtkPolyData of Slicer's scene, in RAS, to a .vtk file."""
    from vtkmodules.vtkIOLegacy import vtkPolyDataWriter

    writer = vtkPolyDataWriter()
    writer.SetInputData(surface)
    writer.SetHeader(RAS.decode())
    writer.SetFileName(str(path))
    writer.Write()


def _triangles(path: Path) -> Any:
    """Return a VTK filter with the triangles of a surface after merging of coincident points."""
    try:
        from vtkmodules.vtkFiltersCore import vtkCleanPolyData, vtkTriangleFilter
    except ImportError as error:
        raise InputError(
            f"{path}: VTK, which reads surfaces, is not installed. Run {install_command('viewer')}."
        ) from error
    module, name = SURFACE_READERS[path.suffix.lower()]
    reader = getattr(import_module(f"vtkmodules.{module}"), name)()
    complaints: list[str] = []
    reader.AddObserver("ErrorEvent", lambda *_: complaints.append(name))
    reader.SetFileName(str(path))
    reader.Update()
    if complaints or not is_whole(reader.GetOutput()):
        raise _unreadable(path)
    merged = vtkCleanPolyData()
    merged.SetInputConnection(reader.GetOutputPort())
    triangles = vtkTriangleFilter()
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    triangles.SetInputConnection(merged.GetOutputPort())
    triangles.Update()
    if not triangles.GetOutput().GetNumberOfPolys():
        raise _unreadable(path)
    return triangles


def _closed_surface(path: Path) -> Any:
    """Return a closed surface as a vtkPolyData of triangles."""
    triangles = _triangles(path)
    from vtkmodules.vtkFiltersCore import vtkFeatureEdges

    edges = vtkFeatureEdges()
    edges.FeatureEdgesOff()
    edges.NonManifoldEdgesOff()
    edges.SetInputConnection(triangles.GetOutputPort())
    edges.Update()
    if gaps := edges.GetOutput().GetNumberOfCells():
        raise InputError(
            f"{path}: the surface is open along {gaps} edges, so that its inside is undefined. Close "
            "it."
        )
    return triangles.GetOutput()


def _unreadable(path: Path) -> InputError:
    return InputError(
        f"{path}: the surface cannot be read; the file is damaged or has no triangles. Export it "
        "again."
    )


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
