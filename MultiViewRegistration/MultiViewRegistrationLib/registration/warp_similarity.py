"""The kernels of `warp_backend.py`: the residuals at each pixel, and their share in the normal equations; see `similarity.py`.

Images lie one after the other, a thread for each pixel; `views` images are the views at one pose, so that image b shows view b % views.
Sums over an image are added up by lanes: a lane takes every 64th or so pixel, one after the other, and the host's library adds the lanes,
so that the same bits come out every time.
"""

# No annotations from the __future__: Warp reads those of its kernels.
import warp as wp

from ..rendering.warp_kernels import Bytes, Floats, Floats2d

wp.set_module_options({"enable_backward": False, "fast_math": True})

Ints = wp.array(dtype=wp.int32)

#: Most derivatives of a pixel: six by the pose, three by the intrinsics.
MAX_DERIVATIVES = 9
#: What is added up of an image: the sum of robust squares, m f, m m, f f, pixels, pixels that show the CT; the gradient; the lower triangle
#: of the Hessian, row by row.
COST, PRODUCTS, PIXELS, SHOWN, GRADIENT, HESSIAN = 0, 1, 4, 5, 6, 6 + MAX_DERIVATIVES
SUMS = HESSIAN + MAX_DERIVATIVES * (MAX_DERIVATIVES + 1) // 2
#: Terms of local sums before those by each derivative.
INTENSITY_TERMS, GRADIENT_TERMS = 5, 3

_PIXELS, _SHOWN, _GRADIENT, _HESSIAN = (wp.constant(number) for number in (PIXELS, SHOWN, GRADIENT, HESSIAN))
_sums = wp.types.vector(length=SUMS, dtype=wp.float32)
_slopes = wp.types.vector(length=MAX_DERIVATIVES, dtype=wp.float32)


@wp.kernel
def erode(comparable: Bytes, rows: int, columns: int, mask: Floats):
    """Keep the pixels whose eight neighbours are all set; the image's border goes."""
    i = wp.tid()
    row = (i // columns) % rows
    column = i % columns
    keep = float(0.0)  # noqa: UP018 (Warp's way to a variable)
    if row > 0 and row < rows - 1 and column > 0 and column < columns - 1:
        keep = 1.0
        for a in range(-1, 2):
            for b in range(-1, 2):
                if comparable[i + a * columns + b] == wp.uint8(0):
                    keep = 0.0
    mask[i] = keep


@wp.kernel
def add_neighbours(mask: Floats, rows: int, columns: int, wanted: Bytes):
    """Set `wanted` where the mask or one of the eight neighbours is set."""
    i = wp.tid()
    row = (i // columns) % rows
    column = i % columns
    for a in range(-1, 2):
        for b in range(-1, 2):
            if row + a >= 0 and row + a < rows and column + b >= 0 and column + b < columns:  # noqa: SIM102 (Warp looks at both)
                if mask[i + a * columns + b] > 0.0:
                    wanted[i] = wp.uint8(1)


@wp.kernel
def mark_positive(image: Floats, marks: Floats2d):
    """1 where the image shows anything."""
    i = wp.tid()
    if image[i] > 0.0:
        marks[0, i] = 1.0
    else:
        marks[0, i] = 0.0


@wp.kernel
def keep_where(near: Floats2d, mask: Floats):
    """Take away the pixels of the mask that have nothing near."""
    i = wp.tid()
    if near[0, i] < 0.5:
        mask[i] = 0.0


@wp.kernel
def sum_along(images: Floats2d, radii: Ints, rows: int, columns: int, stride: int, out: Floats2d):
    """Sums over windows along the rows (a stride of 1) or the columns, cut off at the border; radii by image."""
    k, i = wp.tid()
    place, size = i % columns, columns
    if stride > 1:
        place, size = (i // columns) % rows, rows
    radius = radii[i // (rows * columns)]
    total = float(0.0)  # noqa: UP018
    for step in range(wp.max(-radius, -place), wp.min(radius, size - 1 - place) + 1):
        total += images[k, i + step * stride]
    out[k, i] = total


@wp.kernel
def slopes_by_intrinsics(cameras: Floats2d, rows: int, columns: int, jacobian: Floats2d):
    """Fill the last three of nine derivatives from the first six: see `rendering.drr.intrinsics_jacobian`.

    cameras: by image, its ray_matrix (9), pivot minus the source of row 0 (3), principal point (2), source_step (3) and fan_axes (1).
    """
    i = wp.tid()
    b = i // (rows * columns)
    u = float(i % columns)
    v = float((i // columns) % rows)
    by_u = wp.vec3(cameras[b, 0], cameras[b, 3], cameras[b, 6])
    by_v = wp.vec3(cameras[b, 1], cameras[b, 4], cameras[b, 7])
    q = u * by_u + v * by_v + wp.vec3(cameras[b, 2], cameras[b, 5], cameras[b, 8])
    step = wp.vec3(cameras[b, 14], cameras[b, 15], cameras[b, 16])
    lever = wp.vec3(cameras[b, 9], cameras[b, 10], cameras[b, 11]) - v * step
    torque = wp.vec3(jacobian[0, i], jacobian[1, i], jacobian[2, i])
    force = wp.vec3(jacobian[3, i], jacobian[4, i], jacobian[5, i])
    across = wp.cross(torque + wp.cross(lever, force), q) / wp.dot(q, q)
    to_u = wp.dot(by_u, across)
    to_v = wp.dot(by_v, across)
    if cameras[b, 17] == 1.0:  # a slot scan
        jacobian[6, i] = (u - cameras[b, 12]) * to_u
        jacobian[8, i] = (v - cameras[b, 13]) * wp.dot(step, force)
    else:
        jacobian[6, i] = (u - cameras[b, 12]) * to_u + (v - cameras[b, 13]) * to_v
        jacobian[8, i] = to_v
    jacobian[7, i] = to_u


@wp.kernel
def count_pixels(
    image: Floats,
    mask: Floats,
    shows: float,
    pixels: int,
    lanes: int,
    sums: Floats2d,
):
    """Begin the sums of each lane: its pixels, and those of more than `shows`."""
    t = wp.tid()
    of_lane = _sums()
    for p in range(t % lanes, pixels, lanes):
        i = (t // lanes) * pixels + p
        if mask[i] > 0.0:
            of_lane[_PIXELS] = of_lane[_PIXELS] + 1.0
            if image[i] > shows:
                of_lane[_SHOWN] = of_lane[_SHOWN] + 1.0
    for k in range(wp.static(SUMS)):
        sums[t, k] = of_lane[k]


@wp.func
def _weighed(square: float, cauchy: float) -> wp.vec2:
    """A pixel's robust square and its weight."""
    if cauchy > 0.0:
        share = square / (cauchy * cauchy)
        return wp.vec2(cauchy * cauchy * wp.log(1.0 + share), 1.0 / (1.0 + share))
    return wp.vec2(square, 1.0)


@wp.func
def _added(of_lane: _sums, residual: float, slopes: _slopes, derivatives: int, weight: float) -> _sums:
    """The sums with a residual's share in gradient and Hessian."""
    k = int(_HESSIAN)
    for p in range(derivatives):
        of_lane[_GRADIENT + p] = of_lane[_GRADIENT + p] + weight * slopes[p] * residual
        for o in range(p + 1):
            of_lane[k] = of_lane[k] + weight * slopes[p] * slopes[o]
            k += 1
    return of_lane


@wp.func
def _compared(of_lane: _sums, m: float, f: float) -> _sums:
    of_lane[1] = of_lane[1] + m * f
    of_lane[2] = of_lane[2] + m * m
    of_lane[3] = of_lane[3] + f * f
    return of_lane


@wp.kernel
def intensity_terms(
    image: Floats,
    jacobian: Floats2d,
    fixed: Floats,
    mask: Floats,
    pixels: int,
    views: int,
    derivatives: int,
    terms: Floats2d,
):
    """The window sums: the mask, DRR and its square, X-ray and its square, each derivative and its product with the DRR."""
    i = wp.tid()
    m = mask[i]
    drr = m * image[i]
    xray = m * fixed[i % (views * pixels)]
    terms[0, i] = m
    terms[1, i] = drr
    terms[2, i] = drr * drr
    terms[3, i] = xray
    terms[4, i] = xray * xray
    for p in range(derivatives):
        slope = m * jacobian[p, i]
        terms[5 + 2 * p, i] = slope
        terms[6 + 2 * p, i] = drr * slope


@wp.kernel
def add_intensity(
    image: Floats,
    jacobian: Floats2d,
    fixed: Floats,
    mask: Floats,
    terms: Floats2d,
    pixels: int,
    views: int,
    derivatives: int,
    floor: float,
    cauchy: float,
    lanes: int,
    sums: Floats2d,
):
    """Add the intensities' share in cost, products, gradient and Hessian; see `similarity.intensity_residual`."""
    t = wp.tid()
    of_lane = _sums()
    slopes = _slopes()
    for p in range(t % lanes, pixels, lanes):
        i = (t // lanes) * pixels + p
        if mask[i] > 0.0:
            weight = 1.0 / terms[0, i]
            mean = weight * terms[1, i]
            scale = 1.0 / wp.sqrt(wp.max(weight * terms[2, i] - mean * mean, 0.0) + floor * floor)
            fixed_mean = weight * terms[3, i]
            fixed_scale = 1.0 / wp.sqrt(wp.max(weight * terms[4, i] - fixed_mean * fixed_mean, 0.0) + floor * floor)
            m = (image[i] - mean) * scale
            f = (fixed[i % (views * pixels)] - fixed_mean) * fixed_scale
            of_lane = _compared(of_lane, m, f)
            robust = _weighed((m - f) * (m - f), cauchy)
            of_lane[0] = of_lane[0] + robust[0]
            for d in range(derivatives):
                mean_j = weight * terms[5 + 2 * d, i]
                d_sd = (weight * terms[6 + 2 * d, i] - mean * mean_j) * scale
                slopes[d] = (jacobian[d, i] - mean_j - m * d_sd) * scale
            of_lane = _added(of_lane, m - f, slopes, derivatives, robust[1])
    for k in range(wp.static(SUMS)):
        sums[t, k] = sums[t, k] + of_lane[k]


@wp.kernel
def gradient_terms(
    image: Floats,
    jacobian: Floats2d,
    fixed: Floats,
    mask: Floats,
    pixels: int,
    views: int,
    columns: int,
    derivatives: int,
    terms: Floats2d,
):
    """The window sums: the mask, the squared gradients of DRR and X-ray, and how each derivative makes the DRR's grow."""
    i = wp.tid()
    m = mask[i]
    terms[0, i] = m
    for k in range(1, 3 + derivatives):
        terms[k, i] = 0.0
    if m > 0.0:  # an eroded mask: the neighbours are there
        j = i % (views * pixels)
        gx = 0.5 * (image[i + 1] - image[i - 1])
        gy = 0.5 * (image[i + columns] - image[i - columns])
        fx = 0.5 * (fixed[j + 1] - fixed[j - 1])
        fy = 0.5 * (fixed[j + columns] - fixed[j - columns])
        terms[1, i] = gx * gx + gy * gy
        terms[2, i] = fx * fx + fy * fy
        for p in range(derivatives):
            jx = 0.5 * (jacobian[p, i + 1] - jacobian[p, i - 1])
            jy = 0.5 * (jacobian[p, i + columns] - jacobian[p, i - columns])
            terms[3 + p, i] = gx * jx + gy * jy


@wp.kernel
def add_gradient(
    image: Floats,
    jacobian: Floats2d,
    fixed: Floats,
    mask: Floats,
    terms: Floats2d,
    pixels: int,
    views: int,
    columns: int,
    derivatives: int,
    floor: float,
    cauchy: float,
    lanes: int,
    sums: Floats2d,
):
    """Add the gradients' share in cost, products, gradient and Hessian; see `similarity.gradient_residual`."""
    t = wp.tid()
    of_lane = _sums()
    slopes_x = _slopes()
    slopes_y = _slopes()
    for p in range(t % lanes, pixels, lanes):
        i = (t // lanes) * pixels + p
        if mask[i] > 0.0:
            j = i % (views * pixels)
            weight = 1.0 / terms[0, i]
            scale = 1.0 / wp.sqrt(weight * terms[1, i] + floor * floor)
            fixed_scale = 1.0 / wp.sqrt(weight * terms[2, i] + floor * floor)
            gx = 0.5 * (image[i + 1] - image[i - 1])
            gy = 0.5 * (image[i + columns] - image[i - columns])
            fx = 0.5 * (fixed[j + 1] - fixed[j - 1]) * fixed_scale
            fy = 0.5 * (fixed[j + columns] - fixed[j - columns]) * fixed_scale
            x = gx * scale - fx
            y = gy * scale - fy
            of_lane = _compared(of_lane, gx * scale, fx)
            of_lane = _compared(of_lane, gy * scale, fy)
            robust = _weighed(x * x + y * y, cauchy)
            of_lane[0] = of_lane[0] + robust[0]
            for d in range(derivatives):
                shrink = weight * terms[3 + d, i] * scale * scale
                slopes_x[d] = (0.5 * (jacobian[d, i + 1] - jacobian[d, i - 1]) - gx * shrink) * scale
                slopes_y[d] = (0.5 * (jacobian[d, i + columns] - jacobian[d, i - columns]) - gy * shrink) * scale
            of_lane = _added(of_lane, x, slopes_x, derivatives, robust[1])
            of_lane = _added(of_lane, y, slopes_y, derivatives, robust[1])
    for k in range(wp.static(SUMS)):
        sums[t, k] = sums[t, k] + of_lane[k]
