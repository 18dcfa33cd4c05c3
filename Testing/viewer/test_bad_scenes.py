"""Scenes that would end the server, or take its memory, are refused in a sentence.

What was open stays.
"""

import random
import re
import zipfile

import numpy as np
import pytest
import slicer
from vtkmodules.vtkFiltersSources import vtkSphereSource
from vtkmodules.vtkIOLegacy import vtkPolyDataWriter

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging import child
from MultiViewRegistrationLib.mrml.nodes import nodes_of_class
from MultiViewRegistrationLib.viewer.scene_files import read_scene, save_scene

NUMBERS = [b"0", b"-1", b"3", b"100000", b"2147483648", b"1e308", b"nan", b"x" * 5000, b""]


@pytest.fixture(scope="module")
def parts(slicer_app, tmp_path_factory):
    """The files of a scene with a volume, a model, landmarks and a transform, by their names."""
    scene = slicer_app.scene
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    slicer.util.updateVolumeFromArray(volume, np.arange(5 * 6 * 7, dtype=np.int16).reshape(5, 6, 7))
    model = scene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    model.SetAndObservePolyData(_sphere())
    scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points").AddControlPoint(1, 2, 3, "a")
    scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "transform")
    for node in nodes_of_class("vtkMRMLStorableNode", scene):
        node.AddDefaultStorageNode()
    saved = save_scene(scene, tmp_path_factory.mktemp("whole") / "a.mrb")()
    scene.Clear(False)
    with zipfile.ZipFile(saved) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _sphere():
    source = vtkSphereSource()
    source.Update()
    return source.GetOutput()


def packed(path, parts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def part(parts, ending):
    return next(name for name in parts if name.endswith(ending))


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_scene(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and message.endswith("."), message
    return message


@pytest.fixture
def broken_mesh(parts, tmp_path):
    """Packs the scene with a model whose polygons, or values at its points, are changed."""

    def write(change):
        mesh = _sphere()
        change(mesh)
        writer = vtkPolyDataWriter()
        writer.SetInputData(mesh)
        writer.SetFileName(str(tmp_path / "model.vtk"))
        writer.Write()
        return packed(
            tmp_path / "a.mrb", parts | {part(parts, ".vtk"): (tmp_path / "model.vtk").read_bytes()}
        )

    return write


@pytest.mark.parametrize("point", [50, -1])
def test_a_mesh_that_names_points_that_are_not_there_is_refused(broken_mesh, point):
    path = broken_mesh(lambda mesh: mesh.GetPolys().GetConnectivityArray().SetTuple1(7, point))
    assert refusal(path) == (
        "a.mrb: its model model is no whole surface, expected one whose points are all there; "
        "remove it there."
    )


def test_a_scene_that_ends_the_child_is_refused(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "MultiViewRegistrationLib.viewer.scene_files.LOADING_BYTES", 1 << 20
    )  # so little ends it
    assert "cannot be read as a scene" in refusal(packed(tmp_path / "a.mrb", parts))
    child.end_all()


@pytest.mark.slow
def test_damaged_scenes_are_loaded_or_refused(parts, scene, tmp_path):
    """One file of the scene is damaged at a time, and what is accepted is loaded here."""
    rng, loaded = random.Random("scenes"), 0
    for number in range(16):
        name = sorted(parts)[number % len(parts)]
        data = parts[name]
        for _ in range(rng.randint(1, 3)):
            numbers = list(re.finditer(rb"-?\d+(\.\d+)?", data[:4000]))
            if numbers and rng.random() < 0.7:
                found = rng.choice(numbers)
                data = data[: found.start()] + rng.choice(NUMBERS) + data[found.end() :]
            else:
                at = rng.randrange(len(data))
                data = data[:at] + bytes(rng.randrange(256) for _ in range(4)) + data[at + 4 :]
        try:
            load = read_scene(packed(tmp_path / "a.mrb", parts | {name: data}))
            scene.Clear(False)
            load(scene)
            loaded += 1
        except InputError as error:
            assert len(str(error).splitlines()) == 1, str(error)
    assert loaded
