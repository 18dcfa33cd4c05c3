"""What a person says of a calibration file, in words: KEY=VALUE."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import InputError
from ..fields import shown
from .calibrated import CHOICES, QUESTIONS

#: How many numbers, with commas between.
_NUMBERS = {"first_pixel": 1, "size": 2, "detector_spacing_mm": 2, "detector_origin_mm": 2, "intrinsics": 9}


def parse_given(text: str) -> tuple[str, Any]:
    """(key, value) of "key=value", for `Given`. The nine numbers of intrinsics go by rows.

    InputError for a key that is not in QUESTIONS, and for a value that is not of its kind.
    """
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or key not in QUESTIONS:
        raise InputError(
            f'--given: found "{shown(text)}", expected key=value with one of {", ".join(QUESTIONS)}; correct it.'
        )
    if key not in _NUMBERS:
        if not value or key in CHOICES and value not in CHOICES[key]:
            raise InputError(f'--given: {key} is "{shown(value)}", expected {QUESTIONS[key][1]}; choose one of these.')
        return key, value
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    count = _NUMBERS[key]
    if len(numbers) != count or not np.isfinite(numbers).all() or key in CHOICES and numbers[0] not in CHOICES[key]:
        how = f"{count} numbers with commas between: " if count > 1 else ""
        raise InputError(f'--given: {key} is "{shown(value)}", expected {how}{QUESTIONS[key][1]}; correct it.')
    if key == "intrinsics":
        return key, np.reshape(numbers, (3, 3))
    return key, numbers[0] if count == 1 else tuple(numbers)
