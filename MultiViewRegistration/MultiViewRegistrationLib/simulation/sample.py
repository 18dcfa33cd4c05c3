"""The demo's case without a projector: X-rays that were made before and come with the Slicer module, and the CT from the user's cache."""

from __future__ import annotations

import json
from pathlib import Path

from ..io.datasets.chest import cache_folder, chest_ct
from ..io.files import write_atomically
from .cases import demo_case

#: Beside the package where it is used from its source.
FILES = Path(__file__).resolve().parents[2] / "Resources" / "SampleData" / "Chest"


def demo_at_hand() -> Path:
    """Path of a case.json of the demo in the user's cache, made at once; where the X-rays did not come along, as `demo_case` makes it.

    Raises InputError where the CT cannot be downloaded, or itk-rtk is missing where it is needed.
    """
    folder = cache_folder() / "demo"
    if not FILES.is_dir():
        return folder / "case.json" if (folder / "case.json").is_file() else demo_case(folder)
    case = json.loads((FILES / "case.json").read_text(encoding="utf-8"))
    case["ct"] = str(chest_ct())
    folder.mkdir(parents=True, exist_ok=True)
    for view in case["views"]:
        write_atomically(folder / view["image"], (FILES / view["image"]).read_bytes())
    write_atomically(folder / "case.json", json.dumps(case))
    return folder / "case.json"
