"""What drawings share: their marks as SVG, pictures as files, and where a camera's beam runs."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from ..geometry.camera import Camera
from .html import tag

JPEG_QUALITY = 88


def beam(camera: Camera, detector_mm: float) -> np.ndarray:
    """(2, 5, 3) world mm: where the rays of the image's corners and of its middle begin, and where they meet the detector.

    Parameters
    ----------
    camera
        Whose image it is.
    detector_mm
        From the source to the detector, along the beam.
    """
    pixels = np.array([*camera.corners, (np.array(camera.size) - 1) / 2])
    return np.stack([camera.sources(pixels), camera.at_depth(pixels, detector_mm)])


def path(points: Iterable[Sequence[float] | np.ndarray]) -> str:
    """Return points (n, 2) as SVG's polylines and polygons take them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def polyline(points: Iterable[Sequence[float] | np.ndarray], **style: object) -> ET.Element:
    """Return a line through points (n, 2); `fill` fills what is within."""
    return tag("polyline", points=path(points), **{"fill": "none", **style})


def outline(points: Iterable[Sequence[float] | np.ndarray], **style: object) -> ET.Element:
    """Return a line round points (n, 2); `fill` fills it."""
    return tag("polygon", points=path(points), **{"fill": "none", **style})


def png(image: np.ndarray) -> bytes:
    """PNG file of a picture, uint8 (rows, columns) or with 3 or 4 channels.

    a grey one without opacity is stored as grey.
    """
    if image.ndim == 3 and image.shape[2] < 4 and np.all(image == image[..., :1]):
        image = image[..., 0]
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1, compress_type=Image.RLE)
    return file.getvalue()


def jpeg(image: np.ndarray) -> bytes:
    """JPEG file of an RGB picture, for a page: the PNG files keep every grey."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
