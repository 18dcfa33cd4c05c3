"""The people whose CTs are registered."""

from __future__ import annotations

from pathlib import Path

from MultiViewRegistrationLib.io.datasets.chest import chest_ct

from . import DATA

#: Files in the data folder; the chest is that of `make demo`.
CTS = {
    "chest": "",
    "pelvis": "pelvis/pelvis.nii.gz",
    "pelvis 2 mm": "pelvis/pelvis_2mm.nii.gz",
    "head": "scout/ct",
    "phantom": "epid/ct.nii.gz",
    "torso": "ct/torso_3mm.nii.gz",
    "thorax": "ct/thorax_stent.nii.gz",
}
#: Those whose scanner's couch is in their CT.
ON_A_COUCH = ("chest", "head", "torso")


def ct_path(name: str, data: Path = DATA) -> Path:
    """The file, or the folder of slices, of a person's CT."""
    return data / CTS[name] if CTS[name] else chest_ct()
