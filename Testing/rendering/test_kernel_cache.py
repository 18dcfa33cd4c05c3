"""Where kernels are kept if neither the installation nor the home folder can be written to."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import MultiViewRegistrationLib
from MultiViewRegistrationLib.rendering import cpu

LIBRARY = Path(MultiViewRegistrationLib.__file__).resolve().parent
READ_ONLY = """
for folder in "$@"; do mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" || exit 99; done
exec "$PYTHON" -B -c "
import warnings
warnings.showwarning = lambda message, *more: print(message)
import numpy as np
from MultiViewRegistrationLib.registration.objective import _count
_count(np.ones((2, 2), bool))
print('done')"
"""

PROGRAM = """
from typing import NamedTuple
from MultiViewRegistrationLib.rendering.cpu import kernel

class Ray(NamedTuple):
    source: int

@kernel
def following(ray):
    return ray.source + 1

print(following(Ray(2)))
"""


@pytest.fixture
def start(tmp_path):
    """Compiles a kernel where the library, the home folder and what else is named are read-only.

    Returns what is printed.
    """
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"]).returncode:
        pytest.skip("needs unshare, and a system that lets it make read-only mounts")
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    own = ("XDG_", "NUMBA_")
    environment = {name: each for name, each in os.environ.items() if not name.startswith(own)}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHON": sys.executable}
    environment["PYTHONPATH"] = str(LIBRARY.parent)

    def start(*more, **changed):
        folders = [str(folder) for folder in (LIBRARY, home, *more)]
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", READ_ONLY, "sh", *folders],
            env=environment | changed,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode == 99:
            pytest.skip(f"needs read-only mounts: {done.stderr}")
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return start


@pytest.mark.slow
def test_a_read_only_installation_keeps_kernels_in_a_private_temporary_folder(start, tmp_path):
    said, done = start()
    folder = tmp_path / "tmp" / f"multiview-registration-{os.getuid()}"
    assert done == "done" and str(folder) in said and "NUMBA_CACHE_DIR" in said
    assert list(folder.rglob("*.nbc")) and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_folder_that_is_named_is_used_without_a_word(start, tmp_path):
    (tmp_path / "kernels").mkdir()
    assert start(NUMBA_CACHE_DIR=str(tmp_path / "kernels")) == ["done"]
    assert list((tmp_path / "kernels").rglob("*.nbc"))


@pytest.mark.slow
def test_without_any_folder_kernels_are_compiled_at_every_start(start):
    said, done = start(Path("/tmp"), Path("/var/tmp"), Path.cwd())
    assert done == "done" and said.startswith("Kernels are compiled at every start")
    assert "NUMBA_CACHE_DIR" in said


def test_the_folder_of_somebody_else_is_not_used(tmp_path, monkeypatch):
    """numba unpickles what lies there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = cpu._private_folder()
    assert folder == cpu._private_folder() == tmp_path / folder.name
    folder.chmod(0o777)
    assert cpu._private_folder() is None
    folder.rmdir()
    (tmp_path / "other").mkdir(mode=0o700)
    for plant in (folder.touch, lambda: folder.symlink_to(tmp_path / "other")):
        plant()
        assert cpu._private_folder() is None
        folder.unlink()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    assert cpu._private_folder() is None


@pytest.mark.slow
def test_a_kernel_whose_class_has_another_name_now_is_compiled_anew(tmp_path):
    """As after an update in place, which leaves compiled kernels beside the program."""
    program = tmp_path / "program.py"
    for name in ("Ray", "Beam"):
        program.write_text(PROGRAM.replace("Ray", name))
        assert subprocess.check_output([sys.executable, program], cwd=tmp_path, text=True) == "3\n"
    assert len(list(tmp_path.rglob("*.nbc"))) == 1


@pytest.mark.slow
def test_a_kernel_whose_part_is_in_another_module_now_is_compiled_anew(tmp_path):
    program = tmp_path / "program.py"
    kernel = f"from {cpu.__name__} import kernel"
    program.write_text(
        f"{kernel}\nfrom parts import plus\n\n@kernel\ndef three(x):\n    return plus(x)\n\nprint(three(2))\n"
    )
    for name in ("before", "now"):
        part = f"from {cpu.__name__} import part\n\n@part\ndef plus(x):\n    return x + 1\n"
        (tmp_path / f"{name}.py").write_text(part)
        (tmp_path / "parts.py").write_text(f"from {name} import plus\n")
        assert subprocess.check_output([sys.executable, program], cwd=tmp_path, text=True) == "3\n"
        (tmp_path / f"{name}.py").unlink()


def test_what_another_process_wrote_under_the_same_name_is_not_taken(tmp_path):
    kept = cpu._Kept(str(tmp_path), "kernel", "source")
    kept.save("mine", 1)
    kept.save("another's", 2)
    (tmp_path / "kernel.2.nbc").replace(tmp_path / "kernel.1.nbc")
    assert kept.load("mine") is None
    kept.save("mine", 1)
    assert kept.load("mine") == 1
    cpu.IndexDataCacheFile.save(kept, "of a version before", (1, 2, 3, 4))
    assert kept.load("of a version before") is None
