"""DRRs of many poses at once, with their derivatives by the pose, as kernels of Triton.

The sums of `torch_drr.py`, each ray's by itself: no sample is kept, and a tile of rays ends with its
longest. Triton compiles a kernel when it is first used, and keeps it on disk. With TRITON_INTERPRET=1
the kernels run on the processor, to be tested there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language import tensor

from . import beam_layout
from .cpu import UNSEEN_TISSUE_MM

#: What a beam has, as kernels take it.
BEAM = tl.constexpr(beam_layout.BEAM)
STEP_U = tl.constexpr(beam_layout.STEP_U)
INDEX_FROM_WORLD = tl.constexpr(beam_layout.INDEX_FROM_WORLD)
WORLD_FROM_INDEX = tl.constexpr(beam_layout.WORLD_FROM_INDEX)
LEVER = tl.constexpr(beam_layout.LEVER)
SOURCE_STEP = tl.constexpr(beam_layout.SOURCE_STEP)
CUT = tl.constexpr(beam_layout.CUT)
DEPTH = tl.constexpr(beam_layout.DEPTH)
#: Samples beyond a cut end are so far apart, in mm, and so many of them in tissue are too many; see
#: `cpu.mark_unseen`.
UNSEEN_STEP_MM = UNSEEN_TISSUE_MM / 2.5
UNSEEN_SAMPLES = 3
#: A kernel is not compiled again where these are 1, or multiples of 16.
SIZES = ["rows", "columns", "ni", "nj", "nk"]
#: Rows and columns of a tile of rays, which lie near each other in the volume.
TILE = (8, 16)


def project_beams(
    values: Tensor,
    shape: Sequence[int],
    beams: Tensor,
    size: Sequence[int],
    *,
    jacobian: bool,
    wanted: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """See `torch_drr.project_beams`, of images of `size`, (rows, columns)."""
    rows, columns = size
    exact = values.dtype == torch.float64
    images = beams.new_empty(
        len(beams), rows, columns, dtype=values.dtype if exact else torch.float32
    )
    by_pose = images.new_empty((6, *images.shape) if jacobian else (0,))
    with torch.cuda.device_of(values):
        _project[_tiles(images)](
            values,
            beams.contiguous(),
            images if wanted is None else wanted.contiguous().view(torch.uint8),
            images,
            by_pose,
            rows,
            columns,
            *shape,
            len(values) // 2,
            images.numel(),
            WANTED=wanted is not None,
            JACOBIAN=jacobian,
            SAMPLED=tl.float64 if exact else tl.float32,
            ROWS=TILE[0],
            COLUMNS=TILE[1],
        )
    return images, by_pose if jacobian else None


def unhidden(
    beams: Tensor, size: Sequence[int], shape: Sequence[int], end_slices: Tensor
) -> Tensor:
    """Return `torch_drr.TorchProjector.unhidden`, of a volume's `shape`, (ni, nj, nk), and `cpu.Ends.slices`."""
    seen = torch.empty(len(beams), *size, dtype=torch.uint8, device=beams.device)
    with torch.cuda.device_of(seen):
        _mark_unseen[_tiles(seen)](
            beams.contiguous(),
            end_slices,
            seen,
            *size,
            *shape,
            end_slices.shape[-1],
            UNSEEN_STEP_MM,
            UNSEEN_SAMPLES,
            ROWS=TILE[0],
            COLUMNS=TILE[1],
        )
    return seen.bool()


def _tiles(images: Tensor) -> tuple[int, int, int]:
    count, rows, columns = images.shape
    return triton.cdiv(columns, TILE[1]), triton.cdiv(rows, TILE[0]), count


@triton.jit
def _pixels(rows: tensor, columns: tensor, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return rows, columns, place in the images, and whether it is in them, of this tile's rays (ROWS, COLUMNS)."""
    v = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    u = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    place = (tl.program_id(2).to(tl.int64) * rows + v) * columns + u
    return v, u, place, (v < rows) & (u < columns)


@triton.jit
def _along(beam: tensor, FIRST: tl.constexpr, STEP: tl.constexpr, x: tensor, y: tensor, z: tensor):
    """Return the scalar product of three numbers of a beam, see `beam_layout.BEAM`, so far apart, and a vector."""
    a = tl.load(beam + FIRST)
    b = tl.load(beam + FIRST + STEP)
    return a * x + b * y + tl.load(beam + FIRST + 2 * STEP) * z


@triton.jit
def _rays(beam: tensor, v: tensor, u: tensor):
    """Return sources and directions of rays, in voxels and voxels per mm of depth."""
    v = v.to(beam.dtype.element_ty) + 0 * u  # a row's source is that of all its columns
    si = tl.load(beam) + v * tl.load(beam + SOURCE_STEP)
    sj = tl.load(beam + 1) + v * tl.load(beam + SOURCE_STEP + 1)
    sk = tl.load(beam + 2) + v * tl.load(beam + SOURCE_STEP + 2)
    qi = _along(beam, STEP_U, 3, u, v, 1.0)
    qj = _along(beam, STEP_U + 1, 3, u, v, 1.0)
    qk = _along(beam, STEP_U + 2, 3, u, v, 1.0)
    return si, sj, sk, qi, qj, qk


@triton.jit
def _in_world(beam: tensor, i: tensor, j: tensor, k: tensor):
    """Return a vector in voxels in world mm."""
    x = _along(beam, WORLD_FROM_INDEX, 1, i, j, k)
    y = _along(beam, WORLD_FROM_INDEX + 3, 1, i, j, k)
    return x, y, _along(beam, WORLD_FROM_INDEX + 6, 1, i, j, k)


@triton.jit
def _moved_against(beam: tensor, w: tensor, i: tensor, j: tensor, k: tensor):
    """Return a gradient by voxels times w as one by world mm."""
    x = w * _along(beam, INDEX_FROM_WORLD, 3, i, j, k)
    y = w * _along(beam, INDEX_FROM_WORLD + 1, 3, i, j, k)
    return x, y, w * _along(beam, INDEX_FROM_WORLD + 2, 3, i, j, k)


@triton.jit
def _clip(start: tensor, slope: tensor, bottom: tensor, top: tensor, low: tensor, high: tensor):
    """See `cpu._clip`."""
    flat = tl.abs(slope) < 1e-9
    beyond = flat & ((start < bottom) | (start > top))
    slope = tl.where(flat, 1.0, slope)
    z0 = (bottom - start) / slope
    z1 = (top - start) / slope
    new_low = tl.where(flat, low, tl.maximum(low, tl.minimum(z0, z1)))
    new_high = tl.where(flat, high, tl.minimum(high, tl.maximum(z0, z1)))
    return tl.where(beyond, 1.0, new_low), tl.where(beyond, 0.0, new_high)


@triton.jit
def _turned_image_hypotheses(by_i: tensor, by_j: tensor, i: tensor, j: tensor, k: tensor):
    """Return the components along a, b and c of a vector along i, j and k."""
    a = tl.where(by_i, i, tl.where(by_j, j, k))
    return a, tl.where(by_i, j, i), tl.where(by_i | by_j, k, j)


@triton.jit
def _back(by_i: tensor, by_j: tensor, a: tensor, b: tensor, c: tensor):
    """Return the components along i, j and k of a vector along a, b and c."""
    j = tl.where(by_i, b, tl.where(by_j, a, c))
    return tl.where(by_i, a, b), j, tl.where(by_i | by_j, c, a)


@triton.jit(do_not_specialize=[*SIZES, "voxels", "pixels"])
def _project(
    values: tensor,
    beams: tensor,
    wanted: tensor,
    images: tensor,
    by_pose: tensor,
    rows: tensor,
    columns: tensor,
    ni: tensor,
    nj: tensor,
    nk: tensor,
    voxels: tensor,
    pixels: tensor,
    WANTED: tl.constexpr,
    JACOBIAN: tl.constexpr,
    SAMPLED: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Project a tile of an image, see `cpu.project_rows`."""
    v, u, place, inside = _pixels(rows, columns, ROWS, COLUMNS)
    beam = beams + tl.program_id(2) * BEAM
    si, sj, sk, qi, qj, qk = _rays(beam, v, u)
    by_i = (tl.abs(qi) >= tl.abs(qj)) & (tl.abs(qi) >= tl.abs(qk))
    by_j = (by_i == 0) & (tl.abs(qj) >= tl.abs(qk))
    sa, sb, sc = _turned_image_hypotheses(by_i, by_j, si, sj, sk)
    qa, qb, qc = _turned_image_hypotheses(by_i, by_j, qi, qj, qk)
    last_a, last_b, last_c = _turned_image_hypotheses(by_i, by_j, ni - 1, nj - 1, nk - 1)
    slope_b = qb / qa
    slope_c = qc / qa
    start_b = sb - sa * slope_b
    start_c = sc - sa * slope_c
    low, high = _clip(start_b, slope_b, 0.0, last_b, 0 * qa, 0 * qa + last_a)
    low, high = _clip(start_c, slope_c, 0.0, last_c, low, high)
    low = tl.where(qa > 0, tl.maximum(low, sa), low)  # nothing behind the source
    high = tl.where(qa > 0, high, tl.minimum(high, sa))
    crosses = inside & (high >= low)
    if WANTED:
        crosses = crosses & (tl.load(wanted + place, mask=inside, other=0) != 0)
    first = tl.where(crosses, tl.ceil(low), 0.0)
    count = tl.where(crosses, tl.floor(high) - first + 1, 0.0).to(tl.int32)
    at_b = tl.maximum(start_b + first * slope_b, 0.0).to(SAMPLED)
    at_c = tl.maximum(start_c + first * slope_c, 0.0).to(SAMPLED)
    by_b = slope_b.to(SAMPLED)
    by_c = slope_c.to(SAMPLED)
    # Axis b lies along the cache lines of both copies, see `torch_drr.stored_twice`.
    stride_a = tl.where(by_i, voxels // ni, tl.where(by_j, ni, ni * nj))
    stride_c = tl.where(by_i, nj, tl.where(by_j, ni * nj, ni))
    offset = tl.where(by_i, voxels, 0) + first.to(tl.int32) * stride_a
    mu = tl.zeros((ROWS, COLUMNS), SAMPLED)
    gb = tl.zeros((ROWS, COLUMNS), SAMPLED)
    gc = tl.zeros((ROWS, COLUMNS), SAMPLED)
    kgb = tl.zeros((ROWS, COLUMNS), SAMPLED)
    kgc = tl.zeros((ROWS, COLUMNS), SAMPLED)
    for k in range(tl.max(count)):
        on = k < count
        pb = at_b + k * by_b
        pc = at_c + k * by_c
        b = pb.to(tl.int32)
        c = pc.to(tl.int32)
        cell = values + (offset + k * stride_a + b + c * stride_c)
        v00 = tl.load(cell, mask=on, other=0).to(SAMPLED)
        v10 = tl.load(cell + 1, mask=on, other=0).to(SAMPLED)
        v01 = tl.load(cell + stride_c, mask=on, other=0).to(SAMPLED)
        v11 = tl.load(cell + stride_c + 1, mask=on, other=0).to(SAMPLED)
        d0 = v10 - v00
        d1 = v11 - v01
        below = v00 + (pb - b) * d0
        dc = v01 + (pb - b) * d1 - below
        mu += below + (pc - c) * dc
        if JACOBIAN:
            db = d0 + (pc - c) * (d1 - d0)
            gb += db
            gc += dc
            kgb += k * db
            kgc += k * dc
    qx, qy, qz = _in_world(beam, qi, qj, qk)
    w = tl.sqrt(qx * qx + qy * qy + qz * qz) / tl.abs(qa)
    tl.store(images + place, w * mu, mask=inside)
    if JACOBIAN:
        z0 = (first - sa) / qa
        hb = z0 * gb + kgb / qa
        hc = z0 * gc + kgc / qa
        ga = -(by_b * gb + by_c * gc)
        ha = -(mu / qa + by_b * hb + by_c * hc)
        # Covariant: world gradient = index_from_world^T g. The CT moves, so every sign turns.
        gi, gj, gk = _back(by_i, by_j, ga, gb, gc)
        hi, hj, hk = _back(by_i, by_j, ha, hb, hc)
        gx, gy, gz = _moved_against(beam, -w, gi, gj, gk)
        hx, hy, hz = _moved_against(beam, -w, hi, hj, hk)
        x, y, z = _in_world(
            beam,
            tl.load(beam + SOURCE_STEP),
            tl.load(beam + SOURCE_STEP + 1),
            tl.load(beam + SOURCE_STEP + 2),
        )
        x = tl.load(beam + LEVER) + v * x
        y = tl.load(beam + LEVER + 1) + v * y
        z = tl.load(beam + LEVER + 2) + v * z
        here = by_pose + place
        tl.store(here, y * gz - z * gy + qy * hz - qz * hy, mask=inside)
        tl.store(here + pixels, z * gx - x * gz + qz * hx - qx * hz, mask=inside)
        tl.store(here + 2 * pixels, x * gy - y * gx + qx * hy - qy * hx, mask=inside)
        tl.store(here + 3 * pixels, gx, mask=inside)
        tl.store(here + 4 * pixels, gy, mask=inside)
        tl.store(here + 5 * pixels, gz, mask=inside)


@triton.jit(do_not_specialize=[*SIZES, "width", "too_many"])
def _mark_unseen(
    beams: tensor,
    end_slices: tensor,
    seen: tensor,
    rows: tensor,
    columns: tensor,
    ni: tensor,
    nj: tensor,
    nk: tensor,
    width: tensor,
    step_mm: tensor,
    too_many: tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Mark which rays of a tile are seen, see `cpu.mark_unseen`."""
    v, u, place, inside = _pixels(rows, columns, ROWS, COLUMNS)
    beam = beams + tl.program_id(2) * BEAM
    si, sj, sk, qi, qj, qk = _rays(beam, v, u)
    qx, qy, qz = _in_world(beam, qi, qj, qk)
    step = step_mm / tl.sqrt(qx * qx + qy * qy + qz * qz)
    tissue = tl.zeros((ROWS, COLUMNS), tl.int32)
    for side in tl.static_range(6):
        if tl.load(beam + CUT + side) > 0:
            by_i = side < 2
            by_j = side // 2 == 1
            sa, sb, sc = _turned_image_hypotheses(by_i, by_j, si, sj, sk)
            qa, qb, qc = _turned_image_hypotheses(by_i, by_j, qi, qj, qk)
            na, nb, nc = _turned_image_hypotheses(by_i, by_j, ni, nj, nk)
            bottom = -1e9 if side % 2 == 0 else na - 2.0
            top = 1.0 if side % 2 == 0 else 1e9
            low = 0 * qa
            high = low + tl.load(beam + DEPTH)
            low, high = _clip(sa, qa, bottom, top, low, high)
            low, high = _clip(sb, qb, 0.0, nb - 1.0, low, high)
            low, high = _clip(sc, qc, 0.0, nc - 1.0, low, high)
            z = low + 0.5 * step
            count = tl.where(inside & (high > z), tl.ceil((high - z) / step), 0).to(tl.int32)
            for k in range(tl.max(count)):
                on = k < count
                b = (sb + (z + k * step) * qb + 0.5).to(tl.int32)
                c = (sc + (z + k * step) * qc + 0.5).to(tl.int32)
                found = tl.load(end_slices + (side * width + c) * width + b, mask=on, other=0)
                tissue += (found != 0).to(tl.int32)
    tl.store(seen + place, (tissue < too_many).to(tl.uint8), mask=inside)
