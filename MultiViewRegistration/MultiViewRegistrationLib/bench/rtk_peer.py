"""The peer RTK (openrtk.org): its Joseph projector, which has no derivative by the pose."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..imaging.volume import Volume
from ..rendering.threads import available_threads
from ..simulation.projector import Joseph

#: An image and central differences in six directions.
IMAGES_FOR_A_JACOBIAN = 13


def joseph_of(volume: Volume) -> Joseph:
    """RTK's projector of a volume, with as many threads as our own kernels. InputError where itk-rtk is missing."""
    try:
        import itk
    except ImportError as error:
        raise InputError(
            "the benchmark runs beside its peers, but the Python package itk-rtk is missing; run "
            'pip install "multiview-registration[bench]".'
        ) from error
    itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(available_threads())
    itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(available_threads())
    return Joseph((volume.values,), volume.ct_from_index)


class Renderer:
    """One camera of RTK at one pose."""

    def __init__(self, joseph: Joseph, camera: Camera, world_from_ct: np.ndarray) -> None:
        self._image = lambda: joseph.project(camera, world_from_ct)[0]
        self._filter = joseph.prepared(camera, world_from_ct)
        self._filter.InPlaceOff()  # in place, a second run would find its input gone

    def forward(self) -> None:
        """Project anew, the filter set up before."""
        self._filter.Modified()
        self._filter.Update()

    def image(self) -> np.ndarray:
        """(rows, columns)"""
        return self._image()
