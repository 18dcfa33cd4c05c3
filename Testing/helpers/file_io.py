"""Reads and writes what tests have in files: JSON, and the values of images."""

import csv
import json

import numpy as np
import SimpleITK as sitk


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path, content):
    """Arrays are written as lists."""
    path.write_text(json.dumps(content, default=np.ndarray.tolist), encoding="utf-8")


def read_table(path):
    """The lines of a CSV file by its columns."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_values(path):
    """Values (nk, nj, ni), or (rows, columns), of an image."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def write_values(path, values, spacing=()):
    """An image of these values, 1 mm apart unless a spacing is given."""
    image = sitk.GetImageFromArray(values)
    if spacing:
        image.SetSpacing(tuple(spacing)[: image.GetDimension()])
    sitk.WriteImage(image, str(path))


def placed(values, place=None, *, vector=False):
    """An image of these values (nk, nj, ni), where `place` (4, 4) has its voxels (i, j, k)."""
    image = sitk.GetImageFromArray(values, isVector=vector)
    if place is not None:
        spacing = np.linalg.norm(place[:3, :3], axis=0)
        image.SetSpacing(spacing)
        image.SetDirection((place[:3, :3] / spacing).ravel())
        image.SetOrigin(place[:3, 3])
    return image


def write_volume(path, values, place=None, **more):
    sitk.WriteImage(placed(values, place, **more), str(path))
    return path
