"""The projection of `warp_kernels.py` from a hardware texture, whose units interpolate, and whose layout keeps neighbours together.

They tell apart 256 places from one voxel to the next. A sample is taken at the nearest of these, up to 1/512 of a voxel from where it
lies: then every device interpolates the same, also Warp's on the CPU, which would do so in single precision. In a plane a sample, and one
on the farther side of its cell in each direction, give value and slopes: three reads instead of four loads, and one where no derivative is
asked for.
"""

# No annotations from the __future__: Warp reads those of its kernels.
import numpy as np
import warp as wp

from .warp_kernels import Crossings, Sums, begun, done, ray_of

wp.set_module_options({"enable_backward": False, "fast_math": True})

#: Places from one voxel to the next.
_PLACES = wp.constant(256.0)


def texture_of(values: np.ndarray, device: str) -> wp.Texture3D:
    """Values (nk, nj, ni), float32, on a device; the centre of voxel (i, j, k) lies at (i, j, k) + 0.5."""
    texture = wp.Texture3D(
        values,
        filter_mode=wp.TextureFilterMode.LINEAR,
        address_mode=wp.TextureAddressMode.CLAMP,
        normalized_coords=False,
        device=device,
    )
    wp.synchronize_device(device)  # it was sent on Warp's stream, and will be read on torch's
    return texture


@wp.func
def _nearest_place(x: float) -> float:
    return wp.floor(_PLACES * x + 0.5) / _PLACES


@wp.func
def _farther_side(x: float, place: float) -> float:
    """Of the cell in which x lies, half a voxel or more from its nearest place, which may be the cell's very end."""
    low = wp.floor(x)
    return wp.where(place - low > 0.5, low, low + 1.0)


@wp.func
def _sample(values: wp.Texture3D, index_from_axes: wp.mat33, a: float, b: float, c: float) -> float:
    return wp.texture_sample(values, index_from_axes * wp.vec3(a + 0.5, b + 0.5, c + 0.5), dtype=float)


@wp.func
def _march(values: wp.Texture3D, at: Crossings, with_slopes: bool) -> Sums:
    """See `warp_kernels._march`."""
    index_from_axes = wp.mat33()
    for column in range(3):
        index_from_axes[at.axes[column], column] = 1.0
    b, c, slope_b, slope_c = float(at.b), float(at.c), float(at.slope_b), float(at.slope_c)
    sums = Sums()
    for k in range(at.count):
        fk = float(k)
        pa = float(at.first + k)
        xb = b + fk * slope_b
        xc = c + fk * slope_c
        pb, pc = _nearest_place(xb), _nearest_place(xc)
        mu = _sample(values, index_from_axes, pa, pb, pc)
        sums[0] += mu
        if with_slopes:
            far_b, far_c = _farther_side(xb, pb), _farther_side(xc, pc)
            db = (mu - _sample(values, index_from_axes, pa, far_b, pc)) / (pb - far_b)
            dc = (mu - _sample(values, index_from_axes, pa, pb, far_c)) / (pc - far_c)
            sums[1] += db
            sums[2] += dc
            sums[3] += fk * db
            sums[4] += fk * dc
    return sums


@wp.kernel
def project_rays_by_texture(
    values: wp.Texture3D,
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
        done(thread, ray, at, _march(values, at, jacobian.shape[1] > 0), beams, rows, columns, image, jacobian)
