"""Training images of one CT, made on the fly, and real X-rays made to look like them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numba as nb
import numpy as np

from ..geometry import rigid
from ..imaging.ct import CT, attenuation
from ..imaging.volume import Volume
from ..rendering import threads
from ..rendering.drr import TISSUE_PER_MM, cut_ends
from .detector_model import expose
from .fast_drr import BASES, Bases, Stacks, project, varied
from .poses import NEIGHBOURS, neighbours, states_of_images, variant_of
from .randomise import BODY, BONE, Randomisation, draw, hardened
from .sample_layout import CAPSULE, MAX_CAPSULES, NUMBERS, Sample
from .window import Window, standardise

#: Size of a voxel in pixels: a body's as coarse as can be without its images looking different, for speed; of one bone, which is small,
#: the cortex shall be told from the marrow.
_VOXEL_OF_BODY, _VOXEL_OF_STRUCTURE = 1.25, 0.7
#: Images that a thread makes at a time.
_BLOCK = 8


class TrainingImages:
    """A CT made ready for images of it by the thousand.

    pixel_mm: of a window at the anatomy (`Window.pixel_mm_at`), to which the voxels are suited.
    how: what is drawn for each image; by default BODY, or BONE where the CT has nothing but one structure.
    variants: how many continuations of the body beyond the CT's ends, drawn from `seed`, one of which each batch takes.

    Of a CT with a mask what lies around the structure is rendered with it, moved a little: `others` beside `stacks`, a variant each.
    """

    def __init__(
        self, ct: CT, pixel_mm: float, how: Randomisation | None = None, *, variants: int = 4, seed: int = 0
    ) -> None:
        structure = ct.mask is not None or ct.unit == "relative"
        self.centroid = ct.centroid()
        self.stacks = _variants(attenuation(ct), pixel_mm, structure, variants, seed)
        self.others = []
        if ct.mask is not None:
            around = attenuation(CT(ct.volume, ct.unit, ~ct.mask))
            if around.values.max() > TISSUE_PER_MM:
                self.others = _variants(around, pixel_mm, False, variants, seed)
        self.how = _in_floats(how or (BONE if structure and not self.others else BODY))
        self.neighbours = neighbours(self.centroid, self.how.neighbour_deg, self.how.neighbour_mm)

    def harden(self, hardness: float) -> None:
        """Draw harder images from now on, so far as `randomise.hardened` says."""
        self.how = hardened(self.how, hardness)

    def batch(self, world_from_ct: np.ndarray, windows: Sequence[Window], key: np.uint64, first: int = 0) -> np.ndarray:
        """Random images (n, views, 2, rows, columns) float32: standardised, and 1 where valid, else 0.

        world_from_ct: (n, 4, 4), or (n, views, 4, 4) where a view's geometry is off by itself.   windows: one a view, of one size.
        key: of the batch; all that is drawn comes from it, the same on any number of threads.
        first: number of the first of these poses in the batch, which can so be made part by part.
        """
        poses = np.asarray(world_from_ct, float)
        if poses.ndim == 3:
            poses = np.broadcast_to(poses[:, None], (len(poses), len(windows), 4, 4))
        others = None
        if self.others:
            others = poses @ self.neighbours.sample(key, range(first, first + len(poses)), NEIGHBOURS)[:, None]
        variant, states = variant_of(key, len(self.stacks)), states_of_images(key, first, *poses.shape[:2])
        out = np.empty((*poses.shape[:2], 2, *windows[0].inside.shape), np.float32)
        tasks = []
        for view, window in enumerate(windows):
            camera, inside = window.camera, window.inside.view(np.uint8)
            mm = window.pixel_mm_at(rigid.transform_points(poses[:, view], self.centroid))
            stacks = others_stacks = self.stacks[variant]
            rays = others_rays = stacks.rays(camera, poses[:, view])
            if others is not None:
                others_stacks = self.others[variant]
                others_rays = others_stacks.rays(camera, others[:, view])
            for start in range(0, len(out), _BLOCK):
                block = slice(start, start + _BLOCK)
                rendered = (
                    stacks.packed,
                    rays.part(block),
                    others_stacks.packed,
                    others_rays.part(block),
                    bool(self.others),
                )
                made = mm[block], inside, states[view, block], out[block, view]
                tasks.append(partial(_make_images, *rendered, self.how, *made))
        threads.run(tasks)
        return out


def _variants(mu: Volume, pixel_mm: float, structure: bool, count: int, seed: int) -> list[Stacks]:
    voxel_mm = pixel_mm * (_VOXEL_OF_STRUCTURE if structure else _VOXEL_OF_BODY)
    bases, cut, rng = Bases.of(mu, voxel_mm), cut_ends(mu), np.random.default_rng(seed)
    return [Stacks(varied(bases, cut, rng, structure=structure)) for _ in range(count)]


def _in_floats(how: Randomisation) -> Randomisation:
    """Without whole numbers: one type, one compilation."""
    return Randomisation(*(tuple(map(float, value)) if isinstance(value, tuple) else float(value) for value in how))


@nb.njit(nogil=True, cache=True)
def _make_images(stacks, rays, others_stacks, others_rays, with_others, how, mm, inside, states, out):
    rows, columns = inside.shape
    bases = np.empty((BASES, rows, columns), np.float32)
    others = np.empty((BASES, rows, columns) if with_others else (0, 0, 0), np.float32)
    work = np.empty((4, rows, columns), np.float32)
    line = np.empty((rows, columns), np.float32)
    state = np.empty(1, np.uint64)
    sample = Sample(np.empty(NUMBERS), np.empty((MAX_CAPSULES, CAPSULE)))
    for n in range(len(states)):
        project(stacks, rays, n, bases)
        if with_others:
            project(others_stacks, others_rays, n, others)
        state[0] = states[n]
        valid = inside.copy()
        noise = draw(how, rows, columns, mm[n], state, sample)
        expose(bases, others, mm[n], sample, noise, work, line, valid)
        standardise(line, valid, work, out[n, 0])
        for r in range(rows):
            for c in range(columns):
                out[n, 1, r, c] = valid[r, c]
