"""Path lengths by gVirtualXray (gvirtualxray.sourceforge.io) through surfaces of a CT: a second simulator, beside RTK.

Neither voxels nor RTK's code are in its X-rays: a body is the isosurfaces of its Hounsfield units, one in another, with one kind of tissue
between two of them, and OpenGL finds where rays cross the triangles (Vidal et al., Comput Med Imaging Graph 33(8), 2009; Pointon et al.,
Comput Phys Commun 287, 2023). What a kind of tissue attenuates is gVirtualXray's own as well (Schneider et al., Phys Med Biol 45, 2000).
"""

from __future__ import annotations

import itertools
import os
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.rigid import transform_points
from ..imaging.volume import Volume
from .body import BONE, ENERGIES_KEV, SIGNAL_SHARE, WATER
from .projector import detector_mm, without_skew

#: Hounsfield units of the surfaces, from skin and lung to the densest bone.
LEVELS_HU = (-800.0, -500.0, -200.0, -25.0, 150.0, 300.0, 500.0, 800.0, 1200.0)
#: Smooths the CT beforehand: its noise would be hills in every surface, and twice as many triangles.
SMOOTH_SD_MM = 0.7
AIR_HU = -1000.0

_numbers = itertools.count()


class SurfaceProjector:
    """Used as a `Projector`: grams per cm^2 of water and of bone that attenuate as the tissues between a body's surfaces do."""

    def __init__(self, hu: Volume) -> None:
        """hu: the body, Hounsfield units; it ends in air. Some GB of memory, and a minute, for a CT of 512 x 512 x 133 voxels.

        Raises InputError where gvxr, VTK or what they need is missing.
        """
        self._gvxr = gvxr = gvxr_scene()
        smooth = gaussian_filter(hu.values, SMOOTH_SD_MM / hu.spacing_mm[::-1], mode="nearest")
        placed = hu.ct_from_index.copy()
        placed[:3, 3] -= placed[:3, :3].sum(axis=1)
        closed = Volume(np.pad(smooth, 1, constant_values=AIR_HU), placed)
        nk, nj, ni = hu.values.shape
        self._middle = hu.ct_from_index @ [(ni - 1) / 2, (nj - 1) / 2, (nk - 1) / 2, 1.0]
        #: Label of each surface, and by how much more water and bone there is in a cm^3 inside it than outside.
        self._surfaces: list[tuple[str, np.ndarray]] = []
        outside = np.zeros(2)
        for low, high in zip(LEVELS_HU, (*LEVELS_HU[1:], np.inf), strict=True):
            between = smooth[(smooth > low) & (smooth <= high)]
            if not len(between):
                continue
            inside = _base_densities(gvxr, float(between.mean(dtype=np.float64)))
            label = f"surface {next(_numbers)}"
            points, triangles = _isosurface(closed, low)
            gvxr.makeTriangularMesh(label, points.ravel().tolist(), triangles.ravel().tolist(), "mm")
            gvxr.addPolygonMeshAsInnerSurface(label)
            self._surfaces.append((label, inside - outside))
            outside = inside

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """(2, rows, columns) float32: g/cm^2 of water and of bone along the ray to each pixel's centre.

        Raises InputError for a camera with skew.
        """
        self._place(camera, world_from_ct)
        columns, rows = camera.size
        image = np.zeros((2, rows, columns), np.float32)
        for label, more in self._surfaces:
            length_cm = np.array(self._gvxr.computeLBuffer(label), np.float32).reshape(rows, columns)[
                ::-1
            ]  # from the lowest row on
            image += more.astype(np.float32)[:, None, None] * length_cm
        return image[..., :: 1 if camera.intrinsics[0, 0] > 0 else -1]

    def _place(self, camera: Camera, world_from_ct: np.ndarray) -> None:
        """Source and detector as they lie to the CT, whose surfaces stay where they are."""
        without_skew(camera)
        gvxr = self._gvxr
        (fx, _, u0), (_, fy, v0), _ = camera.intrinsics
        camera_from_ct = camera.camera_from_world @ world_from_ct
        x, y, z, source = np.linalg.inv(camera_from_ct)[:3].T
        columns, rows = camera.size
        if fx < 0:  # a mirrored detector would see triangles from behind
            u0 = columns - 1 - u0
        far = detector_mm(camera_from_ct @ self._middle)
        centre = source + far * (z + ((columns - 1) / 2 - u0) / abs(fx) * x + ((rows - 1) / 2 - v0) / fy * y)
        gvxr.setSourcePosition(*source.tolist(), "mm")
        gvxr.setDetectorPosition(*centre.tolist(), "mm")
        gvxr.setDetectorNumberOfPixels(columns, rows)
        gvxr.setDetectorPixelSize(far / abs(fx), far / fy, "mm")
        gvxr.setDetectorUpVector(*(-y).tolist())
        gvxr.setDetectorRightVector(*x.tolist())


@cache
def gvxr_scene():
    """gVirtualXray, which has one scene for all; which surface is looked at is told by its label.

    Raises InputError where gvxr, VTK or what they need is missing.
    """
    try:
        import vtk  # noqa: F401
        from gvxrPython3 import gvxr
    except ImportError as error:
        raise InputError(
            f"X-rays by gVirtualXray: found no gvxr that can be loaded ({error}), expected it and VTK; run pip install "
            '"multiview-registration[gvxr]", and on Debian apt install libegl1 libgl1-mesa-dri libxcb-composite0 '
            "libxcb-ewmh2 libxcb-icccm4 libxcb-keysyms1 libxcb-res0 libxcb-xinerama0."
        ) from error
    gvxr.useLogFile(os.devnull)  # instead of standard output
    try:
        gvxr.createOpenGLContext()
    except RuntimeError as error:
        raise InputError(
            "X-rays by gVirtualXray: found no OpenGL 4.3 to draw with, expected a graphics driver or Mesa's; install one "
            "(on Debian libegl1 and libgl1-mesa-dri)."
        ) from error
    gvxr.usePointSource()
    gvxr.setMonoChromaticPerPixelAtSDD(0.06, "MeV", 1)  # without a beam it measures no lengths
    gvxr.autoAlignDetector(False)  # else it turns the detector about to face the source wherever its principal point is
    return gvxr


def _base_densities(gvxr, hu: float) -> np.ndarray:
    """(2,) g/cm^3 of water and of bone that attenuate as a tissue does by gVirtualXray, over the spectrum: least squares."""
    if hu <= AIR_HU:
        return np.zeros(2)
    attenuation = np.array([gvxr.getMuFromHU(hu, float(energy), "keV") for energy in ENERGIES_KEV])
    weight = np.sqrt(SIGNAL_SHARE)
    return np.linalg.lstsq(weight[:, None] * np.stack([WATER, BONE], axis=1), weight * attenuation, rcond=None)[0]


def _isosurface(ct: Volume, hu: float) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) float32 CT LPS mm, (m, 3) uint32: the surface of what is denser, which it is seen from outside counter-clockwise."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(*ct.values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(ct.values.ravel()))
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, hu)
    edges.ComputeNormalsOff()
    edges.ComputeGradientsOff()
    edges.ComputeScalarsOff()
    edges.Update()
    found = edges.GetOutput()
    points = transform_points(ct.ct_from_index, vtk_to_numpy(found.GetPoints().GetData()).astype(np.float64))
    triangles = vtk_to_numpy(found.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    if np.linalg.det(ct.ct_from_index) < 0:
        triangles = triangles[:, ::-1]
    return points.astype(np.float32), np.ascontiguousarray(triangles, np.uint32)
