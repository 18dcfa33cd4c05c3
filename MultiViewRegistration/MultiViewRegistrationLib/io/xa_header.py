"""What the DICOM header of an X-ray says of how it was taken: something to begin with, which a person checks."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

#: Tags (PS3.3 C.8.7.5 and C.8.7.2) of c_arm's keys; angles are positive to LAO and CRA as there.
NUMBERS = {
    "source_to_detector_mm": "0018|1110",
    "source_to_isocentre_mm": "0018|1111",  # "to patient": the isocentre, as a rule
    "rao_lao_deg": "0018|1510",
    "cra_cau_deg": "0018|1511",
}
PIXEL = "0018|1164"  # imager pixel spacing: at the detector, between rows first


def read_header(path: str | Path) -> dict:
    """Those of c_arm's keys in a case.json that the header has; empty for other files.

    A run that turns has a list of angles, one for each frame, under other tags: it is not looked at.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return {}
    found = {}
    for key, tag in NUMBERS.items():
        numbers = _numbers(reader, tag)
        if len(numbers) == 1 and (numbers[0] > 0 or key.endswith("_deg")):
            found[key] = numbers[0]
    spacing = _numbers(reader, PIXEL)
    if len(spacing) == 2 and min(spacing) > 0:
        found["pixel_mm"] = [spacing[1], spacing[0]]
    return found


def _numbers(reader: sitk.ImageFileReader, tag: str) -> list[float]:
    if not reader.HasMetaDataKey(tag):
        return []
    try:
        return [float(part) for part in reader.GetMetaData(tag).strip("\0 ").split("\\")]
    except ValueError:
        return []
