"""What the benchmark measures on: the chest CT of the demo, and the demo's two X-rays of it. Each is made when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from .. import __version__
from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.ct import attenuation
from ..imaging.volume import Volume
from ..io.case import Case
from ..io.datasets.chest import cache_folder, chest_ct
from ..registration.prepared_ct import PreparedCT
from ..rendering.drr import Projector
from ..rendering.threads import available_threads
from ..simulation.cases import demo_case
from ..simulation.projector import Joseph
from ..studies.statistics import starting_poses
from . import nanodrr_peer

START_MTRE_MM = 24.0
STARTS = 5
#: How far the poses of a batch lie from the true one, at most, by each axis.
APART_DEG, APART_MM = 2.0, 5.0


class Setting:
    """Data and renderers, shared by all parts of a run."""

    def __init__(self, case: Case | None = None, device: str | None = None) -> None:
        """
        Parameters
        ----------
        case : another than the demo's, with truth, targets and two views of one size.
        device : on which both sides work, as torch names it; None for our own on the processor's threads, and the peers on the processor.
        """
        self.device = device
        if case is not None:
            self.case = case

    @cached_property
    def case(self) -> Case:
        """The demo's case: two 512x512 X-rays of the chest by RTK's projector, kept in the user's cache folder."""
        chest_ct()  # fetched where it is gone: a case that is kept only refers to it
        path = cache_folder() / f"bench-{__version__}" / "case.json"
        return Case.load(path if path.is_file() else demo_case(path.parent))

    @cached_property
    def volume(self) -> Volume:
        """The CT as linear attenuation, at full resolution: of the chest 512 x 512 x 133 voxels of 0.70 x 0.70 x 2.5 mm."""
        return attenuation(self.case.ct)

    @cached_property
    def anatomy(self) -> PreparedCT:
        return PreparedCT(self.case.ct).on_device({None: "cpu", "cpu": "warp-cpu"}.get(self.device, self.device))

    @cached_property
    def projector(self) -> Projector:
        return Projector(self.volume)

    @cached_property
    def subject(self):
        """nanodrr's side of `volume`."""
        return nanodrr_peer.subject_of(self.volume, self.device or "cpu")

    @cached_property
    def half_subject(self):
        """The same in bfloat16."""
        return nanodrr_peer.subject_of(self.volume, self.device or "cpu", half=True)

    @cached_property
    def joseph(self) -> Joseph:
        """RTK's side of `volume`, with as many threads as our own kernels. InputError where itk-rtk is missing."""
        try:
            import itk
        except ImportError as error:
            raise InputError(
                "the benchmark runs beside its peers, but the Python package itk-rtk is missing; run "
                'pip install "multiview-registration[bench]".'
            ) from error
        itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(available_threads())
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(available_threads())
        return Joseph((self.volume.values,), self.volume.ct_from_index)

    def renderer(self, projector: Projector, cameras: Sequence[Camera], poses: Sequence[np.ndarray]) -> Callable:
        """A function that renders images, with their Jacobians if it is called with True: on the processor one after the other, on a
        device all at once. It returns the images (n, rows, columns) of that volume, which a device may still be working on."""
        if self.device is not None:
            from ..rendering.gpu import BatchProjector

            batch = BatchProjector(projector, self.device)
            return lambda jacobian: batch.render(cameras, poses, jacobian=jacobian)[0]

        def one_by_one(jacobian: bool) -> list[np.ndarray]:
            seen = zip(cameras, poses, strict=True)
            return [projector.render(camera, pose, jacobian=jacobian).image for camera, pose in seen]

        return one_by_one

    def wait(self) -> None:
        """Until the device is done."""
        if self.device is not None and self.device.startswith("cuda"):
            nanodrr_peer.modules().torch.cuda.synchronize(self.device)

    def finished(self, work: Callable, *arguments: object) -> Callable[[], None]:
        """Does the work, and waits until the device is done with it."""

        def whole() -> None:
            work(*arguments)
            self.wait()

        return whole

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) the true `world_from_ct` of the case."""
        return self.case.truth_world_from_ct

    def camera(self, pixels: int) -> Camera:
        """The case's first camera with `pixels` x `pixels` on the same detector."""
        camera = self.case.views[0].camera
        factor = camera.size[0] / pixels
        shift = 0.5 / factor - 0.5
        scaled = np.array([[1 / factor, 0, shift], [0, 1 / factor, shift], [0, 0, 1]]) @ camera.intrinsics
        return replace(camera, intrinsics=scaled, size=(pixels, pixels))

    def poses(self, count: int) -> np.ndarray:
        """(count, 4, 4) about the true pose, the first of them itself."""
        middle = rigid.transform_points(self.volume.ct_from_index, (np.array(self.volume.values.shape[::-1]) - 1) / 2)
        centre = rigid.transform_points(self.pose, middle)
        twists = np.random.default_rng(0).uniform(-1, 1, (count, 6)) * np.repeat([np.radians(APART_DEG), APART_MM], 3)
        twists[0] = 0
        return np.stack([rigid.about(centre, rigid.exp_se3(twist)) @ self.pose for twist in twists])

    def starts(self) -> np.ndarray:
        """(STARTS, 4, 4) poses with an mTRE of START_MTRE_MM."""
        edges = (START_MTRE_MM, START_MTRE_MM)
        return starting_poses(self.pose, self.case.targets, edges, STARTS, seed=0).world_from_ct
