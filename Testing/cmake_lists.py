"""What the Slicer extension packages, in MultiViewRegistration/CMakeLists.txt, where Slicer wants each file named.

    python Testing/cmake_lists.py            lists what is missing or superfluous
    python Testing/cmake_lists.py --write    brings them up to date; `make cmake-lists` is the same

What Slicer does not need is not packaged: the page, studies, the demo and their commands.
"""

import re
import subprocess
import sys
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1] / "MultiViewRegistration"
CMAKE_FILE = MODULE / "CMakeLists.txt"
FOLDERS = ("MultiViewRegistrationLib", "Resources", "mvreg")
LEFT_OUT = (
    "viewer",
    "studies",
    "cli/view.py",
    "cli/evaluate.py",
    "cli/demo.py",
    "io/datasets/bent_spine",
)
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def on_disk():
    """Files to package by name of the list, each as CMakeLists.txt names it."""
    left_out = [MODULE / "MultiViewRegistrationLib" / name for name in LEFT_OUT]
    names: dict[str, list[str]] = {SCRIPTS: [], RESOURCES: []}
    found = {path for folder in FOLDERS for path in (MODULE / folder).rglob("*") if path.is_file()}
    for path in sorted(found | set(MODULE.glob("*.py"))):
        name = path.relative_to(MODULE)
        hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
        written = name.name == "_version.py"  # by pip in this folder; CMake writes its own
        if not (hidden or written) and not any(path.is_relative_to(other) for other in left_out):
            names[SCRIPTS if path.suffix == ".py" else RESOURCES].append(name.as_posix())
    return names


def _list_of(key, text):
    """Match of a list: its first line, its names, its last line."""
    return re.search(rf"(set\({key}\n)([^)]*?)([ ]*\))", text)


def updated(text, files):
    """The text of a CMakeLists.txt with these lists in it."""
    for key, names in files.items():
        whole, first, _, last = _list_of(key, text).group(0, 1, 2, 3)
        text = text.replace(whole, first + "".join(f"  {name}\n" for name in names) + last)
    return text


def differences(text, files):
    """What is wrong with the lists in the text of a CMakeLists.txt, a line for each file."""
    wrong = []
    for key, wanted in files.items():
        listed = _list_of(key, text)[2].split()
        wrong += [f"{key} lacks {name}" for name in wanted if name not in listed]
        wrong += [
            f"{key} names {name}, which is not there" for name in listed if name not in wanted
        ]
    return wrong


def configure(cmake, build, source=MODULE.parent):
    """Configure the extension, with stand-ins for Slicer and for compilers, which scripts do not need."""
    settings = [
        f"CMAKE_{name}={sys.executable}" for name in ("C_COMPILER", "CXX_COMPILER", "MAKE_PROGRAM")
    ]
    settings += ["CMAKE_C_COMPILER_FORCED=ON", "CMAKE_CXX_COMPILER_FORCED=ON", "BUILD_TESTING=ON"]
    settings.append(f"Slicer_DIR={MODULE.parent / 'Testing' / 'slicer_stand_in'}")
    command = [
        cmake,
        "-S",
        str(source),
        "-B",
        str(build),
        "-G",
        "Unix Makefiles",
        "--warn-uninitialized",
    ]
    command += [f"-D{setting}" for setting in settings]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def install(cmake, build, folder):
    """Install what was configured into a folder; the module file there."""
    command = [cmake, "--install", str(build), "--prefix", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder / "qt-scripted-modules" / "MultiViewRegistration.py"


def main(arguments):
    text = CMAKE_FILE.read_text(encoding="utf-8")
    wrong = differences(text, on_disk())
    print("\n".join(wrong) or f"{CMAKE_FILE.relative_to(MODULE.parent)} names every file.")
    if arguments == ["--write"]:
        CMAKE_FILE.write_text(updated(text, on_disk()), encoding="utf-8", newline="\n")
        return 0
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
