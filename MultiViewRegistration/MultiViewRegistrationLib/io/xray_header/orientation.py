"""Which way round the stored image is: mirrored or not, and turned by how much (PS3.3 C.7.6.1.1.1, C.8.11.4.1.1, C.8.19.6.2)."""

from __future__ import annotations

from itertools import product

import numpy as np

from ...geometry import c_arm
from ...imaging.dicom_frame import DicomFrame
from .assumptions import BY_LETTERS, HEAD_UP, QUARTERS
from .found import Found

FIELD = "FieldOfViewSequence"
LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
#: How well the letters of PatientOrientation must fit the angles: the sum of two cosines, and how much better than mirrored.
LEAST_FIT, LEAST_BETTER = 1.2, 0.4


def field_of_view(frame: DicomFrame) -> tuple[int, bool | None]:
    """Clockwise degrees and horizontal flip of the stored image against the detector, None where the header does not say it."""
    flip = {"YES": True, "NO": False}.get(frame.text("FieldOfViewHorizontalFlip", FIELD))
    turn = frame.number("FieldOfViewRotation", FIELD) or 0.0
    if turn % 90 or not 0 <= turn < 360:
        frame.file.refuse(
            f"its FieldOfViewRotation is {turn:g}, expected 0, 90, 180 or 270 degrees; export the file again."
        )
    return int(turn), flip


def find_orientation(found: Found, frame: DicomFrame, detector_roll: float | None) -> None:
    """mirrored and roll_deg.

    detector_roll: how the detector is turned about the beam, as `find_angles` says it.

    The detector's own rows and columns are as seen from behind it, looking to the source (C.8.19.6.13.1.2): an image that is not flipped
    is mirrored. A turn to the right there is one to the left as the source sees it.
    """
    letters = _letters(frame.texts("PatientOrientation", "PatientOrientationInFrameSequence"))
    turn, flip = field_of_view(frame)
    angles = [found.values.get(key) for key in ("rao_lao_deg", "cra_cau_deg")]
    if letters is not None and None in angles:
        return  # they will tell once there are angles
    fitting = None if letters is None else _fitting(letters, *angles, found.values.get("mirrored"))
    by_field = None if flip is None else not flip
    contradicted = fitting is not None and by_field is not None and fitting[1] != by_field
    if found.needs("mirrored"):
        if letters is not None and fitting is None:
            found.lack("mirrored", "PatientOrientation does not fit the angles")
        elif fitting is not None:
            found.assumptions += [BY_LETTERS] if contradicted else []
            found.values["mirrored"] = fitting[1]
        elif by_field is not None:
            found.values["mirrored"] = by_field
        else:
            found.lack("mirrored", "PatientOrientation or FieldOfViewHorizontalFlip")
    if not found.needs("roll_deg"):
        return
    if detector_roll is not None and flip is not None and not contradicted:
        roll, told = detector_roll - turn, ""
    elif fitting is not None:
        roll, told = fitting[0], QUARTERS
    else:
        roll, told = (detector_roll or 0.0) - turn, HEAD_UP if detector_roll is None else ""
    found.assumptions += [told] if told else []
    roll = (roll + 180) % 360 - 180
    if abs(roll) > 1e-9:
        found.values["roll_deg"] = float(roll)


def _letters(texts: list[str]) -> np.ndarray | None:
    """(2, 3): unit vectors, LPS, of where rows and columns run, by letters of which the first counts most; None for no such letters."""
    if len(texts) != 2 or not all(texts) or any(letter not in LETTERS for text in texts for letter in text):
        return None
    ways = np.array(
        [sum(np.array(LETTERS[letter], float) / 2**nth for nth, letter in enumerate(text)) for text in texts]
    )
    lengths = np.linalg.norm(ways, axis=1)
    return None if lengths.min() < 0.5 else ways / lengths[:, None]


def _fitting(letters: np.ndarray, rao_lao: float, cra_cau: float, mirrored: bool | None) -> tuple[float, bool] | None:
    """The quarter turns, as roll_deg, and whether mirrored, with which rows and columns run by the letters; None where nothing does."""
    fits = {}
    for roll, mirror in product((0.0, 90.0, 180.0, -90.0), (False, True)):
        axes = (c_arm.rotation(rao_lao, cra_cau) @ c_arm.about_axis(2, -roll)).T[:2]
        axes[0] *= -1 if mirror else 1
        fits[roll, mirror] = float((axes * letters).sum())
    if mirrored is not None:
        return max((key for key in fits if key[1] == mirrored), key=fits.get)
    best = max(fits, key=fits.get)
    other = max(fit for key, fit in fits.items() if key[1] != best[1])
    return best if fits[best] >= LEAST_FIT and fits[best] - other >= LEAST_BETTER else None
