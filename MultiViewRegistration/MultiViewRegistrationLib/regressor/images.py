"""Training images of one CT, made on the fly."""

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
from .fast_drr import BASES, Bases, Stacks, project, varied
from .randomise import BODY, BONE, Randomisation, hardened_body, random_xray
from .rng import NEIGHBOURS, derived, sixes, states_of_images
from .window import Window, standardise

#: Size of a voxel in pixels: a body's as coarse as can be without its images looking different, for speed; of one bone, which is small,
#: the cortex shall be told from the marrow.
_VOXEL_OF_BODY, _VOXEL_OF_STRUCTURE = 1.25, 0.7
#: Images that a thread makes at a time.
_BLOCK = 8


class TrainingImages:
    """A CT made ready for images of it by the thousand.

    Of a CT with a mask what lies around the structure is rendered with it, moved a little.

    Parameters
    ----------
    pixel_mm : of a window at the anatomy (`Window.pixel_mm_at`), to which the voxels are suited.
    how : what is drawn for each image; by default BODY, or BONE where the CT has nothing but one structure.
    variants : how many continuations of the body beyond the CT's ends, drawn from `seed`, one of which each batch takes.
    """

    def __init__(
        self, ct: CT, pixel_mm: float, how: Randomisation | None = None, *, variants: int = 4, seed: int = 0
    ) -> None:
        structure = ct.mask is not None or ct.unit == "relative"
        self.centroid = ct.centroid()
        self._stacks = _variants(attenuation(ct), pixel_mm, structure, variants, seed)
        self._around: list[Stacks] = []  # around the structure
        if ct.mask is not None:
            around = attenuation(CT(ct.volume, ct.unit, ~ct.mask))
            if around.values.max() > TISSUE_PER_MM:
                self._around = _variants(around, pixel_mm, False, variants, seed)
        self.how = how or (BONE if structure and not self._around else BODY)

    def harden(self, hardness: float) -> None:
        """Draw harder images of a body from now on, see `hardened_body`."""
        if self.how == BODY:
            self.how = hardened_body(hardness)

    def batch(self, world_from_ct: np.ndarray, windows: Sequence[Window], key: np.uint64, first: int = 0) -> np.ndarray:
        """Random images (n, views, 2, rows, columns) float32: standardised, and 1 where valid, else 0.

        Parameters
        ----------
        world_from_ct : (n, 4, 4), or (n, views, 4, 4) where a view's geometry is off by itself.
        windows : one a view, of one size.
        key : of the batch; all that is drawn comes from it, the same on any number of threads.
        first : number of the first of these poses in the batch, which can so be made part by part.
        """
        poses = np.asarray(world_from_ct, float)
        if poses.ndim == 3:
            poses = np.broadcast_to(poses[:, None], (len(poses), len(windows), 4, 4))
        variant = int(derived(key, np.uint64(0)) % np.uint64(len(self._stacks)))
        states = states_of_images(key, first, *poses.shape[:2])
        rendered = [(self._stacks[variant], poses)]
        if self._around:
            rendered.append((self._around[variant], poses @ self.neighbours(key, first, len(poses))[:, None]))
        out = np.empty((*poses.shape[:2], 2, *windows[0].inside.shape), np.float32)
        tasks = []
        for view, window in enumerate(windows):
            mm = window.pixel_mm_at(rigid.transform_points(poses[:, view], self.centroid))
            shown = [(stacks, stacks.rays(window.camera, placed[:, view])) for stacks, placed in rendered]
            drawn = (
                *shown[0],
                *shown[-1],
                bool(self._around),
                self.how,
                mm,
                window.inside.view(np.uint8),
                states,
                out,
                view,
            )
            tasks += [
                partial(_make_images, *drawn, start, min(start + _BLOCK, len(out)))
                for start in range(0, len(out), _BLOCK)
            ]
        threads.run(tasks)
        return out

    def neighbours(self, key: np.uint64, first: int, count: int) -> np.ndarray:
        """Motions (count, 4, 4) of what surrounds a structure: a normally distributed turn about its centroid, then a shift."""
        how = self.how
        six = sixes(key, first, count, NEIGHBOURS) * np.repeat([np.radians(how.neighbour_deg), how.neighbour_mm], 3)
        return rigid.about(self.centroid, rigid.from_rotation_translation(rigid.exp_so3(six[:, :3]), six[:, 3:]))


def _variants(mu: Volume, pixel_mm: float, structure: bool, count: int, seed: int) -> list[Stacks]:
    voxel_mm = pixel_mm * (_VOXEL_OF_STRUCTURE if structure else _VOXEL_OF_BODY)
    bases, cut, rng = Bases.of(mu, voxel_mm), cut_ends(mu), np.random.default_rng(seed)
    return [Stacks.of(varied(bases, cut, rng, structure=structure)) for _ in range(count)]


@nb.njit(nogil=True, cache=True)
def _make_images(stacks, rays, around, rays_around, with_around, how, mm, inside, states, out, view, start, stop):
    """Images `start` to `stop` of a view, of a batch's states (views, n) and images (n, views, 2, rows, columns)."""
    rows, columns = inside.shape
    bases = np.empty((BASES, rows, columns), np.float32)
    others = np.empty((BASES, rows, columns) if with_around else (0, 0, 0), np.float32)
    line = np.empty((rows, columns), np.float32)
    state = np.empty(1, np.uint64)
    for n in range(start, stop):
        project(stacks, rays, n, bases)
        if with_around:
            project(around, rays_around, n, others)
        state[0] = states[view, n]
        valid = inside.copy()
        random_xray(how, bases, others, mm[n], state, line, valid)
        standardise(line, valid, out[n, view, 0])
        out[n, view, 1] = valid
