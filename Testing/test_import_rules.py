"""Imports go one way, without cycles, and heavy or optional packages stay in the rooms that are made for them."""

import ast
import os
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = "MultiViewRegistrationLib"
ROOT = Path(__file__).resolve().parents[1]
LIB = ROOT / "MultiViewRegistration" / PACKAGE

#: The rooms (folders and modules) of the library: each may import only rooms before it, panel and
#: viewer not each other.
ROOMS = (
    "_archive errors extensions translation jobs known geometry imaging rendering "
    "registration assessment io published regressor finding report training api sequence studies mrml session panel viewer cli"
).split()
FORBIDDEN = {("viewer", "panel")}
#: Slicer's extension does not ship these.
FORBIDDEN |= {(room, "studies") for room in ("mrml", "session", "panel")}
#: Rooms that know Slicer's scene.
SLICER_ROOMS = {"mrml", "session", "panel", "viewer"}

#: What makes simulated X-rays and what the laboratory measures beside: the library imports none of
#: it.
LABORATORY = set("benchmarks itk nanodrr torchio".split())
#: Where an optional package may be imported: rooms or single modules.
HOME_OF = {
    "slicer": {"mrml", "panel", "viewer", "translation"},
    "vtk": {"panel"},
    "vtkmodules": {
        "imaging.surface",
        "mrml",
        "viewer",
    },  # of VTK only what is used: all of it takes most of a second
    "trame": {"viewer"},
    "trame_rca": {"viewer"},
    "trame_slicer": {"viewer"},
    "aiohttp": {"viewer"},
    "qt": {"panel"},
    "ctk": {"panel"},
    "torch": {
        "regressor",
        "published",
        "geometry.rigid_torch",
        "rendering.autograd",
        "rendering.drr_operator",
        "rendering.torch_drr",
        "rendering.triton_drr",
        "rendering.devices",
        "rendering.render",  # for its hints
        "registration.torch_backend",
        "registration.torch_bones",
    },
    "triton": {"rendering.devices", "rendering.triton_drr"},
    "h5py": {"io"},
    "pyigtl": {"io.navigation.igtl"},
    "distributed": {"studies"},
}
#: Modules that need an optional package on import.
NEEDS_MORE = (
    SLICER_ROOMS
    | HOME_OF["torch"] - {"published", "rendering.devices", "rendering.render"}
    | {"published.refine"}
)


def module_of(path):
    """Dotted name below the package: "io.case"; "" for the package itself."""
    parts = path.relative_to(LIB).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def import_statements(path):
    """Each import statement of a file, at any depth, and whether it is for type checkers alone."""
    return list(_imports_among(ast.parse(path.read_text(encoding="utf-8")).body))


def _imports_among(nodes, for_checkers=False):
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, for_checkers
        checking = getattr(getattr(node, "test", None), "id", None) == "TYPE_CHECKING"
        yield from _imports_among(getattr(node, "body", ()), for_checkers or checking)
        for part in ("orelse", "handlers", "finalbody", "cases"):
            yield from _imports_among(getattr(node, part, ()), for_checkers)


def imports_of(nodes, module, *, is_package=False):
    """Names that statements of a module import: "torch", and ".io.case" for modules of the package."""
    found = set()
    here = [PACKAGE, *filter(None, module.split("."))]
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + is_package] if node.level else []
            base = ".".join([*base, *filter(None, [node.module])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return {
        name.removeprefix(PACKAGE) if f"{name}.".startswith(f"{PACKAGE}.") else name
        for name in found
    }


@cache
def library(hints=True):
    """What each module of the library imports.   hints: whether also for type checkers alone."""
    imported = {}
    for path in sorted(LIB.rglob("*.py")):
        nodes = [node for node, checked in import_statements(path) if hints or not checked]
        module = module_of(path)
        imported[module] = imports_of(nodes, module, is_package=path.name == "__init__.py")
    return imported


def broken_rules(module, imported):
    """What is wrong with a module's imports, one sentence each."""
    room = module.split(".")[0]
    broken = []
    for name in sorted(imported):
        if not name.startswith("."):
            homes = set() if name.split(".")[0] in LABORATORY else HOME_OF.get(name.split(".")[0])
            if homes is not None and not {module, room} & homes:
                broken.append(f"{module} imports {name}, which is for {sorted(homes)}")
            continue
        other = name.split(".")[1]
        if room and other not in (room, "__version__") and not may_import(room, other):
            broken.append(f"{module} imports {name[1:]}")
    return broken


def may_import(room, other):
    return (
        other in ROOMS and ROOMS.index(other) < ROOMS.index(room) and (room, other) not in FORBIDDEN
    )


def graph():
    """The modules that each imports, lazily or not, but for hints."""
    imports = library(hints=False)
    return {
        module: {_imported_module(name[1:], imports) for name in names if name[0] == "."}
        - {module, ""}
        for module, names in imports.items()
    }


def _imported_module(name, modules):
    return name if name in modules else name.rpartition(".")[0]


def test_every_room_has_its_place():
    rooms = {
        path.stem
        for path in LIB.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert rooms - {"__init__", "_version"} == set(ROOMS)  # the last is written by pip


def test_imports_go_one_way():
    assert [
        broken
        for module, imported in library().items()
        for broken in broken_rules(module, imported)
    ] == []


def test_no_module_imports_itself_through_others():
    """But for hints: a section of the panel names the panel that it is shown by."""
    TopologicalSorter(graph()).prepare()


def test_a_panel_opens_before_numba_is_installed():
    """Nothing that is imported with it has kernels; what functions import comes later."""
    paths = {module_of(path): path for path in LIB.rglob("*.py")}
    opened = ["panel.panel"]
    for module in opened:  # it grows
        path = paths[module]
        nodes = [node for node, _ in import_statements(path)]
        at_once = [
            each for each in nodes if isinstance(each, ast.ImportFrom) and not each.col_offset
        ]
        imported = imports_of(at_once, module, is_package=path.stem == "__init__")
        own = {_imported_module(name[1:], paths) for name in imported if name[0] == "."}
        opened += own.difference(opened)
    assert "session.session" in opened and "rendering.cpu" not in opened


def test_it_works_where_only_what_it_depends_on_is_installed():
    """The whole package is imported by a Python in which the optional packages cannot be found."""
    plain = [
        m
        for m in library()
        if not any(m == other or m.startswith(f"{other}.") for other in NEEDS_MORE)
    ]
    assert {"registration.pipeline", "io.case"} <= set(plain)
    script = f"""
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "itk", "h5py", "matplotlib", "nanodrr", "torchio", "pyigtl", "distributed", "slicer",
                                  "vtk", "vtkmodules", "qt", "ctk"}}:
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
