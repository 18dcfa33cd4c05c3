"""The extension configured by CMake, where something stands in for Slicer, and any program for compilers, which scripts do not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def configure(cmake: str, build: Path) -> subprocess.CompletedProcess:
    absent = [f"-DCMAKE_{name}={sys.executable}" for name in ("C_COMPILER", "CXX_COMPILER", "MAKE_PROGRAM")]
    absent += ["-DCMAKE_C_COMPILER_FORCED=ON", "-DCMAKE_CXX_COMPILER_FORCED=ON"]
    slicer = ["-DBUILD_TESTING=ON", f"-DSlicer_DIR={ROOT / 'Testing' / 'slicer_stand_in'}"]
    command = [
        cmake,
        "-S",
        str(ROOT),
        "-B",
        str(build),
        "-G",
        "Unix Makefiles",
        "--warn-uninitialized",
        *absent,
        *slicer,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def install(cmake: str, build: Path, folder: Path) -> Path:
    """Installs what was configured into a folder; the module file there."""
    subprocess.run(
        [cmake, "--install", str(build), "--prefix", str(folder)], check=True, capture_output=True, timeout=60
    )
    return folder / "qt-scripted-modules" / "MultiViewRegistration.py"
