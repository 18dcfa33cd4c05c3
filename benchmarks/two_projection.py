"""ITK's TwoProjectionRegistration as a peer.

Powell on the correlation of two X-rays with DRRs by Siddon and Jacobs.

Wu, "ITK-based implementation of two-projection 2D/3D registration method with an application in
patient setup for external beam radiotherapy", Insight Journal 2010; the Python package
itk-twoprojectionregistration. Optimiser, steps, tolerances and scales are those of the authors'
program, TwoProjection2D3DRegistration.cxx in their tests, and so are 256 x 256 pixels and voxels of
a little over 1 mm. It uses one thread.

It knows one geometry: both central axes meet in the isocentre, and the gantry turns about one axis,
which is upright in both images. That is a C-arm without cranial or caudal angulation. Its volume
begins at the origin, and voxel i reaches from i to i + 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import SimpleNamespace

import numpy as np

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import Volume
from MultiViewRegistrationLib.imaging.xray import View

PIXELS, VOXEL_MM = 256, 1.4
#: HU from which voxels count. The authors' program has 0 by default, which leaves out much of the
#: soft tissue that X-rays show: from 14 mm off it ended 1.4 mm from a chest's true pose after 115
#: s, and so 1.1 mm after 66 s.
THRESHOLD_HU = -1000.0
#: Rows at the ends of an X-ray with a smaller share of the pixels that the best row has seen are
#: left out.
SHOWN_ROW = 0.9
#: Its camera, at the source, looks along y of a gantry at 0 degrees, z upright: ours from that.
CAMERA_FROM_GANTRY = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@cache
def package() -> SimpleNamespace:
    """itk and the package's classes for float images. InputError where it is missing."""
    try:
        import itk

        # By module: `itk.NAME` goes through the package's own list, in which a package installed
        # elsewhere is not.
        image, names = (
            "IF3",
            (
                "TwoProjectionImageRegistrationMethod",
                "NormalizedCorrelationTwoImageToOneImageMetric",
            ),
        )
        method, metric = (
            getattr(import_module(f"itk.itk{name}Python"), f"itk{name}{image}{image}")
            for name in names
        )
        name = "itkSiddonJacobsRayCastInterpolateImageFunction"
        rays = getattr(import_module(f"itk.{name}Python"), f"{name}{image}D")
    except ImportError as error:
        raise InputError(
            f"two-projection registration: found no {error.name}, expected the Python package "
            "itk-twoprojectionregistration; install it with pip."
        ) from error
    return SimpleNamespace(itk=itk, method=method, metric=metric, rays=rays)


class TwoProjection:
    """A CT and two views in the peer's frames."""

    def __init__(self, ct: Volume, views: Sequence[View]) -> None:
        """ct: Hounsfield units.   InputError for views that its geometry does not know."""
        p = package()
        i, j, k = (max(1, int(VOXEL_MM / spacing)) for spacing in ct.spacing_mm)
        ct = ct.pooled((i, j, k))
        values, flip = ct.values, np.eye(4)
        if np.linalg.det(ct.ct_from_index[:3, :3]) < 0:
            values, flip[2, 2:] = values[::-1], (-1, len(values) - 1)
        index_from_mm = np.diag([*(1 / ct.spacing_mm), 1.0])
        index_from_mm[:3, 3] = -0.5
        self._ct_from_mm = ct.ct_from_index @ flip @ index_from_mm
        self._volume = p.itk.image_from_array(np.ascontiguousarray(values, np.float32))
        self._volume.SetSpacing(ct.spacing_mm.tolist())
        self._views = [
            _view(p, view.pooled(max(1, min(view.camera.size) // PIXELS))) for view in views
        ]

    def register(
        self,
        start: np.ndarray,
        note: Callable[[np.ndarray], bool],
        seen: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """(4, 4) world_from_ct, from a start (4, 4).

        note: is called with the pose after each iteration, and stops by False.   seen: by view, bool (rows, columns) of the X-ray, where
        the CT holds all that a ray meets; rows at the ends where it mostly does not are left out,
        as every pixel that is compared counts.
        """
        p = package()
        itk = p.itk
        world_from_mm = start @ self._ct_from_mm
        transform = itk.Euler3DTransform[itk.D].New()
        rotation = world_from_mm[:3, :3]
        isocentre = (
            -rotation.T @ world_from_mm[:3, 3]
        )  # the place in the CT that the start puts there
        transform.SetCenter(isocentre.tolist())
        transform.SetMatrix(itk.matrix_from_array(np.ascontiguousarray(rotation)), 1e-6)
        optimiser, metric, registration = itk.PowellOptimizer.New(), p.metric.New(), p.method.New()
        metric.ComputeGradientOff()
        metric.SetSubtractMean(True)
        registration.SetMetric(metric)
        registration.SetOptimizer(optimiser)
        registration.SetTransform(transform)
        registration.SetMovingImage(self._volume)
        for number, (image, degrees, distance) in enumerate(self._views, start=1):
            rays = p.rays.New()
            rays.SetProjectionAngle(np.radians(degrees))
            rays.SetFocalPointToIsocenterDistance(distance)
            rays.SetThreshold(THRESHOLD_HU)
            rays.SetTransform(transform)
            rays.Initialize()
            getattr(registration, f"SetInterpolator{number}")(rays)
            getattr(registration, f"SetFixedImage{number}")(image)
            region = image.GetBufferedRegion()
            if seen is not None:
                first, last = _shown_rows(seen[number - 1], region.GetSize()[1])
                region.SetIndex(1, first)
                region.SetSize(1, last + 1 - first)
            getattr(registration, f"SetFixedImageRegion{number}")(region)
        registration.SetInitialTransformParameters(transform.GetParameters())
        optimiser.SetMaximize(False)
        optimiser.SetMaximumIteration(10)
        optimiser.SetMaximumLineIteration(4)
        optimiser.SetStepLength(4.0)
        optimiser.SetStepTolerance(0.02)
        optimiser.SetValueTolerance(0.001)
        optimiser.SetScales(itk.OptimizerParameters[itk.D]([180 / np.pi] * 3 + [1.0] * 3))

        def pose(parameters) -> np.ndarray:
            transform.SetParameters(parameters)
            R = itk.array_from_matrix(transform.GetMatrix())
            found = rigid.from_rotation_translation(
                R, np.array(transform.GetTranslation()) - R @ isocentre
            )
            return found @ rigid.inverse(self._ct_from_mm)

        def step() -> None:
            if note(pose(optimiser.GetCurrentPosition())) is False:
                optimiser.StopOptimization()

        optimiser.AddObserver(itk.IterationEvent(), step)
        registration.StartRegistration()
        return pose(registration.GetLastTransformParameters())


def _shown_rows(seen: np.ndarray, rows: int) -> tuple[int, int]:
    """First and last of the peer's image's `rows`, which run upwards, in which nearly as many pixels are seen as in any row."""
    share = seen[::-1].reshape(rows, -1).mean(axis=1)
    shown = np.flatnonzero(share >= SHOWN_ROW * share.max())
    return int(shown[0]), int(shown[-1])


def _view(p: SimpleNamespace, view: View) -> tuple:
    """The image in the plane through the isocentre, the gantry's angle in degrees, and the distance from source to isocentre."""
    camera = view.camera
    gantry = CAMERA_FROM_GANTRY.T @ camera.camera_from_world[:3, :3]
    x, y, distance = camera.camera_from_world[:3, 3]
    (fx, _, cx), (_, fy, cy), _ = camera.intrinsics
    if fx < 0 or max(abs(gantry[2, 2] - 1), abs(x), abs(y)) > 1e-6:
        raise InputError(
            f'view "{view.name}": expected a C-arm that does not turn to head or feet, with the isocentre on its central '
            "axis, and an image as the source sees it; use another case for the two-projection "
            "registration."
        )
    image = p.itk.image_from_array(
        np.ascontiguousarray(view.xray.line_integrals[None, ::-1], np.float32)
    )
    spacing_x, spacing_y = distance / fx, distance / fy
    image.SetSpacing([spacing_x, spacing_y, 1.0])
    image.SetOrigin([-cx * spacing_x, -(camera.size[1] - 1 - cy) * spacing_y, -distance])
    return image, float(np.degrees(np.arctan2(gantry[0, 1], gantry[0, 0]))), float(distance)
