"""Line integrals by RTK (openrtk.org), which shares no code and no author with this project's renderer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol

import numpy as np
from scipy.ndimage import find_objects

from MultiViewRegistrationLib.errors import InputError, install_command
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.geometry.rigid import transform_points
from MultiViewRegistrationLib.imaging.ct import Volume

from .body import SOFT_HU, Body, base_materials

#: Source to the detector plane, at least. Pixels are scaled to it; all that counts is that the body
#: lies before it.
DETECTOR_MM = 1000.0


class MaterialProjector(Protocol):
    """A projector of the two base materials of a body to a camera's pixels, see `RtkProjector.project`."""

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray: ...


class RtkProjector:
    """Projects the two base materials of a body at once."""

    def __init__(self, body: Body) -> None:
        """Raises InputError where itk-rtk is missing."""
        self._joseph = Joseph((body.water, body.bone), body.ct_from_index)

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """(2, rows, columns) float32.

        g/cm^2 of water and of bone along the ray to each pixel's centre.

        Raises InputError for a camera with skew, which RTK does not know.
        """
        return self._joseph.project(camera, world_from_ct) / 10  # mm g/cm^3 to g/cm^2


class Joseph:
    """RTK's Joseph projector of one or two volumes on one grid.

    RTK gets a frame of its own, right-handed and parallel to the voxel axes: x along i, y along k,
    z along -+j. So oblique CTs need no resampling, and RTK's Euler angles stay away from their
    singular direction, its y axis, along which no C-arm points.
    """

    def __init__(self, volumes: tuple[np.ndarray, ...], ct_from_index: np.ndarray) -> None:
        """volumes: one or two, float32 (k, j, i).   ct_from_index: (4, 4) as in Volume.

        Raises InputError where itk-rtk is missing.
        """
        count = len(volumes)
        self._itk, self._filter, self._geometry = _rtk(count)
        pixel = self._itk.F if count == 1 else self._itk.Vector[self._itk.F, count]
        self._image = self._itk.Image[pixel, 3]
        linear = ct_from_index[:3, :3]
        spacing = np.linalg.norm(linear, axis=0)
        axis_i, axis_j, axis_k = (linear / spacing).T
        z = -1 if np.linalg.det(linear) > 0 else 1  # (i, k, z * j) is right-handed
        nk, nj, ni = volumes[0].shape
        self._middle = ct_from_index @ [(ni - 1) / 2, (nj - 1) / 2, (nk - 1) / 2, 1.0]
        self._ct_from_rtk = np.eye(4)
        self._ct_from_rtk[:3, :3] = np.stack([axis_i, axis_k, z * axis_j], axis=1)
        self._ct_from_rtk[:3, 3] = linear @ [0, 0 if z > 0 else nj - 1, 0] + ct_from_index[:3, 3]

        self._values = np.empty((nj, nk, ni, count), np.float32)  # the ITK image only refers to it
        for n, volume in enumerate(volumes):
            self._values[..., n] = volume.swapaxes(0, 1)[::z]
        values = self._values[..., 0] if count == 1 else self._values
        self._volume = self._itk.image_view_from_array(values, ttype=self._image)
        self._volume.SetSpacing(spacing[[0, 2, 1]].tolist())

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """(volumes, rows, columns) float32.

        Integral of each volume, mm times its unit, along the ray to each pixel's centre.

        Raises InputError for a camera with skew, which RTK does not know.
        """
        joseph = self.prepared(camera, world_from_ct)
        joseph.Update()
        image = self._itk.array_from_image(joseph.GetOutput())[0]
        image = image if image.ndim == 3 else image[..., None]
        return np.moveaxis(image[:, :: -1 if camera.intrinsics[0, 0] > 0 else 1], -1, 0)

    def prepared(self, camera: Camera, world_from_ct: np.ndarray):
        """RTK's filter, all set to be updated.

        Its columns run against the camera's unless the image is mirrored.

        Raises InputError for a camera with skew.
        """
        (fx, skew, u0), (_, fy, v0), _ = camera.intrinsics
        if abs(skew) > 1e-6:  # what is less is rounding of a projection matrix that was taken apart
            raise InputError(
                f"intrinsics: found a skew of {skew:g}, expected 0 for a simulated X-ray; set it to 0."
            )
        columns, rows = camera.size
        # RTK wants u x v to point to the source, so u runs against the camera's x: columns are
        # filled from the other side, unless the image is mirrored.
        if fx > 0:
            u0 = columns - 1 - u0
        camera_from_ct = camera.camera_from_world @ world_from_ct
        far = max(DETECTOR_MM, 2 * float((camera_from_ct @ self._middle)[2]))
        pixel_u, pixel_v = far / abs(fx), far / fy
        detector = self._image.New()
        detector.SetRegions([columns, rows, 1])
        detector.SetSpacing([pixel_u, pixel_v, 1.0])
        detector.SetOrigin([-u0 * pixel_u, -v0 * pixel_v, 0.0])
        detector.Allocate(True)

        joseph = self._filter.New()
        joseph.SetGeometry(self._rtk_geometry(camera_from_ct, far))
        joseph.SetInput(0, detector)
        joseph.SetInput(1, self._volume)
        return joseph

    def _rtk_geometry(self, camera_from_ct, far):
        x, y, z, source = np.linalg.inv(camera_from_ct @ self._ct_from_rtk)[:3].T
        point, vector = self._itk.Point[self._itk.D, 3], self._itk.Vector[self._itk.D, 3]
        positions = [point(p.tolist()) for p in (source, source + far * z)]
        axes = [vector(v.tolist()) for v in (-x, y)]
        geometry = self._geometry.New()
        if not geometry.AddProjection(*positions, *axes):
            raise RuntimeError("RTK refused the geometry of the camera")
        return geometry


def _rtk(volumes):
    """itk, RTK's Joseph filter for so many volumes, RTK's geometry."""
    try:
        import itk

        # `from itk import RTK` loads every library of ITK, which takes 10 s; these two modules take
        # 3 s.
        joseph = import_module("itk.rtkJosephForwardProjectionImageFilterPython")
        geometry = import_module("itk.rtkThreeDCircularProjectionGeometryPython")
    except ImportError as error:
        raise InputError(
            "simulated X-rays need the Python package itk-rtk, which is not installed; run "
            f"{install_command('bench')}."
        ) from error
    image = "IF3" if volumes == 1 else f"IVF{volumes}3"
    return (
        itk,
        getattr(joseph, f"rtkJosephForwardProjectionImageFilter{image}{image}"),
        geometry.rtkThreeDCircularProjectionGeometry,
    )


class MovedBones:
    """Projects a body in which several bones have moved.

    Used as a `RtkProjector`, with the pose of the body.
    """

    def __init__(
        self,
        whole: MaterialProjector,
        ct: Volume,
        labels: np.ndarray,
        motions: Mapping[int, np.ndarray],
    ) -> None:
        """whole: of the CT's body.   labels: integers (k, j, i).   motions.

        (4, 4) ct_from_bone of each bone, by its label.

        Where a bone was there is soft tissue.
        """
        self._whole, boxes = whole, find_objects(labels)
        self._moved: list[tuple[PartProjector, np.ndarray]] = []
        for label, motion in motions.items():
            box = tuple(slice(max(each.start - 1, 0), each.stop + 1) for each in boxes[label - 1])
            self._moved.append((PartProjector(ct, box, labels[box] == label), motion))

    def project(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """As `RtkProjector.project`: all but the bones at this pose, each bone at `world_from_ct @ ct_from_bone`."""
        image = self._whole.project(camera, world_from_ct).copy()
        for bone, ct_from_bone in self._moved:
            bone.add(image, camera, world_from_ct @ ct_from_bone, 1)
            bone.add(image, camera, world_from_ct, -1)
        return np.maximum(image, 0)


class PartProjector:
    """Projects what a bone attenuates more than soft tissue in its place."""

    def __init__(self, ct: Volume, box: tuple[slice, ...], mask: np.ndarray) -> None:
        """mask: bool, of the part `box` (k, j, i) of the CT."""
        hu = ct.values[box]
        there = base_materials(hu)
        gone = base_materials(np.where(mask, np.float32(SOFT_HU), hu))
        self._placed, self._shape = ct.ct_from_index.copy(), hu.shape
        self._placed[:3, 3] += self._placed[:3, :3] @ [each.start for each in box[::-1]]
        self._joseph = Joseph(tuple(a - b for a, b in zip(there, gone, strict=True)), self._placed)

    def add(
        self, image: np.ndarray, camera: Camera, world_from_bone: np.ndarray, sign: int
    ) -> None:
        """Add it to, or take it from, an image (2, rows, columns) of `RtkProjector.project`."""
        sides = np.meshgrid(*[(-1.0, size) for size in self._shape[::-1]], indexing="ij")
        corners = np.stack(sides, -1).reshape(-1, 3)
        pixels = camera.project(transform_points(world_from_bone @ self._placed, corners))
        left, top = np.clip(np.floor(pixels.min(axis=0)), 0, camera.size).astype(int).tolist()
        right, low = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, camera.size).astype(int).tolist()
        if right > left and low > top:
            part = camera.cropped(left, top, right - left, low - top)
            # mm g/cm^3 to g/cm^2
            shown = self._joseph.project(part, world_from_bone)
            image[:, top:low, left:right] += 0.1 * sign * shown
