"""A module that is called as Slicer's extension TotalSegmentator is, and finds a vertebra and a liver.

Class, methods and their parameters are those of the extension of May 2026; a process of its own does the
work, and says so line by line.
"""

import subprocess
import sys

import numpy as np
import slicer
import vtk
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleLogic
from vtk.util.numpy_support import vtk_to_numpy

from MultiViewRegistrationLib.mrml.image import grid_of

#: What the process does: "fail" has it end with an error, "stay" not at all, "hang" not once it has
#: saved.
BEHAVIOUR = ""
PROGRAM = """
import sys, time
print("Predicting...", flush=True)
time.sleep(600 if sys.argv[1] == "stay" else 0.5)
print("Saved in 0.5 s", flush=True)
time.sleep(600 if sys.argv[1] == "hang" else 0)
sys.exit(sys.argv[1] == "fail")
"""
processes = []


class TotalSegmentator(ScriptedLoadableModule):
    pass


class TotalSegmentatorLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.logCallback = None

    def log(self, text):
        self.logCallback(text)

    def setupPythonRequirements(self, upgrade=False):
        self.log("Python packages are there")

    def logProcessOutput(self, proc, returnOutput=False):
        raise AssertionError("the extension's own waiting lets Slicer stand")

    def process(
        self,
        inputVolume,
        outputSegmentation,
        quality=None,
        cpu=False,
        task=None,
        subset=None,
        interactive=False,
        sequenceBrowserNode=None,
    ):
        program = [sys.executable, "-c", PROGRAM, BEHAVIOUR]
        processes.append(subprocess.Popen(program, stdout=subprocess.PIPE, text=True))
        self.logProcessOutput(processes[-1])
        voxels = slicer.util.arrayFromVolume(inputVolume)
        halves = np.array_split(np.argwhere(voxels > 300), 2)
        for name, half in zip(("vertebrae_L1", "liver"), halves, strict=True):
            labelmap = grid_of(inputVolume)
            labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
            labels = np.zeros(voxels.shape, np.uint8)
            labels[tuple(half.T)] = 1
            vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = labels.ravel()
            segment = slicer.vtkSegment()
            segment.SetName(name)
            segment.AddRepresentation("Binary labelmap", labelmap)
            outputSegmentation.GetSegmentation().AddSegment(segment)
