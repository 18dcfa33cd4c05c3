"""What is drawn for a batch, by kernels: the functions of `motions` and `randomise`, a thread for each pose or image.

In double precision, without shortcuts: on Warp's CPU device bit by bit what numba draws.
"""

# No annotations from the __future__: Warp reads those of its kernels.
import warp as wp

from .draws import begun
from .motions import IMAGES, draw_six, key_of_pose, variant_of
from .on_warp import HOW, on_warp
from .randomise import draw

wp.set_module_options({"enable_backward": False, "fast_math": False})

f64, u64 = wp.float64, wp.uint64

_begun, _key_of_pose, _draw_six, _draw = on_warp(begun), on_warp(key_of_pose), on_warp(draw_six), on_warp(draw)
variant = on_warp(variant_of)
_IMAGES = wp.constant(u64(int(IMAGES)))


@wp.kernel
def draw_sixes(
    key: wp.array(dtype=wp.int64),
    first: int,
    what: u64,
    middle: wp.array(dtype=f64),
    reach: wp.array(dtype=f64),
    normally: bool,
    states: wp.array2d(dtype=u64),
    six: wp.array2d(dtype=f64),
):
    """The six numbers of a pose's motion; see `motions.Motions.sample`.

    key: (1,) of the batch.   first: number of the first pose.   states: (n, 1), of any content.   six: (n, 6), out.
    """
    n = wp.tid()
    states[n, 0] = _begun(_key_of_pose(u64(key[0]), u64(first + n)), what)
    _draw_six(states[n], middle, reach, normally, six[n])


@wp.kernel
def draw_images(
    how: HOW,
    rows: int,
    columns: int,
    key: wp.array(dtype=wp.int64),
    first: int,
    mm: wp.array2d(dtype=f64),
    states: wp.array2d(dtype=u64),
    numbers: wp.array2d(dtype=f64),
    capsules: wp.array3d(dtype=f64),
    noise: wp.array(dtype=u64),
):
    """An image's numbers and capsules, and the state of its noise; see `randomise.draw`. Images lie pose by pose, view by view.

    key, first: as above.   mm: (n, views), of a pixel.   states: (n * views, 1), of any content.
    numbers: (n * views, NUMBERS), capsules: (n * views, MOST_CAPSULES, CAPSULE), noise: (n * views,), out.
    """
    n, view = wp.tid()
    image = n * mm.shape[1] + view
    states[image, 0] = _begun(_key_of_pose(u64(key[0]), u64(first + n)), _IMAGES + u64(view))
    noise[image] = _draw(how, rows, columns, mm[n, view], states[image], numbers[image], capsules[image])
