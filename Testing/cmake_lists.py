"""What the Slicer extension packages, in MultiViewRegistration/CMakeLists.txt, where Slicer wants each file named.

    python Testing/cmake_lists.py            says what the lists lack or have too much
    python Testing/cmake_lists.py --write    brings them up to date; `make cmake-lists` is the same

What Slicer does not need is not packaged: the page, studies, benchmarks, the simulator and their commands.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePath

MODULE = Path(__file__).resolve().parents[1] / "MultiViewRegistration"
CMAKE_FILE = MODULE / "CMakeLists.txt"
FOLDERS = ("MultiViewRegistrationLib", "Resources")
LEFT_OUT = ("viewer", "studies", "bench", "simulation", "cli/view.py", "cli/studies.py", "cli/demo.py")
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def on_disk(module: Path = MODULE) -> dict[str, list[str]]:
    """Files to package by name of the list, each as CMakeLists.txt names it."""
    found = {path for folder in FOLDERS for path in (module / folder).rglob("*") if path.is_file()}
    names = sorted(path.relative_to(module) for path in found | set(module.glob("*.py")))
    wanted = [name for name in names if not any(part.startswith((".", "__pycache__")) for part in name.parts)]
    library = PurePath("MultiViewRegistrationLib")
    wanted = [name for name in wanted if not any(name.is_relative_to(library / part) for part in LEFT_OUT)]
    scripts = [name.as_posix() for name in wanted if name.suffix == ".py"]
    return {SCRIPTS: scripts, RESOURCES: [name.as_posix() for name in wanted if name.suffix != ".py"]}


def listed(text: str) -> dict[str, list[str]]:
    """The lists as they stand in the text of a CMakeLists.txt."""
    return {key: _list_of(key, text)[2].split() for key in (SCRIPTS, RESOURCES)}


def updated(text: str, files: dict[str, list[str]]) -> str:
    """The text of a CMakeLists.txt with these lists in it."""
    for key, names in files.items():
        before = _list_of(key, text)
        text = text.replace(before[0], before[1] + "".join(f"  {name}\n" for name in names) + before[3])
    return text


def differences(text: str, files: dict[str, list[str]]) -> list[str]:
    """What is wrong with the lists in the text of a CMakeLists.txt, a line for each file."""
    wrong = []
    for key, names in listed(text).items():
        wrong += [f"{key} lacks {name}" for name in files[key] if name not in names]
        wrong += [f"{key} names {name}, which is not there" for name in names if name not in files[key]]
        wrong += [f"{key} names {name} twice" for name in sorted({name for name in names if names.count(name) > 1})]
    return wrong


def _list_of(key: str, text: str) -> re.Match:
    """Match of a list: its first line, its names, its last line."""
    return re.search(rf"(set\({key}\n)([^)]*?)([ ]*\))", text)


def main(arguments: list[str]) -> int:
    text = CMAKE_FILE.read_text(encoding="utf-8")
    wrong = differences(text, on_disk())
    print("\n".join(wrong) or f"{CMAKE_FILE.relative_to(MODULE.parent)} names every file.")
    if arguments == ["--write"]:
        CMAKE_FILE.write_text(updated(text, on_disk()), encoding="utf-8", newline="\n")
        return 0
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
