"""Image files by SimpleITK, and the sentence with which a file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiViewRegistrationLib.errors import InputError


def image_of(
    values: np.ndarray, ct_from_index: np.ndarray | None = None, *, vector: bool = False
) -> sitk.Image:
    image = sitk.GetImageFromArray(values, isVector=vector)
    if ct_from_index is not None:
        spacing = np.linalg.norm(ct_from_index[:3, :3], axis=0)
        image.SetSpacing(spacing)
        image.SetDirection((ct_from_index[:3, :3] / spacing).ravel())
        image.SetOrigin(ct_from_index[:3, 3])
    return image


def written(
    path: Path, values: np.ndarray, ct_from_index: np.ndarray | None = None, *, vector: bool = False
) -> Path:
    sitk.WriteImage(image_of(values, ct_from_index, vector=vector), str(path))
    return path


def refusal(function, *arguments, **named) -> str:
    """The message of the InputError that `function` raises.

    One line that names the file, without ITK's words or a patient's.
    """
    with pytest.raises(InputError) as caught:
        function(*arguments, **named)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    if isinstance(arguments[0], Path) and len(arguments) == 1 and not named:
        assert message.startswith(str(arguments[0]))
    for word in ("itk::", "itk error", "exception", ".cxx", "secret", "4711"):
        assert word not in message.lower()
    return message
