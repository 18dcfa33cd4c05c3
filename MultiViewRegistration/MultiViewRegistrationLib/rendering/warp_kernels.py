"""The kernels of `gpu.py`, a thread for each ray; `cpu.py` defines what they compute."""

# No annotations from the __future__: Warp reads those of its kernels.
import warp as wp

from .cpu import UNSEEN_TISSUE_MM

wp.config.quiet = True  # and, in newer versions, the same:
wp.config.log_level = 30
wp.set_module_options({"enable_backward": False, "fast_math": True})

f64 = wp.float64
Floats, Floats2d = wp.array(dtype=wp.float32), wp.array2d(dtype=wp.float32)
Doubles, Doubles2d = wp.array(dtype=wp.float64), wp.array2d(dtype=wp.float64)
Bytes, Bytes2d, Bytes3d = wp.array(dtype=wp.uint8), wp.array2d(dtype=wp.uint8), wp.array3d(dtype=wp.uint8)

#: Numbers of a pose: source, step_u, step_v, corner, index_from_world, world_from_index, lever, source_step; see `cpu.project_rows`.
BEAM = 36
_SOURCE, _STEP_U, _STEP_V, _CORNER, _INDEX_FROM_WORLD, _WORLD_FROM_INDEX, _LEVER, _SOURCE_STEP = (
    wp.constant(number) for number in (0, 3, 6, 9, 12, 21, 30, 33)
)
_UNSEEN_MM = wp.constant(f64(UNSEEN_TISSUE_MM))
_FAR = wp.constant(f64(1e9))
Sums = wp.types.vector(length=5, dtype=wp.float32)


@wp.func
def _vector(beams: Doubles2d, n: int, first: int) -> wp.vec3d:
    return wp.vec3d(beams[n, first], beams[n, first + 1], beams[n, first + 2])


@wp.func
def _matrix(beams: Doubles2d, n: int, first: int) -> wp.mat33d:
    return wp.matrix_from_rows(_vector(beams, n, first), _vector(beams, n, first + 3), _vector(beams, n, first + 6))


@wp.func
def _direction(beams: Doubles2d, n: int, row: int, column: int) -> wp.vec3d:
    """Of a ray, in voxels per mm of depth."""
    return _vector(beams, n, _CORNER) + f64(column) * _vector(beams, n, _STEP_U) + f64(row) * _vector(beams, n, _STEP_V)


@wp.func
def _source(beams: Doubles2d, n: int, row: int) -> wp.vec3d:
    """Of the rays of a row, in voxels."""
    return _vector(beams, n, _SOURCE) + f64(row) * _vector(beams, n, _SOURCE_STEP)


@wp.func
def _clip(start: f64, slope: f64, bottom: f64, top: f64, span: wp.vec2d) -> wp.vec2d:
    """The part of the span of z at which start + z slope lies in [bottom, top]; an empty one has its end before its beginning."""
    if wp.abs(slope) < f64(1e-9):
        if start < bottom or start > top:
            return wp.vec2d(f64(1.0), f64(0.0))
        return span
    z0 = (bottom - start) / slope
    z1 = (top - start) / slope
    return wp.vec2d(wp.max(span[0], wp.min(z0, z1)), wp.min(span[1], wp.max(z0, z1)))


@wp.func
def _axes(q: wp.vec3d) -> wp.vec3i:
    """The axis that a ray follows most closely, and the two others."""
    i, j, k = wp.abs(q[0]), wp.abs(q[1]), wp.abs(q[2])
    if i >= j and i >= k:
        return wp.vec3i(0, 1, 2)
    if j >= k:
        return wp.vec3i(1, 0, 2)
    return wp.vec3i(2, 0, 1)


@wp.struct
class Crossings:
    """The planes of axis `a` that a ray crosses within the volume: `count` from `first` on, there at (b, c), which change by slopes."""

    axes: wp.vec3i
    first: int
    count: int
    b: f64
    c: f64
    slope_b: f64
    slope_c: f64


@wp.func
def _crossings(shape: wp.vec3d, source: wp.vec3d, q: wp.vec3d) -> Crossings:
    """See `cpu._crossings`."""
    one = f64(1.0)
    axes = _axes(q)
    a, b, c = axes[0], axes[1], axes[2]
    slope_b = q[b] / q[a]
    slope_c = q[c] / q[a]
    start_b = source[b] - source[a] * slope_b
    start_c = source[c] - source[a] * slope_c
    span = wp.vec2d(f64(0.0), shape[a] - one)
    span = _clip(start_b, slope_b, f64(0.0), shape[b] - one, span)
    span = _clip(start_c, slope_c, f64(0.0), shape[c] - one, span)
    low, high = span[0], span[1]
    if q[a] > f64(0.0):  # nothing behind the source
        low = wp.max(low, source[a])
    else:
        high = wp.min(high, source[a])
    crossings = Crossings()
    crossings.axes = axes
    crossings.slope_b = slope_b
    crossings.slope_c = slope_c
    crossings.count = 0
    if high >= low:
        first = wp.ceil(low)
        crossings.first = int(first)
        crossings.count = int(wp.floor(high)) - int(first) + 1
        crossings.b = wp.max(start_b + first * slope_b, f64(0.0))
        crossings.c = wp.max(start_c + first * slope_c, f64(0.0))
    return crossings


@wp.func
def _march(
    values: Floats,
    offset: int,
    stride_a: int,
    stride_b: int,
    stride_c: int,
    count: int,
    b: float,
    c: float,
    slope_b: float,
    slope_c: float,
) -> Sums:
    """Sums over `count` planes of mu, its two derivatives in the plane, and these times the plane's number."""
    mu, gb, gc, kgb, kgc = float(0.0), float(0.0), float(0.0), float(0.0), float(0.0)  # noqa: UP018 (Warp's way to a variable)
    for k in range(count):
        fk = float(k)
        pb = b + fk * slope_b
        pc = c + fk * slope_c
        ib = int(pb)
        ic = int(pc)
        wb = pb - float(ib)
        wc = pc - float(ic)
        o = offset + k * stride_a + ib * stride_b + ic * stride_c
        v00 = values[o]
        v01 = values[o + stride_c]
        d0 = values[o + stride_b] - v00
        d1 = values[o + stride_b + stride_c] - v01
        low = v00 + wb * d0
        dc = v01 + wb * d1 - low
        db = d0 + wc * (d1 - d0)
        mu += low + wc * dc
        gb += db
        gc += dc
        kgb += fk * db
        kgc += fk * dc
    return Sums(mu, gb, gc, kgb, kgc)


@wp.kernel
def project_rays(
    values: Floats,
    ni: int,
    nj: int,
    nk: int,
    beams: Doubles2d,
    rows: int,
    columns: int,
    wanted: Bytes,
    image: Floats,
    jacobian: Floats2d,
):
    """One ray: see `cpu.project_rows`."""
    ray = wp.tid()
    image[ray] = 0.0
    if jacobian.shape[1] > 0:
        for p in range(6):
            jacobian[p, ray] = 0.0
    if wanted.shape[0] > 0:  # noqa: SIM102 (Warp looks at both)
        if wanted[ray] == wp.uint8(0):
            return
    n = ray // (rows * columns)
    row = (ray // columns) % rows
    source = _source(beams, n, row)
    q = _direction(beams, n, row, ray % columns)
    at = _crossings(wp.vec3d(f64(ni), f64(nj), f64(nk)), source, q)
    if at.count <= 0:
        return
    a, b, c = at.axes[0], at.axes[1], at.axes[2]
    stride = wp.vec3i(1, ni, ni * nj)
    sums = _march(
        values,
        at.first * stride[a],
        stride[a],
        stride[b],
        stride[c],
        at.count,
        float(at.b),
        float(at.c),
        float(at.slope_b),
        float(at.slope_c),
    )
    world_from_index = _matrix(beams, n, _WORLD_FROM_INDEX)
    q_mm = world_from_index * q
    w = wp.length(q_mm) / wp.abs(q[a])
    mu = f64(sums[0])
    image[ray] = float(w * mu)
    if jacobian.shape[1] == 0:
        return
    gb, gc = f64(sums[1]), f64(sums[2])
    z0 = (f64(at.first) - source[a]) / q[a]
    hb = z0 * gb + f64(sums[3]) / q[a]
    hc = z0 * gc + f64(sums[4]) / q[a]
    g, h = wp.vec3d(), wp.vec3d()
    g[b] = gb
    g[c] = gc
    g[a] = -(at.slope_b * gb + at.slope_c * gc)
    h[b] = hb
    h[c] = hc
    h[a] = -(mu / q[a] + at.slope_b * hb + at.slope_c * hc)
    # Covariant: world gradient = index_from_world^T g. The CT moves, so every sign turns.
    world_from_gradient = wp.transpose(_matrix(beams, n, _INDEX_FROM_WORLD))
    force = -w * (world_from_gradient * g)
    lever = _vector(beams, n, _LEVER) + f64(row) * (world_from_index * _vector(beams, n, _SOURCE_STEP))
    torque = wp.cross(lever, force) + wp.cross(q_mm, -w * (world_from_gradient * h))
    for p in range(3):
        jacobian[p, ray] = float(torque[p])
        jacobian[3 + p, ray] = float(force[p])


@wp.kernel
def mark_unseen_rays(
    cut: Bytes2d,
    end_slices: Bytes3d,
    depth: Doubles,
    ni: int,
    nj: int,
    nk: int,
    beams: Doubles2d,
    rows: int,
    columns: int,
    seen: Bytes,
):
    """One ray: see `cpu.mark_unseen`."""
    ray = wp.tid()
    n = ray // (rows * columns)
    source = _source(beams, n, (ray // columns) % rows)
    q = _direction(beams, n, (ray // columns) % rows, ray % columns)
    shape = wp.vec3d(f64(ni), f64(nj), f64(nk))
    length = wp.length(_matrix(beams, n, _WORLD_FROM_INDEX) * q)
    step = _UNSEEN_MM / (f64(2.5) * length)
    half, one, zero = f64(0.5), f64(1.0), f64(0.0)
    unseen = f64(0.0)
    for side in range(6):
        if cut[n, side] != wp.uint8(0):
            a = side // 2
            b, c = 0, 2
            if a == 0:
                b = 1
            if a == 2:
                c = 1
            bottom, top = -_FAR, one
            if side % 2 == 1:
                bottom, top = shape[a] - f64(2.0), _FAR
            span = _clip(source[a], q[a], bottom, top, wp.vec2d(zero, depth[n]))
            span = _clip(source[b], q[b], zero, shape[b] - one, span)
            span = _clip(source[c], q[c], zero, shape[c] - one, span)
            z = span[0] + half * step
            while z < span[1] and unseen <= _UNSEEN_MM:
                row, column = int(source[c] + z * q[c] + half), int(source[b] + z * q[b] + half)
                if end_slices[side, row, column] != wp.uint8(0):
                    unseen += step * length
                z += step
    if unseen > _UNSEEN_MM:
        seen[ray] = wp.uint8(0)
