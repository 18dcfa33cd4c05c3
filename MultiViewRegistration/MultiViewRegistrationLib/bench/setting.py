"""What the benchmark measures on: the chest CT of the demo, and the demo's two X-rays of it. Each is made when first asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from .. import __version__
from ..assessment import protocol
from ..demo.cases import demo_case
from ..demo.chest import cache_folder, chest_ct
from ..geometry.camera import Camera
from ..imaging.ct import attenuation
from ..imaging.volume import Volume
from ..io.case import Case
from ..registration.anatomy import Anatomy
from ..rendering.drr import Projector
from . import nanodrr_peer, rtk_peer

START_MTRE_MM = 24.0
STARTS = 5


class Setting:
    """Data and renderers, shared by all parts of a run."""

    def __init__(self, case: Case | None = None, device: str | None = None) -> None:
        """case: another than the demo's, with truth, targets and two views of one size.
        device: on which both sides work, as torch has it; None for our own on the processor's threads, and the peers on the processor.
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
    def anatomy(self) -> Anatomy:
        if self.device is None:
            return Anatomy(self.case.ct)
        from ..registration.on_device import Device

        return Anatomy(self.case.ct).on(Device(self.device))

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
    def batch(self):
        """`volume` on the device."""
        from ..rendering.gpu import BatchProjector

        return BatchProjector(self.projector, self.device)

    def send(self, projector: Projector) -> None:
        """Lay a volume on the device, where there is one."""
        if self.device is not None:
            from ..rendering.gpu import BatchProjector

            BatchProjector(projector, self.device)

    def wait(self) -> None:
        """Until the device is done."""
        if self.device is not None and self.device.startswith("cuda"):
            nanodrr_peer.modules().torch.cuda.synchronize(self.device)

    @cached_property
    def joseph(self):
        """RTK's side of `volume`."""
        return rtk_peer.joseph_of(self.volume)

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

    def starts(self) -> np.ndarray:
        """(STARTS, 4, 4) poses with an mTRE of START_MTRE_MM."""
        edges = (START_MTRE_MM, START_MTRE_MM)
        return protocol.starting_poses(self.pose, self.case.targets, edges, STARTS, seed=0).world_from_ct
