"""The down-sampled files of DeepFluoro: pictures to train networks on, of which no registration can be made.

They hold X-rays as line integrals, 50 pixels cut off each side, upright, at 1/2 to 1/16 of the resolution; the labels of what each pixel
shows; and landmarks in the image. They hold no CT, no intrinsics and no pose, and how their pixels lie on the full image's to a part of a
pixel is not written anywhere. So they make images, labels and landmarks, but no case.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image

from ...errors import InputError
from ..files import staged
from ..hdf5 import Hdf5, opened
from ..metaimage import metaimage

LAYOUT = "a down-sampled file of DeepFluoro"
#: Groups of the down-sampled files, by the names in the full one.
GROUPS = {"17-1882": "01", "18-1109": "02", "18-0725": "03", "18-2799": "04", "18-2800": "05", "17-1905": "06"}
MOST_LANDMARKS = 100


@dataclass(frozen=True, eq=False)
class SmallProjection:
    """line_integrals: float32 (rows, columns), bone bright.   labels: uint8 of the same shape, 0 = background.

    landmarks: [column, row] by name; they may lie outside the image.
    """

    line_integrals: np.ndarray
    labels: np.ndarray
    landmarks: dict[str, list[float]]


def refuse_small(file: Hdf5) -> NoReturn:
    """The InputError for a file without geometry where the full one is needed."""
    if file.has("land-names"):
        raise InputError(
            f"{file.name}: is {LAYOUT}, which has X-rays, their segmentation and landmarks but neither CT, intrinsics nor "
            "poses, so that no case can be made of it; give the full-resolution file, or use mvreg import deepfluoro-small "
            "for its images."
        )
    file.refuse("proj-params", "is missing", f"it in {file.layout}")


def read_small(path: str | os.PathLike, specimen: str, views: Sequence[int]) -> dict[int, SmallProjection]:
    """The X-rays with these numbers of a specimen, by the number.

    specimen: as in the full-resolution file ("17-1882"), or as here ("01").   Raises InputError for what differs from the layout.
    """
    group = GROUPS.get(specimen, specimen)
    if group not in GROUPS.values():
        raise InputError(f'specimen: found "{specimen}", expected one of {", ".join(GROUPS)}; choose one of these.')
    with opened(path, LAYOUT) as file:
        count = int(
            file.number("land-names/num-lands", f"a number of landmarks, 1 to {MOST_LANDMARKS}", 1, MOST_LANDMARKS)
        )
        names = [file.text(f"land-names/land-{number:02d}", "a landmark's name") for number in range(count)]
        images = file.pixels(f"{group}/projs", 3, "X-rays x rows x columns")
        labels = file.pixels(f"{group}/segs", 3, "X-rays x rows x columns of labels")
        landmarks = file.pixels(f"{group}/lands", 3, f"X-rays x 2 x {count}")
        if labels.shape != images.shape or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 255:
            file.refuse(f"{group}/segs", "does not fit the X-rays", "whole numbers from 0 to 255 in the shape of projs")
        if landmarks.shape != (len(images), 2, count):
            file.refuse(f"{group}/lands", f"has the shape {landmarks.shape}", f"{(len(images), 2, count)}")
        if not views or not all(0 <= number < len(images) for number in views):
            file.refuse(
                f"{group}/projs",
                f"has {len(images)} X-rays",
                f"numbers from 0 to {len(images) - 1}",
                "correct the views",
            )
    return {
        number: SmallProjection(
            images[number].astype(np.float32),
            labels[number].astype(np.uint8),
            dict(zip(names, landmarks[number].T.astype(float).tolist(), strict=True)),
        )
        for number in views
    }


def write_small(folder: str | os.PathLike, projections: dict[int, SmallProjection]) -> list[Path]:
    """Writes NNN.mha (line integrals), NNN_labels.png and landmarks.json; returns their paths. All appear, or none."""
    landmarks = {f"{number:03d}": projection.landmarks for number, projection in projections.items()}
    with staged(folder, last="landmarks.json") as staging:
        for number, projection in projections.items():
            (staging / f"{number:03d}.mha").write_bytes(metaimage(projection.line_integrals, np.eye(3)))
            Image.fromarray(projection.labels).save(staging / f"{number:03d}_labels.png")
        (staging / "landmarks.json").write_text(json.dumps(landmarks, indent=1) + "\n", encoding="utf-8")
        written = sorted(path.name for path in staging.iterdir())
    return [Path(folder) / name for name in written]
