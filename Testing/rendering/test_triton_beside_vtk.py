"""Triton's LLVM beside that of Mesa, by which VTK draws without a graphics card, in one process."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

DRAWN = """
import vtk
window = vtk.vtkRenderWindow()
window.SetOffScreenRendering(1)
window.AddRenderer(vtk.vtkRenderer())
window.Render()
import torch
from MultiViewRegistrationLib.rendering.devices import load_triton
load_triton()
torch.optim.Adam([torch.zeros(3, requires_grad=True)])
"""


def test_pytorch_has_its_optimisers_after_vtk_has_drawn():
    for name in ("vtk", "torch", "triton"):
        pytest.importorskip(name, reason=f"needs {name}: pip install {name}")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", DRAWN], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
