"""A CT made ready for registration, and the resolutions at which it is compared with X-rays.

All sizes follow from the anatomy: the coarsest image has about 32 pixels across what is imaged,
each next one twice as many, and the volume is taken at the level of its pyramid whose voxels are
about as large as a pixel at the depth of the anatomy. The windows were chosen on simulated
radiographs and on real ones of a wrist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import scipy

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import Body
from ..imaging.ct import (
    BONE_PER_MM,
    CT,
    METAL_SATURATES_AT,
    WATER,
    Volume,
    attenuation,
    per_mm_of,
    pyramid,
)
from ..imaging.xray import View
from ..rendering.devices import CPU, TORCH_CPU, ComputeDevice, Lock, run_tasks
from ..rendering.drr import Projector, cut_ends
from .objective import EvaluationPoint, Objective, PoseFit, Scorer
from .similarity import Settings

if TYPE_CHECKING:
    from .bone import Bone
    from .torch_backend import TorchScorer

T = TypeVar("T")

VOLUME_LEVELS = 5
BONE_STEP_MM = 4.0
#: Voxels of this size at most are fine enough for pictures, whose edges of bone are smoothed
#: anyhow.
PICTURE_MM = 2.2
COARSEST_PIXELS = 32
#: No edge of bone is drawn so near, in pixels, to the rim of a cut bone.
CUT_RIM_PIXELS = 2
#: The CT ends as the body does where of at least so many rays beyond a cut end this fraction meets
#: air: less than so large a fraction of the median line integral of rays through the CT. At images
#: of about so many pixels, and a CT of such voxels.
MIN_BEYOND = 100
MIN_IN_AIR = 0.9
AIR_SHARE = 0.05
AIR_PIXELS = 128
AIR_VOXEL_MM = 4.0


@dataclass(frozen=True)
class ResolutionLevel:
    """One resolution: images pooled by `pool`, level `volume` of the volume pyramid, and how long to stay."""

    pool: int
    volume: int
    settings: Settings
    iterations: int
    tolerance_mm: float


#: CT and X-ray show the same body: intensities capture far, and both residuals together end most
#: precise.
BODY = (
    (Settings(intensity_radius=12), 30, 0.5),
    (Settings(intensity_radius=6), 12, 0.1),
    (Settings(intensity_radius=4, gradient_radius=4, cauchy=0.5), 20, 0.02),
)

#: Poses of a body are scored at half the coarsest resolution, with windows to match.
SCORING = Settings(intensity_radius=3)

#: One bone among others: its gradients within its own silhouette hold, and intensities are good for
#: the last step only.
STRUCTURE = (
    (Settings(gradient_radius=6, silhouette_mm=6), 30, 0.2),
    (Settings(gradient_radius=6, silhouette_mm=6), 20, 0.05),
    (Settings(gradient_radius=8, silhouette_mm=5), 15, 0.02),
    (Settings(intensity_radius=4, cauchy=0.5, silhouette_mm=4), 10, 0.02),
)


class PreparedCT:
    """A CT made ready for registration, once for any number of X-rays.

    Its pyramid of attenuation, and where its bone is.

    Attributes
    ----------
    structure
        Whether it is one structure among others that the X-rays show, too (a mask, or a relative
        volume).
    centroid
        (3,) CT mm.
    """

    beside: Sequence[tuple[Bone, np.ndarray]] = ()
    """Bones that a DRR shows, too, each at a pose (4, 4) of its own, see `bone.placed`."""
    ends_in_air = False
    """Whether X-rays show air beyond a cut end, see `ending_in_air`."""

    def __init__(self, ct: CT) -> None:
        self.ct = ct
        self._volumes = pyramid(attenuation(ct, run_tasks), VOLUME_LEVELS, run_tasks)
        self._projectors: dict[tuple[int, bool], Projector] = {}
        self._making: dict[tuple, Lock] = {}
        self._cut = cut_ends(self._volumes[0])
        self.structure = ct.mask is not None or ct.unit != "hu"
        self.centroid = ct.centroid()
        self.device = ""
        """The device of PyTorch's work, as it names it; "" for numba's."""

    def on_device(self, device: str) -> PreparedCT:
        """Return the CT with its registrations done on a device, by its name in `ComputeDevice`.

        "cpu" is this machine's threads.
        """
        if device == CPU or np.isfinite(self.saturates_at):
            return self
        other = copy(self)
        other.device = CPU if device == TORCH_CPU else device
        return other

    def run_on(
        self, device: ComputeDevice, work: Callable[..., T], *arguments: Any, **options: Any
    ) -> T:
        """Call `work` with this CT on a device.

        On the processor, from then on, where the device has too little memory for one pose.
        """
        try:
            return work(self.on_device(device.name), *arguments, **options)
        except MemoryError:
            if device.name == CPU:
                raise
            device.fall_back(f"{device.name} has too little free memory")
        return work(self, *arguments, **options)

    @cached_property
    def full_ct(self) -> PreparedCT | None:
        """The full CT around this structure, about its centre.

        None for a whole CT, and for relative values, which know no soft tissue.
        """
        ct = self.ct
        if ct.mask is None or ct.unit != "hu":
            return None
        whole = PreparedCT(replace(ct, mask=None))
        # The X-rays show what lies about the structure, and it is what the start is off by.
        whole.centroid = self.centroid
        return whole

    def without(self, bones: Iterable[Bone]) -> PreparedCT:
        """Return the CT with soft tissue in place of bones that it holds."""
        volume = self._volumes[0]
        values = volume.values.copy()
        for bone in bones:
            values[bone.box] -= bone.finest.values
        return self._of(pyramid(Volume(values, volume.ct_from_index), VOLUME_LEVELS, run_tasks))

    def _of(self, volumes: list[Volume]) -> PreparedCT:
        other = copy(self)
        vars(other).pop("_cut_sections", None)
        other._volumes = volumes
        other._projectors = {}
        other._making = {}
        return other

    def ending_in_air(self, views: Sequence[View], world_from_ct: np.ndarray) -> PreparedCT:
        """Return the CT with those cut ends taken as ends of the body beyond which the X-rays show air.

        Rays that a cut end hides are not compared, as the body goes on there. In a DRR of the CT,
        or an X-ray of a specimen, it does not, and hidden rays leave too little to judge a pose by.
        The same object is returned if no X-ray shows air beyond a cut end.

        Parameters
        ----------
        views
            X-rays of the CT.
        world_from_ct
            (4, 4) pose at which the ends are compared, mm.
        """
        if not self._cut.any():
            return self
        projector = copy(self.projector(self.level(AIR_VOXEL_MM)))
        counts = np.zeros((2, 6))
        for full in views:
            view = full.pooled(max(1, max(full.camera.size) // AIR_PIXELS))
            drr = projector.render(view.camera, world_from_ct).image
            xray = view.xray.line_integrals
            body = view.xray.valid & (drr > 0)
            if not body.any():
                continue
            brightest = np.percentile(xray[view.xray.valid], 0.5)
            air = xray - brightest < AIR_SHARE * (np.median(xray[body]) - brightest)
            for side in np.flatnonzero(self._cut):
                projector.cut = np.arange(6) == side
                hidden = projector.seen(view.camera, world_from_ct) == 0
                beyond = hidden & (drr == 0) & view.xray.valid
                counts[:, side] += beyond.sum(), (beyond & air).sum()
        shown, in_air = counts
        ends = (shown >= MIN_BEYOND) & (in_air >= MIN_IN_AIR * shown)
        if not (ends & self._cut).any():
            return self
        other = self._of(self._volumes)
        other._cut = self._cut & ~ends
        other.ends_in_air = True
        return other

    def attenuation(self, level: int) -> Volume:
        """Return the attenuation, 1/mm, at one level of the volume pyramid."""
        return self._volumes[level]

    def projector(self, level: int, *, bones: bool = False) -> Projector:
        """Return the projector of one level of the volume pyramid, 0 being the CT's own resolution; made on first use.

        Parameters
        ----------
        bones
            Of what attenuates more than soft tissue does, by how much it does; of a structure, of
            all of it.
        """
        key = level, bones and not self.structure
        with self._making.setdefault(key, Lock()):  # by one thread; another waits for it
            if key not in self._projectors:
                volume = self._volumes[level]
                if key[1]:
                    bone = np.maximum(volume.values, np.float32(BONE_PER_MM))
                    bone -= np.float32(BONE_PER_MM)
                    volume = Volume(bone, volume.ct_from_index)
                self._projectors[key] = Projector(volume, self._cut, self.saturates_at)
            return self._projectors[key]

    @property
    def replaced(self) -> float:
        """Attenuation of what is in place of a bone without it, 1/mm: relative values do not say what soft tissue attenuates."""
        return WATER if self.ct.unit == "hu" else 0.0

    @property
    def saturates_at(self) -> float:
        """As of a `Projector`."""
        return METAL_SATURATES_AT if per_mm_of(self.ct.unit) else np.inf

    def voxel_mm(self, level: int) -> float:
        """Return the side of a cube as large as a voxel."""
        return voxel_side_mm(self._volumes[level])

    def level(self, voxel_mm: float) -> int:
        """Return the coarsest level with voxels of this size at most.

        0 where even its own are larger.
        """
        return level_of(self._volumes, voxel_mm)

    @property
    def picture_level(self) -> int:
        """The level whose voxels are fine enough for pictures.

        The second at most, of a structure the first.
        """
        return 0 if self.structure else min(1, self.level(PICTURE_MM))

    def drr(
        self, camera: Camera, world_from_ct: np.ndarray, level: int = 0, *, bones: bool = False
    ) -> np.ndarray:
        """Return the DRR (rows, columns), NaN for rays through a cut end of the CT.

        Parameters
        ----------
        level
            Of the volume pyramid, 0 being the CT's own resolution.
        bones
            Of bone alone, for edges, of `picture_level` at least; then NaN also along the rim of a
            cut bone, which is no edge of the patient.
        """
        if bones:
            level = max(level, self.picture_level)
        seen = self.projector(level).seen(camera, world_from_ct)
        if bones:
            seen[self._cut_rims(camera, world_from_ct)] = 0
        image = self.line_integrals(camera, world_from_ct, level, bones=bones, wanted=seen)
        image[seen == 0] = np.nan
        return image

    def line_integrals(
        self,
        camera: Camera,
        world_from_ct: np.ndarray,
        level: int = 0,
        *,
        bones: bool = False,
        wanted: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the same without NaN; what is `beside` is added, as X-rays add up.

        Parameters
        ----------
        wanted
            As of `Projector.render`.
        """
        projector = self.projector(level, bones=bones)
        image = projector.render(camera, world_from_ct, wanted=wanted).image
        for bone, pose in self.beside:
            corners = rigid.transform_points(pose, bone.corners)
            low, high = _part_about(camera, corners, 2.0)
            if (camera.depth(corners) > 0).all() and (low < high).all():
                part = camera.cropped(*low, *(high - low))
                drawn = bone.projector(bone.level(self.voxel_mm(level))).render(part, pose)
                image[low[1] : high[1], low[0] : high[0]] += drawn.image
        return image

    @property
    def _least(self) -> float:
        """What counts attenuates more than this, 1/mm: bone, or all of a structure."""
        return 0.0 if self.structure else BONE_PER_MM

    @cached_property
    def _cut_sections(self) -> list[tuple[np.ndarray, float]]:
        """The cross-sections of bone, or of the structure, at the faces of the CT.

        (N, 3) CT mm, and the side of a voxel.
        """
        volume = self._volumes[0]
        sections = []
        for axis in range(3):
            for side, end in enumerate((0, volume.values.shape[2 - axis] - 1)):
                index = np.argwhere(volume.values.take([end], 2 - axis) > self._least)
                if len(index):
                    section = index[:, ::-1].astype(float)
                    section[:, axis] = end + side - 0.5
                    voxel_mm = float(np.delete(volume.spacing_mm, axis).max())
                    sections.append(
                        (rigid.transform_points(volume.ct_from_index, section), voxel_mm)
                    )
        return sections

    def _cut_rims(self, camera: Camera, world_from_ct: np.ndarray) -> np.ndarray:
        """Return bool (rows, columns): where the rims of `_cut_sections` are seen.

        Of a section seen edge on, all of it.
        """
        columns, rows = camera.size
        rims = np.zeros((rows, columns), bool)
        for section, voxel_mm in self._cut_sections:
            points = rigid.transform_points(world_from_ct, section)
            points = points[camera.depth(points) > 0]
            if not len(points):
                continue
            gap = int(
                np.ceil(voxel_mm / max(float(camera.pixel_mm(points.mean(axis=0)).min()), 1e-6))
            )
            room = gap + CUT_RIM_PIXELS
            column, row = np.rint(camera.project(points)).astype(int).T + room
            inside = (
                (column >= 0) & (row >= 0) & (column < columns + 2 * room) & (row < rows + 2 * room)
            )
            shown = np.zeros((rows + 2 * room, columns + 2 * room), bool)
            shown[row[inside], column[inside]] = True
            shown = scipy.ndimage.binary_closing(shown, iterations=gap)
            rim = scipy.ndimage.binary_dilation(shown, iterations=CUT_RIM_PIXELS)
            rim &= ~scipy.ndimage.binary_erosion(shown, iterations=CUT_RIM_PIXELS)
            rims |= rim[room : room + rows, room : room + columns]
        return rims

    def corners(self) -> np.ndarray:
        """Return (8, 3) CT mm: the corners of the box around all that attenuates."""
        box = self.projector(1)
        index = rigid.grid_points(*[(0.5, size - 1.5) for size in box.shape])
        return rigid.transform_points(box.ct_from_index, index)

    def bone_points(self, most: int = 4000) -> np.ndarray:
        """Return centres (N, 3), CT mm, of voxels of some BONE_STEP_MM in bone, or of all of a structure, evenly thinned out to `most`."""
        volume = self._volumes[self.level(BONE_STEP_MM)]
        index = np.flatnonzero(volume.values > self._least)
        thinned = rigid.some_of(index, most)
        slices_rows_columns = np.stack(np.unravel_index(thinned, volume.values.shape), axis=1)
        return rigid.transform_points(volume.ct_from_index, slices_rows_columns[:, ::-1])

    def levels(self, views: list[View], world_from_ct: np.ndarray) -> list[ResolutionLevel]:
        """Return the resolutions at which the CT is compared with these views."""
        centre = rigid.transform_points(world_from_ct, self.centroid)
        box = self.corners()
        extent_mm = max(float(np.linalg.norm(box[corner] - box[0])) for corner in (1, 2, 4))
        voxel_mm = float(np.median(self._volumes[0].spacing_mm))
        compared = STRUCTURE if self.structure else BODY
        return resolution_schedule(views, centre, extent_mm, voxel_mm, len(self._volumes), compared)

    def scoring_level(self, coarsest: ResolutionLevel) -> ResolutionLevel:
        """Return the resolution at which poses are scored.

        Of a structure the coarsest, as it is small in the images.
        """
        if self.structure:
            return coarsest
        volume = min(coarsest.volume + 1, len(self._volumes) - 1)
        return replace(coarsest, pool=2 * coarsest.pool, volume=volume, settings=SCORING)

    def prepare(self, views: list[View], world_from_ct: np.ndarray) -> None:
        """Make the projectors that a registration to these views will ask for."""
        levels = self.levels(views, world_from_ct)
        for level in [*levels, self.scoring_level(levels[0])]:
            self.projector(level.volume)

    def objective(
        self,
        views: list[View],
        level: ResolutionLevel,
        world_from_ct: np.ndarray,
        margin_mm: float = 15.0,
    ) -> Objective:
        """Return the objective at one resolution, of a structure only on the parts of the images within `margin_mm` of it."""
        pivot = rigid.transform_points(world_from_ct, self.centroid)
        arguments = self._compared(views, level, world_from_ct, margin_mm, pivot)
        if not self.device:
            return Objective(*arguments)
        from .torch_backend import TorchObjective  # PyTorch is an extra

        return TorchObjective(*arguments, device=self.device)

    def fit(self, views: list[View], world_from_ct: np.ndarray, start: np.ndarray) -> PoseFit:
        """Return the fit at a pose (4, 4), compared as at the last level of a refinement from `start` (4, 4)."""
        objective = self.objective(views, self.levels(views, start)[-1], world_from_ct)
        return objective.evaluate(EvaluationPoint([world_from_ct])).linearise()

    def scorer(
        self, views: list[View], level: ResolutionLevel, world_from_ct: np.ndarray, margin_mm: float
    ) -> Scorer | TorchScorer:
        """Return the scorer of poses for a search at a coarsest level, on the same parts of the images."""
        level = self.scoring_level(level)
        arguments = self._compared(views, level, world_from_ct, margin_mm, self.centroid)
        if not self.device:
            return Scorer(*arguments)
        from .torch_backend import TorchScorer

        return TorchScorer(*arguments, self.device)

    def _compared(
        self,
        views: list[View],
        level: ResolutionLevel,
        world_from_ct: np.ndarray,
        margin_mm: float,
        middle: np.ndarray,
    ) -> tuple[Projector, list[View], Settings, np.ndarray]:
        """Return what an `Objective`, about a pivot, and a `Scorer`, about a centroid, are made from."""
        if self.structure:  # the parts that show it
            corners = rigid.transform_points(world_from_ct, self.corners())
            views = [_cropped(view, corners, margin_mm, level.pool) for view in views]
        pooled = [view.pooled(level.pool) for view in views]
        return self.projector(level.volume), pooled, level.settings, middle


def _cropped(view: View, corners: np.ndarray, margin_mm: float, multiple: int) -> View:
    """Return the part of the view within `margin_mm` of the projected corners (N, 3), world mm.

    All of it if that is empty, or a corner behind the source.

    It begins and ends at multiples of `multiple` pixels, so that pooling it is part of pooling the
    whole.
    """
    if (view.camera.depth(corners) <= 0).any():
        return view
    room = margin_mm / pixel_size_mm(view, corners.mean(axis=0))
    low, high = _part_about(view.camera, corners, room, multiple)
    return view.cropped(*low, *(high - low)) if (high - low >= 8 * multiple).all() else view


def _part_about(
    camera: Camera, corners: np.ndarray, room: float, multiple: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and past-the-last pixel (2,) of the part about corners (N, 3), world mm, with so many pixels of room."""
    pixels = camera.project(corners)
    ends = [np.floor((pixels.min(axis=0) - room) / multiple)]
    ends.append(np.ceil((pixels.max(axis=0) + room) / multiple))
    low, high = np.clip(np.multiply(ends, multiple), 0, camera.size).astype(int)
    return low, high


def voxel_side_mm(volume: Volume) -> float:
    """Return the side of a cube as large as a voxel."""
    return float(np.cbrt(np.prod(volume.spacing_mm)))


def level_of(volumes: Sequence[Volume], voxel_mm: float) -> int:
    """Return the coarsest of a pyramid's levels with voxels of this size at most.

    0 where even its finest are larger.
    """
    return max(
        (level for level, volume in enumerate(volumes) if voxel_side_mm(volume) <= voxel_mm),
        default=0,
    )


def pixel_size_mm(view: View, point: np.ndarray) -> float:
    """Return the size in mm of a pixel at the depth of a world point."""
    return float(view.camera.pixel_mm(point)[1])


def resolution_schedule(
    views: list[View],
    centre: np.ndarray,
    extent_mm: float,
    voxel_mm: float,
    volumes: int,
    compared: Sequence[tuple[Settings, int, float]],
) -> list[ResolutionLevel]:
    """Return the levels, coarse to fine.

    A view with the anatomy behind its source has no say. InputError where all have.

    Parameters
    ----------
    centre
        (3,) world mm, of the anatomy.
    extent_mm
        Its longest side.
    voxel_mm
        Side of the finest voxels.
    volumes
        Number of levels of the volume pyramid.
    compared
        BODY or STRUCTURE.
    """
    before = [view for view in views if view.camera.depth(centre) > 0]
    if not before:
        raise InputError(
            "world_from_ct: has the CT behind the source of every view, expected a pose at which "
            "the X-rays show it; correct the pose or the geometry of the views."
        )
    pixel_mm = float(np.mean([pixel_size_mm(view, centre) for view in before]))
    field_mm = min(min(view.camera.size) * pixel_size_mm(view, centre) for view in before)
    coarsest = max(0, round(np.log2(min(extent_mm, field_mm) / COARSEST_PIXELS / pixel_mm)))
    levels = []
    for number, (settings, iterations, tolerance_mm) in enumerate(compared):
        pool = 2 ** max(coarsest - number, 0)
        volume = round(np.log2(1.1 * pool * pixel_mm / voxel_mm))
        levels.append(
            ResolutionLevel(
                pool, int(np.clip(volume, 0, volumes - 1)), settings, iterations, tolerance_mm
            )
        )
    return levels


def anatomies_of(bodies: Sequence[Body], first: PreparedCT) -> list[PreparedCT]:
    """Return the CTs of bodies, ready for registration; that of the first is."""
    return [first, *(PreparedCT(body.ct) for body in bodies[1:])]
