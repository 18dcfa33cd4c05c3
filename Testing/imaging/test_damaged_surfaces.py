"""Damaged surfaces are refused in a sentence, and cost only a child process."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from helpers.program import ENVIRONMENT
from helpers.refusals import refuses
from imaging.damaged_files import damaged
from imaging.damaged_surfaces import HUGE, WRITERS, absurd, legacy, ply, sphere, write
from vtkmodules.vtkFiltersSources import vtkCubeSource

from MultiViewRegistrationLib.imaging import surface
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.surface import check_counts

MAX_CHILD_BYTES = 1 << 30
MAX_GROWTH_BYTES = 200 << 20
MAX_CPU_S = 5.0
#: Reads each file that is named in a line, and prints what it costs.
READS = """
import json, resource, sys
from pathlib import Path
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging import child
from MultiViewRegistrationLib.imaging.surface import read_surface

def used():
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in of), *(1024 * each.ru_maxrss for each in of)

for line in sys.stdin:
    before, message = used(), ""
    try:
        read_surface(Path(line.rstrip("\\n")))
    except InputError as error:
        message = str(error)
    child.end_all()
    after = used()
    print(json.dumps([message, after[0] - before[0], after[1] - before[1], after[2]]))
"""


def test_truncated_ply_is_rejected(file_of, tmp_path):
    whole = write(sphere(), tmp_path / "whole.ply").read_bytes()
    with refuses("cut.ply: the surface cannot be read"):
        load_ct(file_of("cut.ply", whole[: len(whole) // 2]), "titanium")


@pytest.mark.parametrize(
    "name, data",
    [
        ("faces.ply", ply("", 1, HUGE)),
        ("cells.vtk", legacy(f"POINTS 1 float\n0 0 0\nPOLYGONS {HUGE} {4 * HUGE}\n")),
        ("piece.vtp", f'<VTKFile><Piece NumberOfPoints="{HUGE}"></VTKFile>'.encode()),
    ],
)
def test_check_counts_rejects_counts_larger_than_the_file(file_of, name, data):
    with refuses(f"{name}: the header states 2e\\+08 points or cells, but the file has"):
        check_counts(file_of(name, data))


def test_voxelise_limits_voxels_of_flat_surfaces(tmp_path, monkeypatch):
    monkeypatch.setattr(surface, "VOXELS", 1e4)
    monkeypatch.setattr(surface, "MAX_VOXELS", 2e4)
    box = vtkCubeSource()
    box.SetXLength(900)
    box.SetYLength(900)
    box.SetZLength(20)
    box.Update()
    path = write(box.GetOutput(), tmp_path / "box.stl")
    described, values = surface.voxelise(str(path))
    assert 1e4 < values.size <= 2e4
    voxel_mm = described["ct_from_index"][0][0]
    np.testing.assert_allclose(values.sum() * voxel_mm**3, 900 * 900 * 20, rtol=0.2)


@pytest.mark.slow
def test_damaged_surfaces_take_little_memory_and_time(tmp_path):
    files, rng = absurd(), random.Random("surfaces")
    for ending in WRITERS:
        whole = write(sphere(), tmp_path / f"whole{ending}").read_bytes()
        files |= {f"changed {n}{ending}": damaged(whole, ending, rng) for n in range(6)}
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.write_bytes(files[path.name])
    done = subprocess.run(
        [sys.executable, "-c", READS],
        input="\n".join(map(str, paths)),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for path, line in zip(paths, done.stdout.splitlines(), strict=True):
        message, cpu_s, growth_bytes, child_bytes = json.loads(line)
        assert message.startswith(str(path)) or path.name.startswith("changed"), path.name
        assert len(message.splitlines()) < 2, message
        assert cpu_s < MAX_CPU_S, path.name
        assert growth_bytes < MAX_GROWTH_BYTES, path.name
        assert child_bytes < MAX_CHILD_BYTES, path.name


PLAIN = ["SetCompressorTypeToNone"]
VARIANTS = [
    (".ply", ["SetFileTypeToASCII"]),
    (".ply", ["SetDataByteOrderToBigEndian"]),
    (".vtk", ["SetFileTypeToASCII"], ["SetFileVersion", 42]),
    (".vtk", ["SetFileTypeToBinary"], ["SetFileVersion", 51]),
    (".vtp", ["SetDataModeToAscii"]),
    (".vtp", ["SetDataModeToAppended"], PLAIN, ["EncodeAppendedDataOff"]),
    (".obj",),
]


@pytest.mark.parametrize("ending, settings", [(each[0], each[1:]) for each in VARIANTS])
def test_voxelise_is_independent_of_file_format(tmp_path, monkeypatch, ending, settings):
    monkeypatch.setattr(surface, "MIN_VOXEL_MM", 2.0)  # in this process; the child has its own
    path = write(sphere(), tmp_path / f"sphere{ending}", *settings)
    check_counts(path)
    described, values = surface.voxelise(str(path))
    reference, expected = surface.voxelise(str(write(sphere(), tmp_path / "reference.stl")))
    assert described["shape"] == reference["shape"]
    np.testing.assert_allclose(values, expected, atol=0.25)
