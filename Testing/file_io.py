"""Reads and writes what tests have in files: JSON, and the values of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def read_values(path: Path) -> np.ndarray:
    """Values (nk, nj, ni), or (rows, columns), of an image."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def write_values(path: Path, values: np.ndarray) -> None:
    """An image of these values, 1 mm apart."""
    sitk.WriteImage(sitk.GetImageFromArray(values), str(path))
