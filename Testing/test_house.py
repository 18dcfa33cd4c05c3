"""Imports go one way, and heavy or foreign packages stay in the rooms that are made for them."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = "MultiViewRegistrationLib"
LIB = Path(__file__).resolve().parents[1] / "MultiViewRegistration" / PACKAGE

#: Which other rooms (folders) a room may import; `errors` is open to all. Modules that lie beside the rooms may import any room
#: of this table but those of HOSTS and demo.
ROOMS = {
    "geometry": set(),
    "imaging": {"geometry"},
    "rendering": {"geometry", "imaging"},
    "registration": {"geometry", "imaging", "rendering"},
    "published": {"geometry", "imaging", "rendering", "registration"},
    "regressor": {"geometry", "imaging", "rendering", "io"},
    "assessment": {"geometry", "imaging", "rendering", "registration", "regressor"},
    "tracking": {"geometry", "imaging", "registration", "assessment"},
    "io": {"geometry", "imaging"},
    "demo": {"geometry", "imaging", "io", "jobs"},  # not rendering: its X-rays come from a projector that is not ours
}
#: They know everything but the command line, and nothing knows them; panel and viewer know scene, but not each other.
HOSTS = {"scene", "panel", "viewer"}
#: Only the command line (whose larger commands have files of their own) and its demonstration know these; the benchmark and the
#: protocol of simulated registrations know everything but the command line.
ENDS = {"cli", "commands", "demo", "bench", "protocol"}
#: But for the download of a CT, which is a sample in Slicer, too.
SAMPLE = "demo.chest"

#: Where a foreign package may be imported: rooms or single modules.
HOME_OF = {
    "slicer": HOSTS,
    "vtk": {"panel", "demo.surfaces", "viewer.vtk_on_demand"},
    "vtkmodules": {"scene", "viewer"},  # of VTK only what is used: all of it takes most of a second
    "gvxrPython3": {"demo.surfaces"},
    "trame": {"viewer"},
    "trame_rca": {"viewer"},
    "trame_slicer": {"viewer"},
    "aiohttp": {"viewer"},
    "qt": {"panel"},
    "ctk": {"panel"},
    "torch": {
        "regressor",
        "published",
        "rendering.reference",
        "rendering.autograd",
        "rendering.gpu",
        "rendering.devices",
        "registration.on_device",
        "bench",
    },
    "warp": {
        "rendering.gpu",
        "rendering.warp_kernels",
        "rendering.warp_textures",
        "rendering.devices",
        "registration.device_kernels",
        "regressor.device_kernels",
        "regressor.draw_kernels",
        "regressor.on_warp",
        "bench.memory_child",
    },
    "itk": {"demo", "bench"},
    "h5py": {"io"},
    "nanodrr": {"bench"},
    "torchio": {"bench"},
    "pyigtl": {"io.navigation.messages"},
    "distributed": {"cohort"},
}
#: The benchmark imports its peers only once it runs, and so do the devices what they are asked for.
NEEDS_MORE = (
    HOSTS
    | (HOME_OF["warp"] | HOME_OF["torch"]) - {"published", "bench", "rendering.devices"}
    | {f"published.{name}" for name in ("comparison", "refine", "renderer", "similarity")}
)


def module_of(path: Path) -> str:
    """Dotted name below the package: "io.case"; "" for the package itself."""
    parts = path.relative_to(LIB).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """Everything that a module imports, at any depth of its code: "torch", ".io.case" for what is in the package."""
    found = set()
    here = [PACKAGE, *filter(None, module.split("."))]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + is_package] if node.level else []
            base = ".".join([*base, *filter(None, [node.module])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Constant)
            and getattr(node.func, "id", getattr(node.func, "attr", "")) in ("import_module", "__import__")
        ):
            found.add(str(node.args[0].value))
    return {name.removeprefix(PACKAGE) if f"{name}.".startswith(f"{PACKAGE}.") else name for name in found}


def broken_rules(module: str, imported: set[str]) -> list[str]:
    """What is wrong with a module's imports, in words."""
    room = module.split(".")[0]
    broken = []
    for name in sorted(imported):
        if not name.startswith("."):
            homes = HOME_OF.get(name.split(".")[0])
            if homes is not None and not {module, room} & homes:
                broken.append(f"{module} imports {name}, which is for {sorted(homes)}")
            continue
        other = name.split(".")[1]
        if room in HOSTS and f"{name}.".startswith(f".{SAMPLE}."):
            continue
        if other not in (room, "errors", "__version__") and not _may_import(room, other):
            broken.append(f"{module} imports {name[1:]}")
    return broken


def _may_import(room: str, other: str) -> bool:
    if room in ("cli", "demonstration"):
        return True
    if room == "commands":
        return other != "cli"
    if room in ("bench", "protocol"):
        return other not in HOSTS | {"cli", "commands"}
    if room in HOSTS:
        return other not in ENDS | HOSTS - {"scene"}
    if room in ROOMS:
        return other in ROOMS[room]
    return other not in HOSTS | ENDS


def test_every_room_has_its_place():
    rooms = {path.parent.name for path in LIB.glob("*/__init__.py")}
    assert rooms <= ROOMS.keys() | HOSTS | ENDS
    assert {"geometry", "imaging", "rendering", "registration", "assessment", "io"} <= rooms


def test_no_two_test_files_share_a_name():
    """pytest imports them by their names alone, and leaves out the second of two."""
    names = Counter(
        path.name for path in Path(__file__).parent.rglob("*.py") if path.name not in ("__init__.py", "conftest.py")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_imports_go_one_way():
    broken = []
    for path in sorted(LIB.rglob("*.py")):
        imported = imports_of(path.read_text(encoding="utf-8"), module_of(path), is_package=path.name == "__init__.py")
        broken += broken_rules(module_of(path), imported)
    assert not broken


@pytest.mark.parametrize(
    "module, source",
    [
        ("geometry.camera", "from ..imaging.volume import Volume"),
        ("geometry.camera", "from .. import imaging"),
        ("geometry.camera", f"from {PACKAGE}.imaging.volume import Volume"),
        ("geometry.camera", f"import {PACKAGE}.imaging.volume"),
        ("imaging.ct", "def f():\n    from ..rendering import drr"),
        ("rendering.drr", "import torch"),
        ("rendering.drr", "from torch.nn import functional"),
        ("refinements", "import torch"),
        ("registration.pipeline", "from ..published.presets import PRESETS"),
        ("rendering.drr", "from importlib import import_module\nimport_module('torch')"),
        ("registration.pipeline", "if True:\n    from ..assessment import metrics"),
        ("registration.pipeline", "from .. import register"),
        ("io.case", "from ..rendering.drr import render"),
        ("io.case", "import itk"),
        ("assessment.report", "from ..io.case import Case"),
        ("workflow", "from .cli import main"),
        ("result", "from . import demo"),
        ("demo.cases", "from ..rendering.drr import render"),
        ("workflow", "from .bench import program"),
        ("demo.cases", "from ..bench.rows import Row"),
        ("bench.program", "from ..cli import main"),
        ("commands.export", "from ..cli import main"),
        ("workflow", "from .commands import export"),
        ("io.navigation.igtl", "import pyigtl"),
        ("registration.pipeline", "import nanodrr"),
        ("viewer.page", "import qt"),
        ("scene.display", "from trame_slicer.core import SlicerApp"),
        ("viewer.page", "from ..panel.register import REFINEMENTS"),
        ("panel.panel", "from ..viewer.page import build"),
        ("workflow", "import slicer"),
        ("workflow", "from .scene import nodes"),
        ("scene.sample_data", "from ..demo.cases import demo_case"),
        ("workflow", "from .demo.chest import chest_ct"),
    ],
)
def test_a_broken_rule_is_noticed(module, source):
    assert len(broken_rules(module, imports_of(source, module))) == 1


@pytest.mark.parametrize(
    "module, source",
    [
        ("geometry.camera", "from ..errors import InputError\nfrom . import rigid\nimport numpy"),
        ("rendering.reference", "import torch"),
        ("demo.projector", "import itk"),
        ("result", "from . import __version__\nfrom .assessment import metrics\nfrom .workflow import register"),
        (
            "cli",
            "from .demo import cases\nfrom .workflow import register\nfrom .bench import program\nfrom .commands import export",
        ),
        ("commands.export", "from ..io.case import Case\nfrom ..workflow import register\nfrom ..demo import cases"),
        ("bench.render", "from ..demo import cases\nfrom ..assessment import metrics\nimport torch, itk, nanodrr"),
        ("scene.sample_data", "from ..demo.chest import chest_ct"),
        ("panel.inputs", "import qt, slicer\nfrom ..workflow import register"),
    ],
)
def test_a_kept_rule_is_left_alone(module, source):
    assert broken_rules(module, imports_of(source, module)) == []


def test_the_package_of_an_init_file_is_itself():
    assert imports_of("from .workflow import register", "", is_package=True) == {".workflow.register"}
    assert imports_of("from .case import Case", "io", is_package=True) == {".io.case.Case"}


def test_it_works_where_only_what_it_depends_on_is_installed():
    """The whole package is imported by a Python in which the optional packages cannot be found."""
    modules = [module_of(path) for path in sorted(LIB.rglob("*.py"))]
    plain = [m for m in modules if not any(m == other or m.startswith(f"{other}.") for other in NEEDS_MORE)]
    assert {"registration.pipeline", "io.case"} <= set(plain)
    script = f"""
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "warp", "itk", "h5py", "matplotlib", "nanodrr", "torchio", "pyigtl", "distributed", "slicer",
                                  "vtk", "vtkmodules", "qt", "ctk", "gvxrPython3"}}:
            raise ModuleNotFoundError(f"No module named {{name}}", name=name)

sys.meta_path.insert(0, Missing())
for module in {plain!r}:
    importlib.import_module(".".join(filter(None, [{PACKAGE!r}, module])))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(LIB.parent)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_every_file_is_formatted():
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--check", "."], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
