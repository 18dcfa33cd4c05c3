"""The kernels of `gpu.py`, a thread for each ray; what they compute is told in `cpu.py`."""

# No annotations from the __future__: Warp reads those of its kernels.
import warp as wp

from .cpu import UNSEEN_TISSUE_MM

wp.config.quiet = True  # and, in newer versions, the same:
wp.config.log_level = 30
wp.set_module_options({"enable_backward": False, "fast_math": True})

#: Numbers of a pose: source, step_u, step_v, corner, index_from_world, world_from_index, lever; see `cpu.project_rows`.
BEAM = 33
_SOURCE, _STEP_U, _STEP_V, _CORNER, _INDEX_FROM_WORLD, _WORLD_FROM_INDEX, _LEVER = (
    wp.constant(number) for number in (0, 3, 6, 9, 12, 21, 30)
)
_UNSEEN_MM = wp.constant(wp.float64(UNSEEN_TISSUE_MM))
_FAR = wp.constant(wp.float64(1e9))
Sums = wp.types.vector(length=5, dtype=wp.float32)


@wp.func
def _vector(beams: wp.array2d(dtype=wp.float64), n: int, first: int) -> wp.vec3d:
    return wp.vec3d(beams[n, first], beams[n, first + 1], beams[n, first + 2])


@wp.func
def _matrix(beams: wp.array2d(dtype=wp.float64), n: int, first: int) -> wp.mat33d:
    return wp.matrix_from_rows(_vector(beams, n, first), _vector(beams, n, first + 3), _vector(beams, n, first + 6))


@wp.func
def _direction(beams: wp.array2d(dtype=wp.float64), n: int, row: int, column: int) -> wp.vec3d:
    """Of a ray, in voxels per mm of depth."""
    return (
        _vector(beams, n, _CORNER)
        + wp.float64(column) * _vector(beams, n, _STEP_U)
        + wp.float64(row) * _vector(beams, n, _STEP_V)
    )


@wp.func
def _clip(start: wp.float64, slope: wp.float64, bottom: wp.float64, top: wp.float64, span: wp.vec2d) -> wp.vec2d:
    """The part of the span of z at which start + z slope lies in [bottom, top]; an empty one has its end before its beginning."""
    if wp.abs(slope) < wp.float64(1e-9):
        if start < bottom or start > top:
            return wp.vec2d(wp.float64(1.0), wp.float64(0.0))
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
    b: wp.float64
    c: wp.float64
    slope_b: wp.float64
    slope_c: wp.float64


@wp.func
def _crossings(shape: wp.vec3d, source: wp.vec3d, q: wp.vec3d) -> Crossings:
    """See `cpu._crossings`."""
    one = wp.float64(1.0)
    axes = _axes(q)
    a, b, c = axes[0], axes[1], axes[2]
    slope_b = q[b] / q[a]
    slope_c = q[c] / q[a]
    start_b = source[b] - source[a] * slope_b
    start_c = source[c] - source[a] * slope_c
    span = wp.vec2d(wp.float64(0.0), shape[a] - one)
    span = _clip(start_b, slope_b, wp.float64(0.0), shape[b] - one, span)
    span = _clip(start_c, slope_c, wp.float64(0.0), shape[c] - one, span)
    low, high = span[0], span[1]
    if q[a] > wp.float64(0.0):  # nothing behind the source
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
        crossings.b = wp.max(start_b + first * slope_b, wp.float64(0.0))
        crossings.c = wp.max(start_c + first * slope_c, wp.float64(0.0))
    return crossings


@wp.func
def _march(
    values: wp.array(dtype=wp.float32),
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


@wp.func
def ray_of(thread: int, rays: wp.array(dtype=wp.int32)) -> int:
    """The ray that a thread follows."""
    if rays.shape[0] > 0:
        return rays[thread]
    return thread


@wp.func
def begun(
    thread: int,
    ray: int,
    ni: int,
    nj: int,
    nk: int,
    beams: wp.array2d(dtype=wp.float64),
    rows: int,
    columns: int,
    wanted: wp.array(dtype=wp.uint8),
    image: wp.array(dtype=wp.float32),
    jacobian: wp.array2d(dtype=wp.float32),
) -> Crossings:
    """The planes that a ray crosses, none where it is not wanted; its pixel is 0 so far."""
    image[thread] = 0.0
    if jacobian.shape[1] > 0:
        for p in range(6):
            jacobian[p, thread] = 0.0
    if wanted.shape[0] > 0:  # noqa: SIM102 (Warp looks at both)
        if wanted[ray] == wp.uint8(0):
            return Crossings()
    n = ray // (rows * columns)
    return _crossings(
        wp.vec3d(wp.float64(ni), wp.float64(nj), wp.float64(nk)),
        _vector(beams, n, _SOURCE),
        _direction(beams, n, (ray // columns) % rows, ray % columns),
    )


@wp.func
def done(
    thread: int,
    ray: int,
    at: Crossings,
    sums: Sums,
    beams: wp.array2d(dtype=wp.float64),
    rows: int,
    columns: int,
    image: wp.array(dtype=wp.float32),
    jacobian: wp.array2d(dtype=wp.float32),
):
    """Make pixel and derivative of the sums over the planes that a ray crosses, see `_march`."""
    n = ray // (rows * columns)
    source = _vector(beams, n, _SOURCE)
    q = _direction(beams, n, (ray // columns) % rows, ray % columns)
    a, b, c = at.axes[0], at.axes[1], at.axes[2]
    q_mm = _matrix(beams, n, _WORLD_FROM_INDEX) * q
    w = wp.length(q_mm) / wp.abs(q[a])
    mu = wp.float64(sums[0])
    image[thread] = float(w * mu)
    if jacobian.shape[1] == 0:
        return
    gb, gc = wp.float64(sums[1]), wp.float64(sums[2])
    z0 = (wp.float64(at.first) - source[a]) / q[a]
    hb = z0 * gb + wp.float64(sums[3]) / q[a]
    hc = z0 * gc + wp.float64(sums[4]) / q[a]
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
    torque = wp.cross(_vector(beams, n, _LEVER), force) + wp.cross(q_mm, -w * (world_from_gradient * h))
    for p in range(3):
        jacobian[p, thread] = float(torque[p])
        jacobian[3 + p, thread] = float(force[p])


@wp.kernel
def project_rays(
    values: wp.array(dtype=wp.float32),
    ni: int,
    nj: int,
    nk: int,
    beams: wp.array2d(dtype=wp.float64),
    rows: int,
    columns: int,
    rays: wp.array(dtype=wp.int32),
    wanted: wp.array(dtype=wp.uint8),
    image: wp.array(dtype=wp.float32),
    jacobian: wp.array2d(dtype=wp.float32),
):
    """One ray: see `cpu.project_rows`."""
    thread = wp.tid()
    ray = ray_of(thread, rays)
    at = begun(thread, ray, ni, nj, nk, beams, rows, columns, wanted, image, jacobian)
    if at.count > 0:
        stride = wp.vec3i(1, ni, ni * nj)
        a, b, c = at.axes[0], at.axes[1], at.axes[2]
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
        done(thread, ray, at, sums, beams, rows, columns, image, jacobian)


@wp.func
def _is_tissue(
    side: int,
    row: int,
    column: int,
    i0: wp.array2d(dtype=wp.uint8),
    i1: wp.array2d(dtype=wp.uint8),
    j0: wp.array2d(dtype=wp.uint8),
    j1: wp.array2d(dtype=wp.uint8),
    k0: wp.array2d(dtype=wp.uint8),
    k1: wp.array2d(dtype=wp.uint8),
) -> bool:
    tissue = wp.uint8(0)
    if side == 0:
        tissue = i0[row, column]
    elif side == 1:
        tissue = i1[row, column]
    elif side == 2:
        tissue = j0[row, column]
    elif side == 3:
        tissue = j1[row, column]
    elif side == 4:
        tissue = k0[row, column]
    else:
        tissue = k1[row, column]
    return tissue != wp.uint8(0)


@wp.kernel
def mark_unseen_rays(
    cut: wp.array2d(dtype=wp.uint8),
    i0: wp.array2d(dtype=wp.uint8),
    i1: wp.array2d(dtype=wp.uint8),
    j0: wp.array2d(dtype=wp.uint8),
    j1: wp.array2d(dtype=wp.uint8),
    k0: wp.array2d(dtype=wp.uint8),
    k1: wp.array2d(dtype=wp.uint8),
    ni: int,
    nj: int,
    nk: int,
    beams: wp.array2d(dtype=wp.float64),
    depth: wp.array(dtype=wp.float64),
    rows: int,
    columns: int,
    seen: wp.array(dtype=wp.uint8),
):
    """One ray: see `cpu.mark_unseen`."""
    ray = wp.tid()
    n = ray // (rows * columns)
    source = _vector(beams, n, _SOURCE)
    q = _direction(beams, n, (ray // columns) % rows, ray % columns)
    shape = wp.vec3d(wp.float64(ni), wp.float64(nj), wp.float64(nk))
    length = wp.length(_matrix(beams, n, _WORLD_FROM_INDEX) * q)
    step = _UNSEEN_MM / (wp.float64(2.5) * length)
    half, one, zero = wp.float64(0.5), wp.float64(1.0), wp.float64(0.0)
    unseen = wp.float64(0.0)
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
                bottom, top = shape[a] - wp.float64(2.0), _FAR
            span = _clip(source[a], q[a], bottom, top, wp.vec2d(zero, depth[n]))
            span = _clip(source[b], q[b], zero, shape[b] - one, span)
            span = _clip(source[c], q[c], zero, shape[c] - one, span)
            z = span[0] + half * step
            while z < span[1] and unseen <= _UNSEEN_MM:
                if _is_tissue(
                    side, int(source[c] + z * q[c] + half), int(source[b] + z * q[b] + half), i0, i1, j0, j1, k0, k1
                ):
                    unseen += step * length
                z += step
    if unseen > _UNSEEN_MM:
        seen[ray] = wp.uint8(0)


@wp.kernel
def back_project_rays(
    values: wp.array(dtype=wp.float32),
    ni: int,
    nj: int,
    nk: int,
    beams: wp.array2d(dtype=wp.float64),
    rows: int,
    columns: int,
    gradient: wp.array(dtype=wp.float32),
):
    """Adds one ray to all voxels that it looks at, with the weights of `project_rays`."""
    ray = wp.tid()
    if gradient[ray] == 0.0:
        return
    n = ray // (rows * columns)
    q = _direction(beams, n, (ray // columns) % rows, ray % columns)
    at = _crossings(wp.vec3d(wp.float64(ni), wp.float64(nj), wp.float64(nk)), _vector(beams, n, _SOURCE), q)
    a, b, c = at.axes[0], at.axes[1], at.axes[2]
    stride = wp.vec3i(1, ni, ni * nj)
    share = float(wp.length(_matrix(beams, n, _WORLD_FROM_INDEX) * q) / wp.abs(q[a])) * gradient[ray]
    for k in range(at.count):
        pb = float(at.b) + float(k) * float(at.slope_b)
        pc = float(at.c) + float(k) * float(at.slope_c)
        ib = int(pb)
        ic = int(pc)
        wb = pb - float(ib)
        wc = pc - float(ic)
        o = (at.first + k) * stride[a] + ib * stride[b] + ic * stride[c]
        wp.atomic_add(values, o, share * (1.0 - wb) * (1.0 - wc))
        wp.atomic_add(values, o + stride[b], share * wb * (1.0 - wc))
        wp.atomic_add(values, o + stride[c], share * (1.0 - wb) * wc)
        wp.atomic_add(values, o + stride[b] + stride[c], share * wb * wc)
