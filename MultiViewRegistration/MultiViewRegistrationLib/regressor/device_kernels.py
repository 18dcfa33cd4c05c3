"""The kernels of `device_images.py`, a thread for each pixel; what they compute is told in `march.py` and `exposure.py`.

Geometry and intensities are in double precision, images are kept in single, as there.
"""

# No annotations from the __future__: Warp reads those of its kernels.
import warp as wp

from . import drawn
from .bases import MOST_OBLIQUE
from .draw_kernels import variant
from .draws import STRIDE, bell, mixed
from .exposure import COARSE, FADE, HARDER_BY_MEAN, SOFTER_BY_MEAN, THINNEST
from .on_warp import on_warp

wp.config.quiet = True  # and, in newer versions, the same:
wp.config.log_level = 30
wp.set_module_options({"enable_backward": False, "fast_math": True})

f64, u64 = wp.float64, wp.uint64

#: Numbers of a stack: where it begins among the words, shape, stored, steps.
STACK = 9
#: Numbers of an image's march: those of its stack, source, directions, world_from_index.
RAYS = 30
#: Of a CT: single slices across its three axes, and double ones.
_STACKS = wp.constant(6)
_MOST_OBLIQUE = wp.constant(f64(MOST_OBLIQUE))
_STACK, _FIRST, _SHAPE, _STORED, _STEPS, _SOURCE, _DIRECTIONS, _WORLD = (
    wp.constant(number) for number in (STACK, 0, 1, 4, 6, 9, 12, 21)
)
(
    _SOFT,
    _OTHERS_SOFT,
    _BONE,
    _DENSE,
    _SOFT_END,
    _BONE_END,
    _METAL_END,
    _SOFTER,
    _PHOTONS,
    _BRIGHTEST,
    _DARKEST,
    _BORDER,
    _BLADES,
    _ROUND,
    _BOXES,
    _MOST_BOXES,
    _GHOSTS,
    _GHOST,
    _MOST_GHOSTS,
) = (
    wp.constant(number)
    for number in (
        drawn.SOFT,
        drawn.OTHERS_SOFT,
        drawn.BONE,
        drawn.DENSE,
        drawn.SOFT_END,
        drawn.BONE_END,
        drawn.METAL_END,
        drawn.SOFTER,
        drawn.PHOTONS,
        drawn.BRIGHTEST,
        drawn.DARKEST,
        drawn.BORDER,
        drawn.BLADES,
        drawn.ROUND,
        drawn.BOXES,
        drawn.MOST_BOXES,
        drawn.GHOSTS,
        drawn.GHOST,
        drawn.MOST_GHOSTS,
    )
)
_BY_SOFTER, _BY_HARDER = wp.constant(wp.vec3d(*SOFTER_BY_MEAN)), wp.constant(wp.vec3d(*HARDER_BY_MEAN))
_COARSE, _FADE, _THINNEST = wp.constant(f64(COARSE)), wp.constant(f64(FADE)), wp.constant(f64(THINNEST))
_STRIDE = wp.constant(u64(int(STRIDE)))
_mixed, _bell = on_warp(mixed), on_warp(bell)


@wp.func
def _three(numbers: wp.array2d(dtype=f64), n: int, first: int) -> wp.vec3d:
    return wp.vec3d(numbers[n, first], numbers[n, first + 1], numbers[n, first + 2])


@wp.func
def _turn(matrices: wp.array3d(dtype=f64), n: int) -> wp.mat33d:
    """The upper left 3 x 3 of a matrix."""
    m = matrices
    return wp.mat33d(
        m[n, 0, 0], m[n, 0, 1], m[n, 0, 2], m[n, 1, 0], m[n, 1, 1], m[n, 1, 2], m[n, 2, 0], m[n, 2, 1], m[n, 2, 2]
    )


@wp.func
def _shift(matrices: wp.array3d(dtype=f64), n: int) -> wp.vec3d:
    return wp.vec3d(matrices[n, 0, 3], matrices[n, 1, 3], matrices[n, 2, 3])


@wp.func
def _oblique(index_from_ct: wp.array3d(dtype=f64), stack: int, direction: wp.vec3d) -> f64:
    """Voxels sideways from one slice to the next."""
    along = _turn(index_from_ct, stack) * direction
    return wp.max(wp.abs(along[0]), wp.abs(along[1])) / wp.max(wp.abs(along[2]), f64(1e-12))


@wp.kernel
def aim(
    stacks: wp.array2d(dtype=f64),
    index_from_ct: wp.array3d(dtype=f64),
    ct_from_index: wp.array3d(dtype=f64),
    key: wp.array(dtype=wp.int64),
    poses: wp.array3d(dtype=f64),
    cameras: wp.array3d(dtype=f64),
    rows: int,
    columns: int,
    rays: wp.array2d(dtype=f64),
):
    """What `march_rays` needs of one image: the stack into which its middle looks most straight, and its rays there.

    See `bases.Stacks.rays`.   stacks: (6 variants, STACK).   index_from_ct, ct_from_index: (6 variants, 4, 4).
    key: (1,) of the batch, see `motions`.   poses: (n, 4, 4) world_from_ct.
    cameras: (views, 4, 4), of the rays through pixels, in the world, and the source; image n is of view n mod views.
    rays: (n, RAYS), out.
    """
    n = wp.tid()
    view = n % cameras.shape[0]
    world_from_ct = _turn(poses, n)
    ct_from_world = wp.transpose(world_from_ct)
    ct_from_pixel = ct_from_world * _turn(cameras, view)
    half = f64(0.5)
    middle = ct_from_pixel * wp.vec3d(half * f64(columns - 1), half * f64(rows - 1), f64(1.0))
    stack = int(variant(u64(key[0]), u64(stacks.shape[0] // _STACKS))) * _STACKS
    straight = stack
    for axis in range(1, 3):
        if _oblique(index_from_ct, stack + axis, middle) < _oblique(index_from_ct, straight, middle):
            straight = stack + axis
    if _oblique(index_from_ct, straight + 3, middle) <= _MOST_OBLIQUE:
        straight += 3
    for number in range(_STACK):
        rays[n, number] = stacks[straight, number]
    index_from_pixel = _turn(index_from_ct, straight) * ct_from_pixel
    source = _turn(index_from_ct, straight) * (ct_from_world * (_shift(cameras, view) - _shift(poses, n)))
    source += _shift(index_from_ct, straight)
    world_from_index = world_from_ct * _turn(ct_from_index, straight)
    for i in range(3):
        rays[n, _SOURCE + i] = source[i]
        for j in range(3):
            rays[n, _DIRECTIONS + 3 * i + j] = index_from_pixel[j, i]
            rays[n, _WORLD + 3 * i + j] = world_from_index[i, j]


@wp.func
def _clip(start: f64, slope: f64, top: f64, span: wp.vec2d) -> wp.vec2d:
    """The part of the span of z at which start + z slope lies in [0, top]; an empty one has its end before its beginning."""
    if wp.abs(slope) < f64(1e-9):
        if start < f64(0.0) or start > top:
            return wp.vec2d(f64(1.0), f64(0.0))
        return span
    z0 = -start / slope
    z1 = (top - start) / slope
    return wp.vec2d(wp.max(span[0], wp.min(z0, z1)), wp.min(span[1], wp.max(z0, z1)))


@wp.func
def _widened(word: u64) -> u64:
    """Lanes of 10 bits in lanes of 21."""
    return ((word & u64(0x3FF)) | ((word & u64(0xFFC00)) << u64(11))) | ((word & u64(0x3FF00000)) << u64(22))


@wp.func
def _sums(
    words: wp.array(dtype=wp.int32),
    offset: int,
    row: int,
    plane: int,
    count: int,
    b: f64,
    c: f64,
    slope_b: f64,
    slope_c: f64,
) -> wp.vec3d:
    """Sums of the three lanes over `count` planes, times 64; see `march._march`."""
    one = f64(1048576.0)
    half = f64(65536.0)
    place = u64(wp.int64(b * one + half)) + (u64(wp.int64(c * one + half)) << u64(32))
    move = u64(wp.int64(wp.floor(slope_b * one + f64(0.5)))) + (
        u64(wp.int64(wp.floor(slope_c * one + f64(0.5)))) << u64(32)
    )
    at = int(offset)
    total = u64(0)
    sums = wp.vec3d()
    for k in range(count):
        o = at + int((place >> u64(20)) & u64(0xFFF)) + int(place >> u64(52)) * row
        wb = (place >> u64(17)) & u64(7)
        wc = (place >> u64(49)) & u64(7)
        low = u64(words[o])
        high = u64(words[o + row])
        low = _widened((low << u64(3)) + wb * (u64(words[o + 1]) - low))
        high = _widened((high << u64(3)) + wb * (u64(words[o + row + 1]) - high))
        total += (low << u64(3)) + wc * (high - low)
        at += plane
        place += move
        if (k & 255) == 255 or k == count - 1:  # a lane holds no more
            sums += wp.vec3d(f64(total & u64(0x1FFFFF)), f64((total >> u64(21)) & u64(0x1FFFFF)), f64(total >> u64(42)))
            total = u64(0)
    return sums


@wp.kernel
def march_rays(
    words: wp.array(dtype=wp.int32),
    rays: wp.array2d(dtype=f64),
    rows: int,
    columns: int,
    bases: wp.array4d(dtype=wp.float32),
):
    """Line integrals of the three bases along one ray: see `march.project`.

    words: of all stacks, one after the other.   rays: (n, RAYS).   bases: (n, 3, rows, columns), out.
    """
    n, r, c = wp.tid()
    for lane in range(3):
        bases[n, lane, r, c] = 0.0
    source = _three(rays, n, _SOURCE)
    q = (
        _three(rays, n, _DIRECTIONS + 6)
        + f64(c) * _three(rays, n, _DIRECTIONS)
        + f64(r) * _three(rays, n, _DIRECTIONS + 3)
    )
    if wp.abs(q[2]) < f64(1e-9):
        return
    one = f64(1.0)
    slope_0 = q[0] / q[2]
    slope_1 = q[1] / q[2]
    start_0 = source[0] - source[2] * slope_0
    start_1 = source[1] - source[2] * slope_1
    span = wp.vec2d(f64(0.0), rays[n, _SHAPE + 2] - one)
    span = _clip(start_0, slope_0, rays[n, _SHAPE] - one, span)
    span = _clip(start_1, slope_1, rays[n, _SHAPE + 1] - one, span)
    low, high = span[0], span[1]
    if q[2] > f64(0.0):  # nothing behind the source
        low = wp.max(low, source[2])
    else:
        high = wp.min(high, source[2])
    if high < low:
        return
    first = wp.ceil(low)
    count = int(wp.floor(high)) - int(first) + 1
    if count <= 0:
        return
    row = int(rays[n, _STORED])
    plane = row * int(rays[n, _STORED + 1])
    sums = _sums(
        words,
        int(rays[n, _FIRST]) + int(first) * plane,
        row,
        plane,
        count,
        wp.max(start_0 + first * slope_0, f64(0.0)),
        wp.max(start_1 + first * slope_1, f64(0.0)),
        slope_0,
        slope_1,
    )
    world = wp.matrix_from_rows(_three(rays, n, _WORLD), _three(rays, n, _WORLD + 3), _three(rays, n, _WORLD + 6))
    mm = wp.length(world * q) / wp.abs(q[2]) / f64(64.0)
    for lane in range(3):
        bases[n, lane, r, c] = float(mm * rays[n, _STEPS + lane] * sums[lane])


@wp.func
def _between(images: wp.array4d(dtype=wp.float32), n: int, of: int, x: f64, y: f64) -> f64:
    """An image between its pixels; see `exposure._bilinear`."""
    i = int(y)
    j = int(x)
    wy = y - f64(i)
    wx = x - f64(j)
    above = f64(images[n, of, i, j]) + wx * (f64(images[n, of, i, j + 1]) - f64(images[n, of, i, j]))
    below = f64(images[n, of, i + 1, j]) + wx * (f64(images[n, of, i + 1, j + 1]) - f64(images[n, of, i + 1, j]))
    return above + wy * (below - above)


@wp.func
def _ghost(
    bases: wp.array4d(dtype=wp.float32), numbers: wp.array2d(dtype=f64), n: int, first: int, along: f64, r: int, c: int
) -> wp.vec3d:
    """Soft tissue and bone of a copy of the anatomy; see `exposure._add_ghost`."""
    half = f64(0.5)
    rows, columns = f64(bases.shape[2]), f64(bases.shape[3])
    angle = numbers[n, first] + f64(2.0) * along * numbers[n, first + 1]
    a = numbers[n, first + 2] * wp.cos(angle)
    b = numbers[n, first + 2] * wp.sin(angle)
    dx = f64(c) - numbers[n, first + 3] * columns - half * columns
    dy = f64(r) - numbers[n, first + 4] * rows - half * rows
    u = a * dx + b * dy + half * columns
    v = b * dx - a * dy + half * rows
    right = columns - f64(1.0)
    bottom = rows - f64(1.0)
    if u < f64(0.0) or v < f64(0.0) or u >= right or v >= bottom:
        return wp.vec3d()
    faded = wp.min(f64(1.0), _FADE * wp.min(wp.min(u, v), wp.min(right - u, bottom - v)))
    return wp.vec3d(
        faded * numbers[n, first + 5] * _between(bases, n, 0, u, v),
        faded * numbers[n, first + 6] * (_between(bases, n, 1, u, v) + _between(bases, n, 2, u, v)),
        f64(0.0),
    )


@wp.func
def _capsule(
    capsules: wp.array3d(dtype=f64),
    n: int,
    k: int,
    along: f64,
    mm: f64,
    rows: int,
    columns: int,
    r: int,
    c: int,
) -> f64:
    """Nepers of a capsule; see `exposure.capsule`."""
    zero = f64(0.0)
    half = f64(0.5)
    start = wp.vec2d(capsules[n, k, 0], capsules[n, k, 1])
    end = wp.vec2d(capsules[n, k, 2], capsules[n, k, 3])
    if capsules[n, k, 8] > zero:
        pivot = wp.vec2d(capsules[n, k, 9], capsules[n, k, 10])
        turn = wp.matrix_from_rows(wp.vec2d(wp.cos(along), -wp.sin(along)), wp.vec2d(wp.sin(along), wp.cos(along)))
        start = pivot + turn * (start - pivot)
        end = pivot + turn * (end - pivot)
    middle = wp.vec2d(half * f64(columns - 1), half * f64(rows - 1))
    start = start / mm + middle
    way = end / mm + middle - start
    pixel = wp.vec2d(f64(c), f64(r)) - start
    t = wp.min(wp.max(wp.dot(pixel, way) / wp.max(wp.dot(way, way), f64(1e-9)), zero), f64(1.0))
    off = pixel - t * way
    true = (capsules[n, k, 4] + t * (capsules[n, k, 5] - capsules[n, k, 4])) / mm
    radius = wp.max(true, _THINNEST)
    inside = radius * radius - wp.dot(off, off)
    if inside <= zero:
        return zero
    chord = wp.sqrt(inside)
    hollow = capsules[n, k, 6]
    if hollow > zero:
        chord -= wp.sqrt(wp.max(inside - (f64(1.0) - hollow * hollow) * radius * radius, zero))
    return capsules[n, k, 7] * mm * f64(2.0) * chord * (true / radius) * (true / radius)


@wp.kernel
def attenuate(
    bases: wp.array4d(dtype=wp.float32),
    others: wp.array4d(dtype=wp.float32),
    numbers: wp.array2d(dtype=f64),
    capsules: wp.array3d(dtype=f64),
    along: wp.array(dtype=f64),
    mm: wp.array(dtype=f64),
    through: wp.array3d(dtype=wp.float32),
):
    """Share of the quanta that come through to one pixel: see `exposure._tissue` and `_detect`.

    bases: (n, 3, rows, columns).   others: the same of what moved by itself, or none.   along: (n,) rad, the anatomy's direction.
    mm: (n,) of a pixel.   through: (n, rows, columns), out.
    """
    n, r, c = wp.tid()
    bone = numbers[n, _BONE]
    dense = numbers[n, _DENSE]
    nepers = wp.vec3d(
        numbers[n, _SOFT] * f64(bases[n, 0, r, c]),
        bone * f64(bases[n, 1, r, c]) + dense * f64(bases[n, 2, r, c]),
        f64(0.0),
    )
    if others.shape[0] > 0:
        nepers += wp.vec3d(
            numbers[n, _OTHERS_SOFT] * f64(others[n, 0, r, c]),
            bone * f64(others[n, 1, r, c]) + dense * f64(others[n, 2, r, c]),
            f64(0.0),
        )
    for ghost in range(_MOST_GHOSTS):
        if numbers[n, _GHOSTS + ghost * _GHOST + 2] > f64(0.0):
            nepers += _ghost(bases, numbers, n, _GHOSTS + ghost * _GHOST, along[n], r, c)
    for k in range(int(numbers[n, _METAL_END])):
        layer = 0
        if k >= int(numbers[n, _BONE_END]):
            layer = 2
        elif k >= int(numbers[n, _SOFT_END]):
            layer = 1
        nepers[layer] = nepers[layer] + _capsule(capsules, n, k, along[n], mm[n], bases.shape[2], bases.shape[3], r, c)
    softer = numbers[n, _SOFTER]
    share = wp.exp(-(nepers[0] + nepers[1] + nepers[2]))
    if softer > f64(0.0):
        share = softer * wp.exp(-wp.dot(_BY_SOFTER, nepers)) + (f64(1.0) - softer) * wp.exp(-wp.dot(_BY_HARDER, nepers))
    through[n, r, c] = float(wp.min(share, f64(1.0)))


@wp.func
def _open(numbers: wp.array2d(dtype=f64), n: int, rows: int, columns: int, r: int, c: int) -> bool:
    """Whether a pixel lies in the field; see `field.close_field`."""
    zero = f64(0.0)
    half = f64(0.5)
    turn, left, right = numbers[n, _BLADES], numbers[n, _BLADES + 1], numbers[n, _BLADES + 2]
    top, bottom = numbers[n, _BLADES + 3], numbers[n, _BLADES + 4]
    x = (f64(c) + half) / f64(columns) - half
    y = (f64(r) + half) / f64(rows) - half
    a = x * wp.cos(turn) + y * wp.sin(turn)
    b = y * wp.cos(turn) - x * wp.sin(turn)
    reach = half
    if wp.abs(turn) >= f64(0.1):
        reach = f64(0.6)
    if (left > zero and a < left - reach) or (right > zero and a > reach - right):
        return False
    if (top > zero and b < top - reach) or (bottom > zero and b > reach - bottom):
        return False
    radius = numbers[n, _ROUND]
    dx = x - numbers[n, _ROUND + 1]
    dy = y - numbers[n, _ROUND + 2]
    if radius > zero and dx * dx + dy * dy > radius * radius:
        return False
    for box in range(_MOST_BOXES):
        from_top = r - int(numbers[n, _BOXES + 4 * box])
        from_left = c - int(numbers[n, _BOXES + 4 * box + 1])
        if (
            from_top >= 0
            and from_top < int(numbers[n, _BOXES + 4 * box + 2])
            and from_left >= 0
            and from_left < int(numbers[n, _BOXES + 4 * box + 3])
        ):
            return False
    return True


@wp.kernel
def detect(
    through: wp.array3d(dtype=wp.float32),
    coarse: wp.array4d(dtype=wp.float32),
    typical: wp.array(dtype=f64),
    numbers: wp.array2d(dtype=f64),
    noise: wp.array(dtype=u64),
    inside: wp.array3d(dtype=wp.uint8),
    line: wp.array3d(dtype=wp.float32),
    valid: wp.array3d(dtype=wp.uint8),
):
    """The log image and the field at one pixel: see `exposure._detect` and `expose`.

    coarse: (n, 2, rows, columns), scatter and shading.   typical: (n,) primary intensity.   noise: (n,) states, bit by bit those of numba.
    inside: (views, rows, columns), image n is of view n mod views.   line, valid: (n, rows, columns), out.
    """
    n, r, c = wp.tid()
    rows, columns = through.shape[1], through.shape[2]
    zero = f64(0.0)
    half = f64(0.5)
    y = wp.min(wp.max((f64(r) + half) / _COARSE - half, zero), f64(coarse.shape[2]) - f64(1.001))
    x = wp.min(wp.max((f64(c) + half) / _COARSE - half, zero), f64(coarse.shape[3]) - f64(1.001))
    signal = (f64(through[n, r, c]) + _between(coarse, n, 0, x, y)) * _between(coarse, n, 1, x, y)
    photons = numbers[n, _PHOTONS]
    if photons > zero:
        state = noise[n] + _STRIDE * u64(r * columns + c + 1)
        signal += wp.sqrt(typical[n] / photons * signal) * _bell(_mixed(state))
    signal = wp.min(wp.max(signal, typical[n] * numbers[n, _DARKEST]), typical[n] * numbers[n, _BRIGHTEST])
    seen = inside[n % inside.shape[0], r, c] != wp.uint8(0) and _open(numbers, n, rows, columns, r, c)
    line[n, r, c] = float(-wp.log(signal / typical[n]))
    if numbers[n, _BORDER] > zero:
        if not seen:
            line[n, r, c] = float(numbers[n, _BORDER])
        seen = True
    valid[n, r, c] = wp.uint8(seen)
